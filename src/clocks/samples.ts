/** What was measured of the clocks of a rig, and what follows from it. Plain data and pure functions. */
import { formatDurationUs } from '../core/units.ts';
import type { ClockOffset, ClockRecord, ClockSample } from '../evidence/records.ts';

/** A sample that has an answer. */
export type KnownSample = ClockSample & { readonly clock: ClockOffset };
export const isKnown = (sample: ClockSample): sample is KnownSample => sample.clock !== null;

/**
 * What a clock that nobody slews may gain or lose on another between two samples: 200 ppm, twice what NTP and PTP
 * servos do in the steady state.
 */
const DRIFT = 200e-6;
/** Bursts are half a second apart; a machine that is not heard of for this long is not watched. */
export const MAX_GAP_MS = 3000;

/** Offset and bound at a moment, between the samples before and after; null: not known. */
export function offsetAt(samples: readonly ClockSample[], machine: string, atMs: number): ClockOffset | null {
  const own = samples.filter(isKnown).filter((s) => s.machine === machine);
  const before = own.findLast((s) => s.atMs <= atMs);
  const after = own.find((s) => s.atMs > atMs);
  const near = before && after && atMs - before.atMs > after.atMs - atMs ? after : (before ?? after);
  if (!near || Math.abs(near.atMs - atMs) > MAX_GAP_MS) return null;
  const grownNs = Math.abs(near.atMs - atMs) * 1e6 * DRIFT;
  if (!before || !after) return { offsetNs: near.clock.offsetNs, boundNs: near.clock.boundNs + grownNs };
  // A clock that moved more than it can drift was set in between, nobody knows when.
  const moved = Math.abs(after.clock.offsetNs - before.clock.offsetNs);
  return {
    offsetNs: near.clock.offsetNs,
    boundNs: Math.max(near.clock.boundNs + grownNs, moved > before.clock.boundNs + after.clock.boundNs ? moved : 0),
  };
}

/** Why nothing that compares clocks may be concluded from the time between two moments; undefined: they were good. */
export function clockProblem({ reference, maxOffsetUs, samples }: ClockRecord, fromMs: number, toMs: number): string | undefined {
  if (reference === null || maxOffsetUs === null) return undefined;
  const during = samples.filter((s) => s.atMs >= fromMs - 1000 && s.atMs <= toMs + 1000);
  const machines = [...new Set(samples.map((s) => s.machine))];
  for (const machine of machines) {
    const own = during.filter((s) => s.machine === machine);
    const times = [fromMs, ...own.filter(isKnown).map((s) => s.atMs), toMs];
    const gap = times.slice(1).findIndex((t, i) => t - (times[i] as number) > MAX_GAP_MS);
    if (gap >= 0) return `the clock of ${machine} was not known for more than ${MAX_GAP_MS / 1000} s`;
    const worst = own
      .filter(isKnown)
      .filter((s) => isBeyond(s, maxOffsetUs))
      .sort((a, b) => Math.abs(b.clock.offsetNs) - Math.abs(a.clock.offsetNs))[0];
    if (worst)
      return `the clock of ${machine} was ${describeOffset(worst.clock)} from that of ${reference}, beyond clocks.max-offset of ${formatDurationUs(maxOffsetUs)}`;
  }
  return undefined;
}

/** It cannot be shown to be within. */
export const isBeyond = ({ clock }: ClockSample, maxOffsetUs: number): boolean =>
  clock === null || Math.abs(clock.offsetNs) + clock.boundNs > maxOffsetUs * 1000;

export const describeOffset = (clock: ClockOffset | null): string =>
  clock === null ? 'not measurable' : `${formatDurationUs(clock.offsetNs / 1000)} ± ${formatDurationUs(clock.boundNs / 1000)}`;
