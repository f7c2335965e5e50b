/** Sessions of a host with controllers: one each, made when it is first needed (R2-13). */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Etcd } from '../../lib/etcd/client.ts';
import { log } from '../../lib/rpc.ts';
import type { Place } from '../config.ts';

const AGAIN_MS = 200;
/** Of one transaction: etcd has a limit for its operations. */
const MOST_ROWS = 1000;

/** The last value of a row that is to be written. */
interface Waiting {
  readonly value: string;
  readonly isWanted: () => boolean;
  readonly done: readonly (() => void)[];
}

export class Controllers {
  readonly #connect: (to: Place) => Etcd;
  readonly #clients = new Map<string, Etcd>();
  readonly #lost = new Set<string>();
  /** By controller and key. */
  readonly #waiting = new Map<string, Map<string, Waiting>>();
  #closed = false;

  constructor(connect: (to: Place) => Etcd) {
    this.#connect = connect;
  }

  client(to: Place): Etcd {
    let client = this.#clients.get(to.name);
    if (!client) this.#clients.set(to.name, (client = this.#connect(to)));
    return client;
  }

  /** Those that have not been heard for so long; each is told once until it is heard again. */
  lostFor(holdMs: number): string[] {
    const lost = [...this.#clients].filter(([name, { watches }]) => {
      if (watches.lostAtMs === null) this.#lost.delete(name);
      return watches.lostAtMs !== null && performance.now() - watches.lostAtMs >= holdMs && !this.#lost.has(name);
    });
    for (const [name] of lost) this.#lost.add(name);
    return lost.map(([name]) => name);
  }

  /** Names of those that there is a session with. */
  get known(): string[] {
    return [...this.#clients.keys()];
  }

  /** A row, as soon as the controller takes it; `isWanted`: still. What is written meanwhile goes with it, in one transaction. */
  write(to: Place, key: string, value: string, isWanted: () => boolean): Promise<void> {
    const waiting = this.#waiting.get(to.name) ?? new Map<string, Waiting>();
    const earlier = waiting.get(key)?.done ?? [];
    return new Promise((done) => {
      waiting.set(key, { value, isWanted, done: [...earlier, done] });
      if (this.#waiting.has(to.name)) return;
      this.#waiting.set(to.name, waiting);
      void this.#flush(to, waiting);
    });
  }

  async #flush(to: Place, waiting: Map<string, Waiting>): Promise<void> {
    // What follows from the same news comes with it.
    await nextTurn();
    while (!this.#closed && waiting.size > 0) {
      const batch = [...waiting].slice(0, MOST_ROWS);
      for (const [key] of batch) waiting.delete(key);
      const put = new Map(batch.flatMap(([key, { value, isWanted }]) => (isWanted() ? [[key, value] as const] : [])));
      try {
        if (put.size > 0) await this.client(to).commit({ put, remove: [] });
        for (const [, { done }] of batch) for (const resolve of done) resolve();
      } catch (error) {
        log('warn', 'not written', { to: to.name, rows: put.size, why: (error as Error).message });
        for (const [key, { done, ...row }] of batch) {
          const newer = waiting.get(key);
          waiting.set(key, { ...(newer ?? row), done: [...done, ...(newer?.done ?? [])] });
        }
        await sleep(AGAIN_MS);
      }
    }
    this.#waiting.delete(to.name);
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) client.close();
  }
}
