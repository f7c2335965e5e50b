/** Weighted max–min fair division with guarantees. Pure. */

export interface Claim {
  /** Granted first, as far as it is wanted. */
  readonly guaranteeBps: number;
  /** Share of what is left, relative to the other claims. */
  readonly weight: number;
  /** Infinity: as much as there is. */
  readonly demandBps: number;
  readonly ceilingBps: number;
}

/**
 * Rates in the order of the claims. Their sum never exceeds the capacity; every claim gets its guarantee or its
 * demand; what is left goes to unsatisfied claims by weight, and what nobody wants is spread as room to grow.
 */
export function waterFill(capacityBps: number, claims: readonly Claim[]): number[] {
  const wanted = claims.map((c) => Math.min(c.demandBps, c.ceilingBps));
  const promised = claims.map((c, i) => Math.min(c.guaranteeBps, wanted[i] as number));
  const sum = promised.reduce((a, b) => a + b, 0);
  // Guarantees that were admitted for a faster link shrink alike.
  const rates = promised.map((rate) => (sum > capacityBps ? (rate * capacityBps) / sum : rate));
  pour(rates, capacityBps, wanted, claims);
  pour(
    rates,
    capacityBps,
    claims.map((c) => c.ceilingBps),
    claims,
  );
  return rates;
}

/** Raises rates towards their limits, by weight, until the capacity is used or every limit is reached. */
function pour(rates: number[], capacityBps: number, limits: readonly number[], claims: readonly Claim[]): void {
  // Every round fills at least one claim or the capacity.
  for (let round = 0; round <= claims.length; round++) {
    const left = capacityBps - rates.reduce((a, b) => a + b, 0);
    const open = claims.map((_, i) => i).filter((i) => (limits[i] as number) - (rates[i] as number) > 1e-6);
    const weight = open.reduce((total, i) => total + (claims[i] as Claim).weight, 0);
    if (left <= 1e-6 || open.length === 0 || weight <= 0) return;
    // The level at which the first claim is full, or at which everything is spent.
    const level = Math.min(left / weight, ...open.map((i) => ((limits[i] as number) - (rates[i] as number)) / (claims[i] as Claim).weight));
    for (const i of open) rates[i] = (rates[i] as number) + level * (claims[i] as Claim).weight;
  }
}
