/** Intervals and the three-way decision. Pure. */
import { wilson } from '../core/wilson.ts';
import { mean, quantileSorted, sampleStandardDeviation } from 'simple-statistics';
import jStat from 'jstat';

export interface Estimate {
  readonly value: number;
  /** 95 % interval; equal to `value` on both sides only where the figure has no sampling error. */
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

/** Student-t interval of the mean of independent values (repeats, or batches of one run). */
export function meanInterval(values: readonly number[], confidence = 0.95): Estimate {
  const n = values.length;
  if (n === 0) return { value: NaN, low: -Infinity, high: Infinity, n };
  const value = mean([...values]);
  if (n === 1) return { value, low: -Infinity, high: Infinity, n };
  // Some never came: the mean is infinite, and only where none came is that beyond doubt.
  if (values.includes(Infinity)) return { value: Infinity, low: values.reduce((a, b) => Math.min(a, b)), high: Infinity, n };
  const half = (jStat.studentt.inv(1 - (1 - confidence) / 2, n - 1) * sampleStandardDeviation([...values])) / Math.sqrt(n);
  return { value, low: value - half, high: value + half, n };
}

/** Of independent ones that are or are not something. */
export function shareInterval(count: number, of: number): Estimate {
  const [low, high] = wilson(count, of);
  return { value: of === 0 ? NaN : count / of, low, high, n: of };
}

export const shifted = ({ value, low, high, n }: Estimate, by: number): Estimate => ({ value: value + by, low: low + by, high: high + by, n });

/** Quotient of two independent estimates, the second above zero: what each one's error does to it, added in squares. */
export function ratio(a: Estimate, b: Estimate): Estimate {
  const value = a.value / b.value;
  const n = Math.min(a.n, b.n);
  if (!Number.isFinite(value)) return { value, low: a.low / b.high, high: Infinity, n };
  const overHigh = a.value / b.high;
  const overLow = b.low > 0 ? a.value / b.low : Math.sign(a.value) * Infinity;
  const below = Math.hypot((a.value - a.low) / b.value, value - Math.min(overHigh, overLow, value));
  const above = Math.hypot((a.high - a.value) / b.value, Math.max(overHigh, overLow, value) - value);
  return { value, low: value - below, high: value + above, n };
}

/** Quantile of the values, with infinities (lost requests) as the largest. */
export function quantileOf(values: readonly number[], q: number): number {
  const quantile = values.length === 0 ? NaN : quantileSorted(Array.from(Float64Array.from(values).sort()), q);
  // Between two that never came, it never came: the difference of two infinities is no number.
  return Number.isNaN(quantile) && values.includes(Infinity) ? Infinity : quantile;
}

export type Outcome = 'pass' | 'fail' | 'inconclusive';

export interface Bounds {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** The interval decides, not the value: straddling a bound is inconclusive. */
export function decide(estimate: Estimate, bounds: Bounds): Outcome {
  if (Number.isNaN(estimate.value)) return 'inconclusive';
  const { atLeast = -Infinity, atMost = Infinity } = bounds;
  if (estimate.high < atLeast || estimate.low > atMost) return 'fail';
  return estimate.low >= atLeast && estimate.high <= atMost ? 'pass' : 'inconclusive';
}

/**
 * Cuts values in time order into at most `count` batches of at least `least` values: neighbouring windows are alike,
 * and counting each of them would fake precision.
 */
export function batches<T>(values: readonly T[], count: number, least: number): T[][] {
  const n = Math.max(1, Math.min(count, Math.floor(values.length / least)));
  return Array.from({ length: n }, (_, i) => values.slice(Math.floor((i * values.length) / n), Math.floor(((i + 1) * values.length) / n)));
}
