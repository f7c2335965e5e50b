/** Where the nodes of a gateway go: near the client's cell, PPNs before RDNs (R0 section 3.11, R0-25 to R0-28). Pure. */

export interface Candidate {
  readonly name: string;
  /** "spine/access"; null: not known. */
  readonly cell: string | null;
  readonly runs: 'ppn' | 'rdn';
}

export interface Placement {
  readonly ppns: readonly string[];
  readonly rdns: readonly string[];
}

/** 0: the same access cell; 1: another of the same spine; 2: another spine, or not known. */
export function distance(a: string | null, b: string | null): 0 | 1 | 2 {
  if (a === null || b === null) return 2;
  if (a === b) return 0;
  return a.split('/')[0] === b.split('/')[0] ? 1 : 2;
}

/**
 * The four cases of the text follow from two rules: the nearest hosts first, and PPNs choose before RDNs. `kept` are
 * used where they are as near as others, so that nothing migrates without a reason. undefined: there are not enough.
 */
export function place(
  wanted: { readonly ppns: number; readonly rdns: number },
  cell: string | null,
  free: readonly Candidate[],
  kept: ReadonlySet<string> = new Set(),
): Placement | undefined {
  const nearest = (runs: Candidate['runs']): string[] =>
    free
      .filter((c) => c.runs === runs)
      .map((c, i) => ({ c, i }))
      .sort(
        (a, b) =>
          distance(a.c.cell, cell) - distance(b.c.cell, cell) || Number(kept.has(b.c.name)) - Number(kept.has(a.c.name)) || a.i - b.i,
      )
      .map(({ c }) => c.name);
  const [ppns, rdns] = [nearest('ppn').slice(0, wanted.ppns), nearest('rdn').slice(0, wanted.rdns)];
  return ppns.length < wanted.ppns || rdns.length === 0 ? undefined : { ppns, rdns };
}
