/** Intervals and the three-way decision. Pure. */
import { mean, quantileSorted, sampleStandardDeviation } from 'simple-statistics';
import jStat from 'jstat';
import { CONFIDENCE } from '../core/sequential.ts';
import { autocorrelationTime } from './autocorrelation.ts';

export interface Estimate {
  readonly value: number;
  /** Ends of the interval; equal to `value` on both sides only where the figure has no sampling error. */
  readonly low: number;
  readonly high: number;
  /** Independent values behind it. */
  readonly n: number;
}

const unbounded = (value: number, n: number): Estimate => ({ value, low: -Infinity, high: Infinity, n });
const studentT = (confidence: number, degrees: number): number => jStat.studentt.inv(1 - (1 - confidence) / 2, degrees);

/** Student-t interval of the mean of independent values, such as one figure of each repeat. */
export function meanInterval(values: readonly number[], confidence = CONFIDENCE): Estimate {
  const n = values.length;
  if (n === 0) return unbounded(NaN, 0);
  const value = mean([...values]);
  // Some never came: the mean is infinite, and only where none came is that beyond doubt.
  if (values.includes(Infinity)) return { value: Infinity, low: values.reduce((a, b) => Math.min(a, b)), high: Infinity, n };
  if (n === 1) return unbounded(value, 1);
  const half = (studentT(confidence, n - 1) * sampleStandardDeviation([...values])) / Math.sqrt(n);
  return { value, low: value - half, high: value + half, n };
}

/** Fewer independent values than this do not show how much a series varies. */
const LEAST_INDEPENDENT = 15;
/** Few batches are long: they see correlations that the series is too short to show lag by lag. */
const LONG_BATCHES = 5;

/**
 * Interval of the mean of a series in time order, such as the 100 ms windows of one run. The wider of two: the variance
 * times the autocorrelation time, and the means of five long batches. Too short a series has no interval.
 * Coverage: test/unit/coverage.test.ts.
 */
export function seriesInterval(values: readonly number[], confidence = CONFIDENCE): Estimate {
  const length = values.length;
  if (length === 0) return unbounded(NaN, 0);
  if (values.includes(Infinity)) return meanInterval(values, confidence);
  const value = mean([...values]);
  const n = Math.floor(length / autocorrelationTime(values));
  if (n < LEAST_INDEPENDENT) return unbounded(value, n);
  const half = (studentT(confidence, n - 1) * sampleStandardDeviation([...values])) / Math.sqrt(n);
  const long = meanInterval(
    batches(values, LONG_BATCHES).map((batch) => mean([...batch])),
    confidence,
  );
  const widest = Math.max(half, long.high - long.value);
  return { value, low: value - widest, high: value + widest, n };
}

/** Binomial interval of a share of independent trials (Clopper and Pearson, Biometrika 1934); `n` need not be whole. */
export function shareInterval(count: number, of: number, confidence = CONFIDENCE, n = of): Estimate {
  if (of === 0) return unbounded(NaN, 0);
  const value = count / of;
  const tail = (1 - confidence) / 2;
  const hits = value * n;
  return {
    value,
    n,
    low: hits <= 0 ? 0 : jStat.beta.inv(tail, hits, n - hits + 1),
    high: hits >= n ? 1 : jStat.beta.inv(1 - tail, hits + 1, n - hits),
  };
}

/** Trials of one stretch of time: so many hits of so many. */
export interface Trials {
  readonly count: number;
  readonly of: number;
}

/**
 * Share of trials that come in clusters, such as losses in bursts: the binomial interval with as many trials as they
 * are worth. Their worth is what the ratio estimator's variance says, with its autocorrelation; never more than all.
 */
export function clusteredShare(trials: readonly Trials[], confidence = CONFIDENCE): Estimate {
  const count = trials.reduce((sum, t) => sum + t.count, 0);
  const of = trials.reduce((sum, t) => sum + t.of, 0);
  const share = count / of;
  const residuals = trials.map((t) => t.count - share * t.of);
  const variance = residuals.reduce((sum, r) => sum + r * r, 0) * autocorrelationTime(residuals);
  const binomial = share * (1 - share) * of;
  const effect = binomial > 0 ? Math.max(1, variance / binomial) : 1;
  return shareInterval(count, of, confidence, of / effect);
}

