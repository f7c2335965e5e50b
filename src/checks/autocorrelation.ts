/** How alike neighbouring values of a series are. Pure. */
import { mean } from 'simple-statistics';

/**
 * Integrated autocorrelation time of values in time order: n values tell as much of their mean as n / time independent
 * ones. At least 1. Estimated by the initial positive sequence (Geyer, Statistical Science 1992).
 */
export function autocorrelationTime(values: readonly number[]): number {
  const n = values.length;
  const centre = n === 0 ? 0 : mean([...values]);
  const deviations = Float64Array.from(values, (value) => value - centre);
  const covariance = (lag: number): number => {
    let sum = 0;
    for (let i = 0; i + lag < n; i++) sum += (deviations[i] as number) * (deviations[i + lag] as number);
    return sum / n;
  };
  const variance = covariance(0);
  if (!(variance > 0)) return 1;
  let time = -1;
  for (let lag = 0; lag + 1 < n / 2; lag += 2) {
    const pair = (covariance(lag) + covariance(lag + 1)) / variance;
    if (pair <= 0) break;
    time += 2 * pair;
  }
  return Math.max(1, time);
}
