/** mesh: who answered whom, and what the wire shows of paths (R2 section 8). */
import { Type } from 'typebox';
import { missing, type Check } from '../../../src/checks/check.ts';
import { needsKeys } from '../../../src/checks/problems.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { PROBE_METRICS, probeKeys, seenProbes } from '../../lib/probing/metrics.ts';

type Metric = keyof typeof PROBE_METRICS;

const checkKeys = {
  metric: Type.Enum(Object.keys(PROBE_METRICS) as Metric[], {
    description: Object.entries(PROBE_METRICS)
      .map(([name, { what }]) => `${name}: ${what}`)
      .join(' '),
  }),
  ...probeKeys,
};

const mesh: Check<KeysOf<typeof checkKeys>> = {
  name: 'mesh',
  keys: checkKeys,
  unit: ({ metric }) => PROBE_METRICS[metric].unit ?? 'count',
  problems: (target) => needsKeys(target, target.metric, PROBE_METRICS[target.metric].needs ?? []),
  figures(target, evidence, phase, window) {
    const probes = seenProbes(target, evidence, phase, window);
    return typeof probes === 'string' ? missing(probes) : PROBE_METRICS[target.metric].figures(probes);
  },
};

export const checks: readonly Check<KeysOf<typeof checkKeys>>[] = [mesh];
