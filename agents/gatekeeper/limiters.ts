/** Sender side: dynamic rate limiters per (local vNIC, congested remote vNIC), set by feedback, raised in silence. */
import type { BatchChannel } from '../lib/batch.ts';
import { log } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import type { Feedback } from './feedback.ts';
import { addLimiter, changeLimiter, FIRST_LIMITER, removeLimiter, steer, unsteer } from './htb.ts';
import { afterFeedback, afterSilence, type LimiterState } from './recovery.ts';

/** Smaller changes of a limiter are not worth a system call. */
const NOTICEABLE = 0.005;

interface Limiter {
  readonly vnicIndex: number;
  readonly sender: string;
  readonly receiver: string;
  readonly minor: number;
  state: LimiterState;
  /** Feedback arrived since the last period. */
  heard: boolean;
}

export class Limiters {
  readonly #config: AgentConfig;
  readonly #tc: BatchChannel;
  readonly #nft: BatchChannel;
  readonly #limiters = new Map<string, Limiter>();
  readonly #free: number[] = [];
  #nextMinor = FIRST_LIMITER;
  created = 0;
  removed = 0;

  constructor(config: AgentConfig, tc: BatchChannel, nft: BatchChannel) {
    this.#config = config;
    this.#tc = tc;
    this.#nft = nft;
  }

  get size(): number {
    return this.#limiters.size;
  }

  /** False: the message is about a vNIC that is not here. */
  apply(feedback: Feedback): boolean {
    const vnicIndex = this.#config.vnics.findIndex((v) => v.mac === feedback.sender);
    if (vnicIndex < 0) return false;
    const key = `${feedback.sender} ${feedback.receiver}`;
    const state = afterFeedback(feedback.rateBps, feedback.senders);
    const known = this.#limiters.get(key);
    const { device } = this.#config.uplink;
    if (known) {
      const moved = Math.abs(state.rateBps - known.state.rateBps) > NOTICEABLE * known.state.rateBps;
      known.heard = true;
      if (!moved && feedback.rateBps < this.#config.uplink.rateBps) return true;
      known.state = state;
      this.#tc.send([changeLimiter(device, vnicIndex, known.minor, state.rateBps)]);
      return true;
    }
    const minor = this.#free.pop() ?? this.#nextMinor++;
    this.#limiters.set(key, { vnicIndex, sender: feedback.sender, receiver: feedback.receiver, minor, state, heard: true });
    this.#tc.send(addLimiter(device, vnicIndex, minor, state.rateBps));
    this.#nft.send([steer(feedback.sender, feedback.receiver, minor)]);
    this.created += 1;
    log('info', 'limiter created', { sender: feedback.sender, receiver: feedback.receiver, rateBps: feedback.rateBps });
    return true;
  }

  /** Once per period: limiters that heard nothing rise; those that have been at the maximum long enough go. */
  tick(nowMs: number): void {
    const { uplink, increase, limiterTimeoutMs, vnics } = this.#config;
    const lines: string[] = [];
    for (const [key, limiter] of this.#limiters) {
      if (limiter.heard) {
        limiter.heard = false;
        continue;
      }
      const before = limiter.state;
      const after = afterSilence(before, nowMs, {
        increaseBps: increase * uplink.rateBps,
        maximumBps: Math.min(vnics[limiter.vnicIndex]?.maxBps ?? uplink.rateBps, uplink.rateBps),
        timeoutMs: limiterTimeoutMs,
      });
      if (after === null) this.#remove(key, limiter);
      else {
        limiter.state = after;
        if (after.rateBps !== before.rateBps) lines.push(changeLimiter(uplink.device, limiter.vnicIndex, limiter.minor, after.rateBps));
      }
    }
    this.#tc.send(lines);
  }

  rates(): Record<string, number> {
    return Object.fromEntries([...this.#limiters].map(([key, limiter]) => [key, Math.round(limiter.state.rateBps)]));
  }

  #remove(key: string, limiter: Limiter): void {
    this.#limiters.delete(key);
    this.#nft.send([unsteer(limiter.sender, limiter.receiver)]);
    // Packets steered here meanwhile fall to the default leaf of the tree once the class is gone.
    this.#tc.send([removeLimiter(this.#config.uplink.device, limiter.minor)]);
    this.#free.push(limiter.minor);
    this.removed += 1;
    log('info', 'limiter removed', { sender: limiter.sender, receiver: limiter.receiver });
  }
}
