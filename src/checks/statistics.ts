/** Intervals and the three-way decision. Pure. */
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
  const half = (jStat.studentt.inv(1 - (1 - confidence) / 2, n - 1) * sampleStandardDeviation([...values])) / Math.sqrt(n);
  return { value, low: value - half, high: value + half, n };
}

/** Distribution-free interval of a quantile from order statistics (normal approximation of the binomial). */
export function quantileInterval(values: readonly number[], q: number): Estimate {
  const sorted = Float64Array.from(values).sort();
  const n = sorted.length;
  if (n === 0) return { value: NaN, low: -Infinity, high: Infinity, n };
  const half = 1.96 * Math.sqrt(n * q * (1 - q));
  const at = (rank: number): number => (rank < 0 ? -Infinity : rank >= n ? Infinity : (sorted[rank] as number));
  return { value: quantileSorted(Array.from(sorted), q), low: at(Math.floor(n * q - half) - 1), high: at(Math.ceil(n * q + half)), n };
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

/** Averages consecutive values into `count` batches, so that neighbouring windows' correlation does not fake precision. */
export function batchMeans(values: readonly number[], count: number): number[] {
  const size = Math.max(1, Math.floor(values.length / count));
  const batches: number[] = [];
  for (let at = 0; at + size <= values.length; at += size) batches.push(mean(values.slice(at, at + size)));
  return batches;
}
