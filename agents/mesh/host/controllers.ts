/** Sessions of a host with controllers: one each, made when it is first needed (R2-13). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd } from '../../lib/etcd/client.ts';
import { log } from '../../lib/rpc.ts';
import type { Place } from '../config.ts';

const AGAIN_MS = 200;

export class Controllers {
  readonly #connect: (to: Place) => Etcd;
  readonly #clients = new Map<string, Etcd>();
  readonly #lost = new Set<string>();
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

  /** A row, as soon as the controller takes it; `isWanted`: still. */
  async write(to: Place, key: string, value: string, isWanted: () => boolean): Promise<void> {
    while (!this.#closed && isWanted()) {
      try {
        await this.client(to).commit({ put: new Map([[key, value]]), remove: [] });
        return;
      } catch (error) {
        log('warn', 'not written', { to: to.name, key, why: (error as Error).message });
        await sleep(AGAIN_MS);
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) client.close();
  }
}
