/** What was measured of the clocks of a rig, and what follows from it. Plain data and pure functions. */
import { formatDurationUs } from '../core/units.ts';

/** One burst of exchanges between a machine and the reference. */
export interface ClockSample {
  readonly machine: string;
  /** When the burst was told, epoch milliseconds of the machine that netrig runs on. */
  readonly atMs: number;
  /** The machine's clock minus the reference's; the truth is within ± `boundNs`. null: no answer. */
  readonly offsetNs: number | null;
  readonly boundNs: number;
}

/** Evidence: the clocks while a cell ran. */
export interface ClockRecord {
  /** Whose clock the others are held against; null: all nodes share one kernel's clock, and every bound is zero. */
  readonly reference: string | null;
  readonly sync: string;
  readonly maxOffsetUs: number | null;
  readonly samples: readonly ClockSample[];
}

export const ONE_CLOCK: ClockRecord = { reference: null, sync: 'one kernel', maxOffsetUs: null, samples: [] };

/** What a clock that nobody slews may gain or lose on another between two samples: 200 ppm, twice what NTP and PTP servos do in the steady state. */
const DRIFT = 200e-6;
/** Bursts are half a second apart; a machine that is not heard of for this long is not watched. */
export const MAX_GAP_MS = 3000;

/** Offset and bound at a moment, between the samples before and after; null: not known. */
export function offsetAt(samples: readonly ClockSample[], machine: string, atMs: number): { offsetNs: number; boundNs: number } | null {
  const own = samples.filter((s): s is ClockSample & { offsetNs: number } => s.machine === machine && s.offsetNs !== null);
  const before = own.findLast((s) => s.atMs <= atMs);
  const after = own.find((s) => s.atMs > atMs);
  const near = before && after && atMs - before.atMs > after.atMs - atMs ? after : (before ?? after);
  if (!near || Math.abs(near.atMs - atMs) > MAX_GAP_MS) return null;
  const grownNs = Math.abs(near.atMs - atMs) * 1e6 * DRIFT;
  if (!before || !after) return { offsetNs: near.offsetNs, boundNs: near.boundNs + grownNs };
  // A clock that moved more than it can drift was set in between, nobody knows when.
  const moved = Math.abs(after.offsetNs - before.offsetNs);
  return { offsetNs: near.offsetNs, boundNs: Math.max(near.boundNs + grownNs, moved > before.boundNs + after.boundNs ? moved : 0) };
}

/** Why nothing that compares clocks may be concluded from the time between two moments; undefined: they were good. */
export function clockProblem({ reference, maxOffsetUs, samples }: ClockRecord, fromMs: number, toMs: number): string | undefined {
  if (reference === null || maxOffsetUs === null) return undefined;
  const during = samples.filter((s) => s.atMs >= fromMs - 1000 && s.atMs <= toMs + 1000);
  const machines = [...new Set(samples.map((s) => s.machine))];
  for (const machine of machines) {
    const own = during.filter((s) => s.machine === machine);
    const times = [fromMs, ...own.filter((s) => s.offsetNs !== null).map((s) => s.atMs), toMs];
    const gap = times.slice(1).findIndex((t, i) => t - (times[i] as number) > MAX_GAP_MS);
    if (gap >= 0) return `the clock of ${machine} was not known for more than ${MAX_GAP_MS / 1000} s`;
    const worst = own.filter((s): s is ClockSample & { offsetNs: number } => s.offsetNs !== null && isBeyond(s, maxOffsetUs)).sort((a, b) => Math.abs(b.offsetNs) - Math.abs(a.offsetNs))[0];
    if (worst) return `the clock of ${machine} was ${describeOffset(worst)} from that of ${reference}, beyond clocks.max-offset of ${formatDurationUs(maxOffsetUs)}`;
  }
  return undefined;
}

/** It cannot be shown to be within. */
export const isBeyond = ({ offsetNs, boundNs }: ClockSample, maxOffsetUs: number): boolean => offsetNs === null || Math.abs(offsetNs) + boundNs > maxOffsetUs * 1000;

export const describeOffset = ({ offsetNs, boundNs }: { readonly offsetNs: number | null; readonly boundNs: number }): string => (offsetNs === null ? 'not measurable' : `${formatDurationUs(offsetNs / 1000)} ± ${formatDurationUs(boundNs / 1000)}`);