/** Quantile of values, with infinities (lost requests) as the largest. */
export function quantileOf(values: readonly number[], q: number): number {
  const quantile = values.length === 0 ? NaN : quantileSorted(Array.from(Float64Array.from(values).sort()), q);
  // Infinity less infinity is no number: between two lost requests the quantile is lost too.
  return Number.isNaN(quantile) && values.includes(Infinity) ? Infinity : quantile;
}

/**
 * Interval of a quantile of a series in time order, by order statistics: it needs no shape of the distribution. Where
 * too few values lie beyond the quantile that side is open.
 */
export function quantileInterval(values: readonly number[], q: number, confidence = CONFIDENCE): Estimate {
  const length = values.length;
  if (length === 0) return unbounded(NaN, 0);
  const value = quantileOf(values, q);
  const beyond = values.map((v) => (v > value ? 1 : 0));
  const finite = values.map((v) => (v === Infinity ? Number.MAX_SAFE_INTEGER : v));
  const n = Math.max(1, Math.floor(length / Math.max(autocorrelationTime(beyond), autocorrelationTime(finite))));
  const tail = (1 - confidence) / 2;
  const sorted = Float64Array.from(values).sort();
  const at = (rank: number): number => sorted[Math.min(length, Math.max(1, Math.ceil((rank * length) / n))) - 1] as number;
  let lowRank = Math.floor(n * q);
  while (lowRank > 0 && binomialBelow(lowRank, n, q) > tail) lowRank -= 1;
  let highRank = Math.max(1, Math.ceil(n * q));
  while (highRank <= n && 1 - binomialBelow(highRank, n, q) > tail) highRank += 1;
  return {
    value,
    low: lowRank === 0 ? -Infinity : Math.min(value, at(lowRank)),
    high: highRank > n ? Infinity : Math.max(value, at(highRank)),
    n,
  };
}

/** Probability of fewer than `rank` hits in `n` trials. */
const binomialBelow = (rank: number, n: number, p: number): number =>
  rank <= 0 ? 0 : rank > n ? 1 : jStat.ibeta(1 - p, n - rank + 1, rank);

export const shifted = ({ value, low, high, n }: Estimate, by: number): Estimate => ({
  value: value + by,
  low: low + by,
  high: high + by,
  n,
});

/**
 * Quotient of two independent estimates: the interval that recovers each one's variance from its own interval (MOVER,
 * Donner and Zou 2012); for Student-t intervals that is Fieller's. Where the divisor may be zero it bounds nothing.
 */
export function ratio(a: Estimate, b: Estimate): Estimate {
  const value = a.value / b.value;
  const n = Math.min(a.n, b.n);
  if (!(b.low > 0)) return unbounded(value, n);
  if (!Number.isFinite(value)) return { value, low: a.low / b.high, high: Infinity, n };
  const product = a.value * b.value;
  const overHigh = b.high * (2 * b.value - b.high);
  const overLow = b.low * (2 * b.value - b.low);
  const root = (end: number, over: number): number => Math.sqrt(Math.max(0, product ** 2 - end * (2 * a.value - end) * over));
  return {
    value,
    n,
    // The divisor may be more than twice its estimate: then nothing bounds the quotient from below but the extremes.
    low: !Number.isFinite(a.low)
      ? -Infinity
      : overHigh > 0
        ? Math.min(value, (product - root(a.low, overHigh)) / overHigh)
        : Math.min(a.low / b.high, a.low / b.low),
    high: !Number.isFinite(a.high) ? Infinity : Math.max(value, (product + root(a.high, overLow)) / overLow),
  };
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

/** Cuts values in time order into `count` batches whose lengths differ by one at most. */
export function batches<T>(values: readonly T[], count: number): T[][] {
  const n = Math.max(1, Math.min(count, values.length));
  return Array.from({ length: n }, (_, i) => values.slice(Math.floor((i * values.length) / n), Math.floor(((i + 1) * values.length) / n)));
}
