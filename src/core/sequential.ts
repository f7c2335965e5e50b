/**
 * Repeats until a figure is decided. A run looks at its figures after 1, 3, 5, 8, 12 … repeats; with one 95 % interval
 * at each look, the chance that one of them misses the truth would grow with every look. So that it stays below 5 % in
 * all, each look has its part of it (Bonferroni): with k looks, intervals of 1 − 0.05 / k. Pure.
 */

/** Of an interval that is looked at once. */
export const CONFIDENCE = 0.95;

/** Repeats after which figures are looked at: `first`, then each about half as many again, `atMost` as the last. */
export function looksOf(first: number, atMost: number): number[] {
  const looks = [Math.min(first, atMost)];
  for (let last = looks[0] as number; last < atMost;) looks.push((last = Math.min(atMost, Math.max(last + 2, Math.floor(last * 1.5)))));
  return looks;
}

/** Confidence of each interval, so that all looks together keep that of one. */
export const confidenceOf = (looks: number): number => 1 - (1 - CONFIDENCE) / looks;
