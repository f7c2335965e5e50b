/** Rows that are there as long as who wrote them is: where it is not heard for a while, etcd removes them. */
import { SerialQueue } from '../../../src/core/serial.ts';
import { log } from '../rpc.ts';
import type { Etcd, Lease } from './client.ts';

/** The shortest that etcd takes with its usual timers. */
const TTL_S = 2;
const KEEP_MS = 500;

export class Presence {
  readonly #client: Etcd;
  readonly #rows = new Map<string, string>();
  /** What the server does not have yet. */
  readonly #fresh = new Set<string>();
  readonly #turns = new SerialQueue();
  readonly #timer: NodeJS.Timeout;
  #lease: Lease | undefined;
  #stopped = false;

  constructor(client: Etcd) {
    this.#client = client;
    this.#timer = setInterval(() => this.#turn(), KEEP_MS);
  }

  put(key: string, value: string): void {
    if (this.#rows.get(key) === value) return;
    this.#rows.set(key, value);
    this.#fresh.add(key);
    this.#turn();
  }

  remove(key: string): void {
    if (!this.#rows.delete(key)) return;
    this.#fresh.add(key);
    this.#turn();
  }

  /** What was written goes. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  #turn(): void {
    void this.#turns
      .run(() => this.#keep())
      .catch((error: unknown) => {
        // A lease that ended took all rows along.
        this.#lease = undefined;
        if (!this.#stopped) log('warn', 'presence not kept', { why: (error as Error).message });
      });
  }

  async #keep(): Promise<void> {
    if (this.#stopped || this.#rows.size + this.#fresh.size === 0) return;
    if (this.#lease) await this.#lease.keep();
    else {
      this.#lease = await this.#client.lease(TTL_S);
      for (const key of this.#rows.keys()) this.#fresh.add(key);
    }
    const changed = [...this.#fresh];
    if (changed.length === 0) return;
    this.#fresh.clear();
    const put = new Map(changed.flatMap((key) => (this.#rows.has(key) ? [[key, this.#rows.get(key)!] as const] : [])));
    await this.#client.commit({ put, remove: changed.filter((key) => !put.has(key)), lease: this.#lease.id });
  }
}
