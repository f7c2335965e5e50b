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
  readonly #left: Map<string, string>;
  /** Rows that nothing follows from any more, once they are written. */
  readonly #more = new Map<string, string>();
  /** Keys of writes that failed: etcd may have them as they were, or as they were to be. */
  readonly #uncertain = new Set<string>();

  constructor(client: Etcd, left: Rows) {
    this.#client = client;
    this.#left = new Map(left);
  }

  /** Keys and values that follow from it. */
  of(by: string): Rows {
    return this.#published.get(by) ?? NONE;
  }

  /** With the next commit these rows follow from it, and no others. */
  stage(by: string, rows: Rows): void {
    this.#staged.set(by, rows);
  }

  /** It is written with the next commit, and stays. */
  put(key: string, value: string): void {
    this.#more.set(key, value);
  }

  /** The revision that has all of it; 0: there is nothing to write. Where it fails, it is staged still. */
  async commit(): Promise<number> {
    const more = new Map(this.#more);
    const [put, remove] = [new Map(more), new Set<string>()];
    const staged = new Map(this.#staged);
    for (const [by, rows] of staged) {
      const before = this.of(by);
      const isThere = (key: string, value: string): boolean =>
        !this.#uncertain.has(key) && (before.get(key) ?? this.#left.get(key)) === value;
      for (const [key, value] of rows) if (!isThere(key, value)) put.set(key, value);
      for (const key of before.keys()) if (!rows.has(key)) remove.add(key);
    }
    if (this.#uncertain.size > 0) {
      const held = new Set([...this.#published].flatMap(([by, rows]) => (staged.has(by) ? [] : [...rows.keys()])));
      for (const key of this.#uncertain) if (!held.has(key)) remove.add(key);
    }
    for (const key of put.keys()) remove.delete(key);
    const revision = put.size + remove.size === 0 ? 0 : await this.#write(put, remove);
    for (const [key, value] of more) if (this.#more.get(key) === value) this.#more.delete(key);
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
    if (remove.size > 0) await this.#write(NONE, remove);
    this.#left.clear();
  }

  async #write(put: Rows, remove: ReadonlySet<string>): Promise<number> {
    const keys = [...put.keys(), ...remove].filter((key) => !this.#more.has(key));
    for (const key of keys) this.#uncertain.add(key);
    const revision = await this.#client.commit({ put, remove });
    for (const key of keys) {
      this.#uncertain.delete(key);
      this.#left.delete(key);
    }
    this.counters.commits += 1;
    this.counters.rows += put.size + remove.size;
    return revision;
  }
}
