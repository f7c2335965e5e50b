/** mesh: who answered whom, and what the wire shows of paths and of the control plane (R2 section 8). */
import { Type } from 'typebox';
import { missing, type Check } from '../../../src/checks/check.ts';
import { needsCapture, needsKeys } from '../../../src/checks/problems.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { many, type Metric } from '../../lib/metric.ts';
import { PROBE_METRICS, seenProbes } from '../../lib/probing/metrics.ts';
import { FRAME_METRICS, seenFrames } from './framemetrics.ts';
import { keys, type Keys } from './keys.ts';

type ProbeMetric = keyof typeof PROBE_METRICS;
type FrameMetric = keyof typeof FRAME_METRICS;
const isOfProbes = (metric: ProbeMetric | FrameMetric): metric is ProbeMetric => metric in PROBE_METRICS;
const definitionOf = (metric: ProbeMetric | FrameMetric): Omit<Metric<never, keyof Keys>, 'figures'> =>
  isOfProbes(metric) ? PROBE_METRICS[metric] : FRAME_METRICS[metric];

const all = { ...PROBE_METRICS, ...FRAME_METRICS };
const checkKeys = {
  metric: Type.Enum(Object.keys(all) as (ProbeMetric | FrameMetric)[], {
    description: Object.entries(all)
      .map(([name, { what }]) => `${name}: ${what}`)
      .join(' '),
  }),
  ...keys,
};
type TargetKeys = KeysOf<typeof checkKeys>;

const mesh: Check<TargetKeys> = {
  name: 'mesh',
  keys: checkKeys,
  unit: ({ metric }) => definitionOf(metric).unit ?? 'count',
  problems(target, lab) {
    return [
      ...needsKeys(target, target.metric, definitionOf(target.metric).needs ?? []),
      ...(many(target.capture) ?? []).flatMap((at) => needsCapture(at, lab)),
    ];
  },
  figures(target, evidence, phase, window) {
    const { metric } = target;
    if (isOfProbes(metric)) {
      const probes = seenProbes(target, evidence, phase, window);
      return typeof probes === 'string' ? missing(probes) : PROBE_METRICS[metric].figures(probes);
    }
    const frames = seenFrames(target, evidence, phase, window);
    return typeof frames === 'string' ? missing(frames) : FRAME_METRICS[metric].figures(frames);
  },
};

export const checks: readonly Check<TargetKeys>[] = [mesh];
