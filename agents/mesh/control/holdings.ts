/** What somebody is to have, by what it follows from; and for whom that may have changed. Pure. */
export class Holdings {
  readonly #by = new Map<string, ReadonlyMap<string, readonly string[]>>();
  readonly #holders = new Map<string, Map<string, readonly string[]>>();
  readonly #concerned = new Set<string>();

  /** What follows from something; what followed from it before is over. */
  assign(by: string, holdings: ReadonlyMap<string, readonly string[]>): void {
    for (const holder of this.#by.get(by)?.keys() ?? []) this.#of(holder).delete(by);
    for (const [holder, what] of holdings) this.#of(holder).set(by, what);
    for (const holder of [...(this.#by.get(by)?.keys() ?? []), ...holdings.keys()]) this.#concerned.add(holder);
    this.#by.set(by, holdings);
  }

  /** Does anybody have anything by it? */
  isAnybodys(by: string): boolean {
    return (this.#by.get(by)?.size ?? 0) > 0;
  }

  concern(holders: Iterable<string>): void {
    for (const holder of holders) this.#concerned.add(holder);
  }

  /** What those have now for whom it may have changed. */
  get concerned(): Map<string, ReadonlySet<string>> {
    return new Map([...this.#concerned].map((holder) => [holder, new Set([...this.#of(holder).values()].flat())]));
  }

  /** It is as it is to be. */
  settle(holders: Iterable<string>): void {
    for (const holder of holders) this.#concerned.delete(holder);
  }

  #of(holder: string): Map<string, readonly string[]> {
    const known = this.#holders.get(holder) ?? new Map<string, readonly string[]>();
    this.#holders.set(holder, known);
    return known;
  }
}
