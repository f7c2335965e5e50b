/**
 * What a controller has published in its etcd, by what it follows from: a network, or an introduction. Changes go there in one transaction,
 * and are taken for published when they are.
 */
import type { Etcd } from '../../lib/etcd/client.ts';

type Rows = ReadonlyMap<string, string>;
const NONE: Rows = new Map();

export class Publication {
  readonly counters = { commits: 0, rows: 0 };
  readonly #client: Etcd;
  readonly #published = new Map<string, Rows>();
  /** What is to be published. */
  readonly #staged = new Map<string, Rows>();
  /** Rows of a predecessor, until it is known which of them hold. */
  #left: Rows;

  constructor(client: Etcd, left: Rows) {
    this.#client = client;
    this.#left = left;
  }

  /** Keys and values that follow from it. */
  of(by: string): Rows {
    return this.#published.get(by) ?? NONE;
  }

  /** With the next commit these rows follow from it, and no others. */
  stage(by: string, rows: Rows): void {
    this.#staged.set(by, rows);
  }

  /** `more`: rows that stay. The revision that has all of it; 0: there is nothing to write. Where it fails, it is staged still. */
  async commit(more: Rows): Promise<number> {
    const [put, remove] = [new Map(more), new Set<string>()];
    const staged = new Map(this.#staged);
    for (const [by, rows] of staged) {
      const before = this.of(by);
      for (const [key, value] of rows) if ((before.get(key) ?? this.#left.get(key)) !== value) put.set(key, value);
      for (const key of before.keys()) if (!rows.has(key)) remove.add(key);
    }
    for (const key of put.keys()) remove.delete(key);
    const revision = put.size + remove.size === 0 ? 0 : await this.#write(put, remove);
    for (const [by, rows] of staged) {
      this.#published.set(by, rows);
      if (this.#staged.get(by) === rows) this.#staged.delete(by);
    }
    return revision;
  }

  /** What a predecessor has published and this one does not. */
  async clear(): Promise<void> {
    const rows = new Set([...this.#published.values()].flatMap((own) => [...own.keys()]));
    const remove = new Set([...this.#left.keys()].filter((key) => !rows.has(key)));
    this.#left = NONE;
    if (remove.size > 0) await this.#write(NONE, remove);
  }

  async #write(put: Rows, remove: ReadonlySet<string>): Promise<number> {
    const revision = await this.#client.commit({ put, remove });
    this.counters.commits += 1;
    this.counters.rows += put.size + remove.size;
    return revision;
  }
}
