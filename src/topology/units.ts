/** What the figure of each target is measured in. */
import type { TargetFile } from './schema.ts';

export type Unit = 'rate' | 'fraction' | 'durationUs' | 'count';

const TIMES: readonly string[] = ['reaction', 'recovery', 'victim-recovery'];

export function unitOfTarget(target: TargetFile): Unit {
  switch (target.check) {
    case 'reachability':
    case 'counter': return 'count';
    case 'rate': return 'rate';
    case 'loss': return 'fraction';
    case 'latency': return 'durationUs';
    case 'bandwidth-isolation': return TIMES.includes(target.metric) ? 'durationUs' : 'fraction';
  }
}
