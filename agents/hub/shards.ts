/** Shuffle sharding: which AINs have a branch for which network (R1 section 3). Pure. */

/** Every set of K of N numbers, in the order of counting. */
function* subsets(n: number, k: number, from = 0): Generator<readonly number[]> {
  if (k === 0) {
    yield [];
    return;
  }
  for (let i = from; i <= n - k; i++) for (const rest of subsets(n, k - 1, i + 1)) yield [i, ...rest];
}

const shared = (a: readonly number[], b: readonly number[]): number => a.filter((x) => b.includes(x)).length;

/** Sets that are tried before it is given up: the search goes back where a choice leaves too few for the rest. */
const MOST_TRIES = 100_000;

/**
 * A set of K of N AINs for each of `count` networks; any two share at most L, and all AINs have about as many. Sets of many
 * availability containers (`zones`, by AIN) come first. undefined: there are not so many sets, or none was found.
 */
export function shuffleShards(
  count: number,
  n: number,
  k: number,
  l: number,
  zones: readonly string[] = [],
): (readonly number[])[] | undefined {
  const all = [...subsets(n, Math.min(k, n))];
  let tries = 0;
  const choose = (chosen: readonly (readonly number[])[], able: readonly (readonly number[])[]): (readonly number[])[] | undefined => {
    if (chosen.length === count) return [...chosen];
    const load = (x: number): number => chosen.filter((s) => s.includes(x)).length;
    const cost = (s: readonly number[]): number => s.reduce((sum, x) => sum + load(x), 0);
    const spread = (s: readonly number[]): number => new Set(s.map((x) => zones[x])).size;
    for (const next of [...able].sort((a, b) => spread(b) - spread(a) || cost(a) - cost(b))) {
      if (++tries > MOST_TRIES) return undefined;
      const found = choose(
        [...chosen, next],
        able.filter((s) => shared(s, next) <= l),
      );
      if (found) return found;
    }
    return undefined;
  };
  return choose([], all);
}
