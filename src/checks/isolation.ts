/** Figures of the bandwidth-isolation check (R4), from byte series. Pure. */
import { mean } from 'simple-statistics';
import { totalSeries, windowRates, type GroupSeries } from './series.ts';

/** R4-1: per-vNIC rate over 100 ms windows. */
export const WINDOW_US = 100_000;
/** Reaction and recovery slide a shorter window by one bin. */
const SLIDING_US = 50_000;
/** How long a settled rate must stay settled. */
const HOLD_US = 500_000;
const SETTLED_WITHIN = 0.05;
const RECOVERED_AT = 0.95;

export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

const bytesOf = (series: GroupSeries, group: string | undefined): Float64Array =>
  (group === undefined ? totalSeries(series) : series.bytes.get(group)) ?? new Float64Array(totalSeries(series).length);

/** Rate over capacity in every 100 ms window. */
export function shares(series: GroupSeries, group: string | undefined, capacityBps: number, window: Window): number[] {
  return windowRates(bytesOf(series, group), series.binUs, WINDOW_US, window.fromUs, window.toUs).map((rate) => rate / capacityBps);
}

/** Bytes below the guarantee over guaranteed bytes, in every 100 ms window. */
export function shortfalls(series: GroupSeries, group: string | undefined, guaranteeBps: number, window: Window): number[] {
  return windowRates(bytesOf(series, group), series.binUs, WINDOW_US, window.fromUs, window.toUs).map((rate) => Math.max(0, 1 - rate / guaranteeBps));
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

/** R4-8: µs from the step until the group's rate stays at or below its allocation + 5 %; Infinity if it never does. */
export function reactionUs(series: GroupSeries, group: string | undefined, allocationBps: number, eventUs: number, endUs: number): number {
  const rates = sliding(bytesOf(series, group), series.binUs);
  const limit = allocationBps * (1 + SETTLED_WITHIN);
  const first = Math.floor(eventUs / series.binUs);
  const last = Math.min(rates.length, Math.floor((endUs - SLIDING_US) / series.binUs));
  const hold = HOLD_US / series.binUs;
  // The step is when the group first exceeds its allocation, not when its tool was told to start.
  const step = rates.findIndex((rate, i) => i >= first && i < last && rate > limit);
  if (step < 0) return 0;
  let settledSince = -1;
  for (let i = step; i < last; i++) {
    if ((rates[i] as number) > limit) settledSince = -1;
    else if (settledSince < 0) settledSince = i;
    if (settledSince >= 0 && i - settledSince >= hold) return (settledSince - step) * series.binUs;
  }
  return Infinity;
}

/** R4-9: µs from the aggressor's stop until the link is used to 95 % of its capacity again; Infinity if it never is. */
export function recoveryUs(series: GroupSeries, capacityBps: number, eventUs: number, endUs: number): number {
  const rates = sliding(totalSeries(series), series.binUs);
  const first = Math.floor(eventUs / series.binUs);
  const last = Math.min(rates.length, Math.floor((endUs - SLIDING_US) / series.binUs));
  const dip = rates.findIndex((rate, i) => i >= first && i < last && rate < capacityBps * RECOVERED_AT);
  if (dip < 0) return 0;
  for (let i = dip; i < last; i++) if ((rates[i] as number) >= capacityBps * RECOVERED_AT) return (i - first) * series.binUs;
  return Infinity;
}

export const peak = (values: readonly number[]): number => (values.length === 0 ? NaN : Math.max(...values));
export const average = (values: readonly number[]): number => (values.length === 0 ? NaN : mean([...values]));
