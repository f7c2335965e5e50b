/** Verdicts in words. Pure. */
import { formatDurationUs, formatPercent, formatRate } from '../core/units.ts';
import type { TargetFile } from '../topology/target.ts';
import type { Unit } from '../topology/checks.ts';
import type { Basis } from './combine.ts';
import type { Bounds, Estimate } from './statistics.ts';
import type { Verdict } from './verdict.ts';

export function formatValue(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return value > 0 && unit === 'durationUs' ? 'never' : value > 0 ? '∞' : '−∞';
  switch (unit) {
    case 'rate':
      return formatRate(value);
    case 'fraction':
      return formatPercent(value);
    case 'durationUs':
      return formatDurationUs(value);
    case 'count':
      return String(Number.isInteger(value) ? value : Number(value.toPrecision(3)));
  }
}

/** "69.8% [69.1%, 70.4%]" */
export function describeEstimate(e: Estimate, unit: Unit, basis: Basis): string {
  const value = formatValue(e.value, unit);
  if (e.value === Infinity || (e.low === e.value && e.high === e.value)) return value;
  if (!Number.isFinite(e.low) && !Number.isFinite(e.high)) return `${value} (one run)`;
  return `${value} [${formatValue(e.low, unit)}, ${formatValue(e.high, unit)}]${basis === 'within-run' ? ' within this run' : ''}`;
}

/** `counts`: what the check counts the wrong ones of. */
export function describeBounds(
  { atLeast, atMost }: Bounds,
  target: TargetFile,
  counts: string | undefined,
  unit: Unit,
  control: boolean,
): string {
  if (counts !== undefined) return `${control ? 'a' : 'no'} wrong ${counts}`;
  const parts = [
    atLeast === undefined ? '' : `≥ ${formatValue(atLeast, unit)}`,
    atMost === undefined ? '' : `≤ ${formatValue(atMost, unit)}`,
  ].filter(Boolean);
  const reference = target['relative-to'];
  const of =
    reference === undefined ? '' : ` of ${[...Object.values(reference.cell ?? {}), reference.phase ?? ''].filter(Boolean).join(' ')}`;
  return `${control ? 'not ' : ''}${parts.join(' and ')}${of}`;
}

/** Why a figure decides nothing, and what would. */
export function describeOpen(estimate: Estimate, unit: Unit, basis: Basis): string {
  if (Number.isNaN(estimate.value)) return 'the judged window holds no figures: judge a longer one';
  if (basis === 'within-run') return 'one run does not show how much this differs between runs: use --repeat 3 or more, or --until-decided';
  if (basis === 'run' && !Number.isFinite(estimate.low))
    return `the judged window is worth ${estimate.n} independent values only: judge a longer one, or use --repeat 3 or more`;
  return `the interval ${formatValue(estimate.low, unit)} to ${formatValue(estimate.high, unit)} contains the bound: more repeats would settle it (--until-decided)`;
}

/** "udp-open, repeat 3: the machine was saturated (…) (5 targets)", each repeat that figures leave out. */
export function describeDropped(verdicts: readonly Verdict[]): string[] {
  const all = verdicts.flatMap((v) =>
    v.dropped.filter((d) => d.cause !== 'no-figure').map((d) => `${v.cell ? `${v.cell}, ` : ''}repeat ${d.repeat}: ${d.reason}`),
  );
  return [...Map.groupBy(all, (line) => line)].map(
    ([line, same]) => `${line} (${same.length} ${same.length === 1 ? 'target' : 'targets'})`,
  );
}

/** Of a run without verdicts, which is no success. */
export const NOTHING_JUDGED = 'Nothing was judged: the topology has no targets, or the run ended before any cell.';
