/** What the figure of each target is measured in. */
import { BUILT_IN_CHECKS, type SystemTarget, type TargetFile } from './target.ts';

export type Unit = 'rate' | 'fraction' | 'durationUs' | 'count';

/** A target of a check of the testbed itself. */
export type BuiltInTarget = Exclude<TargetFile, SystemTarget>;

export const isBuiltIn = (target: TargetFile): target is BuiltInTarget => (BUILT_IN_CHECKS as readonly string[]).includes(target.check);

/** Held against bounds; of the others, none may be wrong. */
export const isBounded = (target: TargetFile): target is Exclude<TargetFile, { check: 'reachability' } | { check: 'answers' }> => target.check !== 'reachability' && target.check !== 'answers';

export type TargetKind = 'invariant' | 'measurement';
export const kindOf = (target: TargetFile): TargetKind => target.kind ?? 'measurement';

const TIMES: readonly string[] = ['reaction', 'recovery', 'victim-recovery'];

export function unitOfTarget(target: BuiltInTarget): Unit {
  switch (target.check) {
    case 'reachability':
    case 'answers':
    case 'packets':
    case 'counter': return 'count';
    case 'rate': return 'rate';
    case 'loss': return 'fraction';
    case 'latency': return 'durationUs';
    case 'bandwidth-isolation': return target.metric === 'owed' ? 'count' : TIMES.includes(target.metric) ? 'durationUs' : 'fraction';
  }
}
