/** One lease over all machines of a rig: acquired on all or on none, renewed while its owner lives. */
import { hostname, userInfo } from 'node:os';
import { sleep } from '../../core/context.ts';
import { NetrigError } from '../../core/errors.ts';
import type { Machines } from '../machines/connect.ts';
import type { Machine } from '../machines/machine.ts';

/** An owner that is dead or cut off for this long has lost the rig. */
export const TTL_MS = 30_000;
const RENEW_MS = 5000;
/** Of a lab that is left standing: until somebody destroys it, at most this long. */
const HOLD_MS = 12 * 3600_000;
const RETRY_MS = 1000;

export class LeaseRenewal {
  readonly #machines: Machines;
  readonly tokens: Readonly<Record<string, string>>;
  readonly #timer: NodeJS.Timeout;
  readonly #lost = new AbortController();
  /** When each machine was last known to be ours; performance.now(). */
  readonly #renewedMs = new Map<string, number>();
  #held = false;

  private constructor(machines: Machines, tokens: Readonly<Record<string, string>>) {
    this.#machines = machines;
    this.tokens = tokens;
    for (const name of machines.keys()) this.#renewedMs.set(name, performance.now());
    this.#timer = setInterval(() => void this.#renew(), RENEW_MS);
    this.#timer.unref();
  }

  /** Waits in line for at most `waitMs`; `onWait` is told who is before. LEASE_HELD. */
  static async acquire(
    machines: Machines,
    purpose: string,
    waitMs: number,
    signal: AbortSignal,
    onWait: (why: string) => void,
  ): Promise<LeaseRenewal> {
    const request = { owner: `${userInfo().username}@${hostname()} (process ${process.pid})`, purpose, ttlMs: TTL_MS };
    const deadline = performance.now() + waitMs;
    let told = '';
    for (;;) {
      const tokens: Record<string, string> = {};
      try {
        // One after the other in one order: two that want the same machines do not take half each.
        for (const name of [...machines.keys()].sort()) tokens[name] = await (machines.get(name) as Machine).acquire(request);
        return new LeaseRenewal(machines, tokens);
      } catch (error) {
        await Promise.allSettled(Object.keys(tokens).map((name) => (machines.get(name) as Machine).unlease()));
        if (!(error instanceof NetrigError) || error.code !== 'LEASE_HELD' || performance.now() > deadline) throw error;
        const holder = error.message.replace(/, [^,]* left$/, '');
        if (holder !== told) onWait(`waiting: the rig is ${(told = holder)}`);
        await sleep(RETRY_MS * (0.5 + Math.random()), signal);
      }
    }
  }

  /** Fires when the rig is ours no longer; its reason says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Keeps the rig after this process has ended, for a lab that is left standing. */
  async hold(): Promise<void> {
    clearInterval(this.#timer);
    this.#held = true;
    await Promise.all([...this.#machines.values()].map((m) => m.renew(HOLD_MS)));
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    if (!this.#held && !this.#lost.signal.aborted) await Promise.allSettled([...this.#machines.values()].map((m) => m.unlease()));
  }

  async #renew(): Promise<void> {
    await Promise.all(
      [...this.#machines].map(async ([name, machine]) => {
        try {
          await machine.renew(TTL_MS);
          this.#renewedMs.set(name, performance.now());
        } catch (error) {
          const fenced = error instanceof NetrigError && error.code === 'LEASE_LOST';
          if (fenced) this.#lost.abort(new NetrigError('LEASE_LOST', `${machine.label}: ${error.message}`, { hint: error.hint }));
          else if (performance.now() - (this.#renewedMs.get(name) ?? 0) > TTL_MS)
            this.#lost.abort(
              new NetrigError('LEASE_LOST', `${machine.label} could not be reached for ${TTL_MS / 1000} s: its lease has expired`, {
                cause: error,
              }),
            );
        }
      }),
    );
  }
}
