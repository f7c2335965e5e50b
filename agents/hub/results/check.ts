/** traffic-hub: who answered whom, and what the wire shows of decisions, paths and translations (R1 section 8). */
import type { Check } from '../../../src/checks/check.ts';
import { measures, metricCheck } from '../../lib/metric.ts';
import { PROBE_METRICS, seenProbes } from '../../lib/probing/metrics.ts';
import { FRAME_METRICS, seenFrames } from './framemetrics.ts';
import { keys, type Keys } from './metric.ts';

const all = { ...measures(PROBE_METRICS, seenProbes), ...measures(FRAME_METRICS, seenFrames) };

export const checks: readonly Check<Keys>[] = [metricCheck<Keys, keyof typeof all>('traffic-hub', keys, all)];
