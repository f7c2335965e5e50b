/** Figures of the bandwidth-isolation check (R4), from byte series. Pure. */
import type { Window } from '../../../src/checks/check.ts';
import { linearRegression } from 'simple-statistics';
import { totalSeries, windowRates, WINDOW_US, type GroupSeries } from '../../../src/checks/series.ts';

/** Reaction and recovery slide a shorter window by one bin. */
const SLIDING_US = 50_000;
/** How long a settled rate must stay settled. */
const HOLD_US = 500_000;
/** A tool ends this long after it was told to, at most. */
const STOP_WITHIN_US = 1_000_000;
/** How long a victim must have its guarantee back: its TCP goes on breathing. */
const HOLD_BACK_US = 200_000;
const SETTLED_WITHIN = 0.05;
const RECOVERED_AT = 0.95;

const bytesOf = (series: GroupSeries, group: string | undefined): Float64Array =>
  (group === undefined ? totalSeries(series) : series.bytes.get(group)) ?? new Float64Array(totalSeries(series).length);

/** Rate over capacity in every 100 ms window. */
export function shares(series: GroupSeries, group: string | undefined, capacityBps: number, window: Window): number[] {
  return windowRates(bytesOf(series, group), series.binUs, WINDOW_US, window.fromUs, window.toUs).map((rate) => rate / capacityBps);
}

/** Bytes below the guarantee over guaranteed bytes, in every 100 ms window. */
export function shortfalls(series: GroupSeries, group: string | undefined, guaranteeBps: number, window: Window): number[] {
  return windowRates(bytesOf(series, group), series.binUs, WINDOW_US, window.fromUs, window.toUs).map((rate) =>
    Math.max(0, 1 - rate / guaranteeBps),
  );
}

/** R4-10: least-squares slope of the group's rate over the window, as parts of the capacity per second. */
export function rampPerSecond(series: GroupSeries, group: string | undefined, capacityBps: number, { fromUs, toUs }: Window): number {
  const rates = windowRates(bytesOf(series, group), series.binUs, series.binUs, fromUs, toUs);
  return linearRegression(rates.map((rate, i) => [(i * series.binUs) / 1e6, rate / capacityBps])).m;
}

/**
 * R4-8: µs from the event until the group, pushed below 95 % of its guarantee, is above it again for HOLD_BACK_US; 0 if
 * it was not pushed below within a second, Infinity if it does not come back.
 */
export function victimRecoveryUs(
  series: GroupSeries,
  group: string | undefined,
  guaranteeBps: number,
  eventUs: number,
  endUs: number,
): number {
  const rates = sliding(bytesOf(series, group), series.binUs);
  const first = Math.floor(eventUs / series.binUs);
  const last = Math.min(rates.length, Math.floor((endUs - SLIDING_US) / series.binUs));
  const isShort = (rate: number) => rate < guaranteeBps * RECOVERED_AT;
  const pushed = rates.findIndex((rate, i) => i >= first && i < Math.min(last, first + STOP_WITHIN_US / series.binUs) && isShort(rate));
  if (pushed < 0) return 0;
  const hold = HOLD_BACK_US / series.binUs;
  const back = rates.findIndex((_, i) => i > pushed && i + hold <= last && !rates.slice(i, i + hold).some(isShort));
  return back < 0 ? Infinity : (back - first) * series.binUs;
}

/**
 * R4-8: bytes below the guarantee from the event until the group has it back (to the end of the window if it never
 * does); 0 if it was not pushed below.
 */
export function owedBytes(series: GroupSeries, group: string | undefined, guaranteeBps: number, eventUs: number, endUs: number): number {
  const recoveryUs = victimRecoveryUs(series, group, guaranteeBps, eventUs, endUs);
  const untilUs = Math.min(endUs, eventUs + recoveryUs);
  return windowRates(bytesOf(series, group), series.binUs, series.binUs, eventUs, untilUs).reduce(
    (sum, rate) => sum + (Math.max(0, guaranteeBps - rate) * series.binUs) / 8e6,
    0,
  );
}

/** Sliding means: rate of the window that starts at each bin. */
function sliding(bytes: Float64Array, binUs: number): number[] {
  const size = SLIDING_US / binUs;
  const rates: number[] = [];
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) {
    sum += bytes[i] as number;
    if (i >= size) sum -= bytes[i - size] as number;
    if (i >= size - 1) rates.push((sum * 8e6) / SLIDING_US);
  }
  return rates;
}

/**
 * R4-8: µs from when the group first exceeds its allocation until its rate stays at or below it (+ 5 %); Infinity if
 * it never does, null if it never exceeds. The end is the start of the first sliding window from which all are
 * settled; the beginning is the 10 ms bin, since a window would see a flood before it is there.
 */
export function reactionUs(
  series: GroupSeries,
  group: string | undefined,
  allocationBps: number,
  eventUs: number,
  endUs: number,
): number | null {
  const bytes = bytesOf(series, group);
  const rates = sliding(bytes, series.binUs);
  const limit = allocationBps * (1 + SETTLED_WITHIN);
  const last = Math.min(rates.length, Math.floor((endUs - SLIDING_US) / series.binUs));
  const window = rates.findIndex((rate, i) => i >= Math.floor(eventUs / series.binUs) && i < last && rate > limit);
  if (window < 0) return null;
  let step = window;
  while (step < last && ((bytes[step] as number) * 8e6) / series.binUs <= limit) step += 1;
  const hold = HOLD_US / series.binUs;
  let settledSince = -1;
  for (let i = step; i < last; i++) {
    if ((rates[i] as number) > limit) settledSince = -1;
    else if (settledSince < 0) settledSince = i;
    if (settledSince >= 0 && i - settledSince >= hold) return (settledSince - step) * series.binUs;
  }
  return Infinity;
}

/**
 * R4-9: µs from when the group has stopped (its last byte near the event) until the link is used to 95 % of its
 * capacity again; Infinity if it never is, null if the group does not stop.
 */
export function recoveryUs(
  series: GroupSeries,
  group: string | undefined,
  capacityBps: number,
  eventUs: number,
  endUs: number,
): number | null {
  const own = bytesOf(series, group);
  const first = Math.floor(eventUs / series.binUs);
  const near = Math.min(own.length, first + STOP_WITHIN_US / series.binUs);
  // A trickle (acknowledgements of the tool's control connection) is not traffic.
  const trickle = (capacityBps * 0.01 * series.binUs) / 8e6;
  let stop = first;
  for (let i = first; i < near; i++) if ((own[i] as number) > trickle) stop = i + 1;
  if (stop >= near) return null;
  const rates = sliding(totalSeries(series), series.binUs);
  const last = Math.min(rates.length, Math.floor((endUs - SLIDING_US) / series.binUs));
  for (let i = stop; i < last; i++) if ((rates[i] as number) >= capacityBps * RECOVERED_AT) return (i - stop) * series.binUs;
  return Infinity;
}

export const highest = (values: readonly number[]): number => (values.length === 0 ? NaN : values.reduce((a, b) => Math.max(a, b)));
