/** Of 95 % confidence. */
const Z = 1.959964;

/** Wilson score interval of a binomial share (E. B. Wilson, JASA 1927). `z`: in standard deviations. */
export function wilson(hits: number, n: number, z = Z): [low: number, high: number] {
  if (n === 0) return [0, 1];
  const p = hits / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
