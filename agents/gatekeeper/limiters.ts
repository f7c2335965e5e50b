/** Sender side: dynamic rate limiters per (local vNIC, congested remote vNIC), set by feedback, raised in silence. */
import type { BatchChannel } from '../lib/batch.ts';
import { log } from '../lib/rpc.ts';
import {
  addLimiter,
  changeLimiter,
  FIRST_LIMITER,
  limiterPackets,
  mostLimiterPackets,
  removeLimiter,
  type Contract,
  type LimiterSettings,
  type Uplink,
} from './egress.ts';
import type { Feedback } from './feedback.ts';
import { afterFeedback, afterSilence, type LimiterState } from './recovery.ts';
import { steer, unsteer } from './steering.ts';

/** Smaller changes of a limiter are not worth a system call. */
const NOTICEABLE = 0.005;

/** How long a class outlives its limiter. */
const RETIRED_MS = 100;

export interface LimitedVnic {
  readonly slot: number;
  readonly vnic: Contract;
}

export interface LimiterParameters {
  readonly uplink: Uplink;
  /** Aggregate rise per period in silence, as a fraction of the uplink. */
  readonly increase: number;
  readonly timeoutMs: number;
}

interface Limiter {
  readonly slot: number;
  readonly sender: string;
  readonly receiver: string;
  readonly minor: number;
  /** How deep its queue may be, by how many limiters the vNIC had when this one was made. */
  readonly mostPackets: number;
  /** As the kernel has them. */
  settings: LimiterSettings;
  state: LimiterState;
  /** Feedback arrived since the last period. */
  heard: boolean;
}

export class Limiters {
  readonly #parameters: LimiterParameters;
  readonly #vnics: ReadonlyMap<string, LimitedVnic>;
  readonly #tc: BatchChannel;
  readonly #nft: BatchChannel;
  readonly #limiters = new Map<string, Limiter>();
  /** Numbers of limiters that are gone, and those whose classes go once no packet can be steered to them any more. */
  readonly #free: number[] = [];
  #retired: { minor: number; atMs: number }[] = [];
  #nextMinor = FIRST_LIMITER;
  created = 0;
  removed = 0;

  /** `vnics` by MAC; the caller keeps it up to date. */
  constructor(parameters: LimiterParameters, vnics: ReadonlyMap<string, LimitedVnic>, tc: BatchChannel, nft: BatchChannel) {
    this.#parameters = parameters;
    this.#vnics = vnics;
    this.#tc = tc;
    this.#nft = nft;
  }

  get size(): number {
    return this.#limiters.size;
  }

  /** What is about a vNIC that is not here is passed over. */
  apply(feedback: readonly Feedback[], nowMs: number): void {
    const tc: string[] = [];
    const nft: string[] = [];
    for (const entry of feedback) {
      const plugged = this.#vnics.get(entry.sender);
      if (!plugged) continue;
      const key = `${entry.sender} ${entry.receiver}`;
      const known = this.#limiters.get(key);
      if (known) {
        known.heard = true;
        known.state = afterFeedback(entry, nowMs);
        if (Math.abs(entry.rateBps - known.settings.rateBps) > NOTICEABLE * known.settings.rateBps)
          tc.push(...this.#set(known, entry.rateBps));
        continue;
      }
      const minor = this.#free.pop() ?? this.#nextMinor++;
      const siblings = this.#of(entry.sender).length;
      const { slot, vnic } = plugged;
      const mostPackets = mostLimiterPackets(vnic.minBps, siblings + 1);
      const settings = { rateBps: entry.rateBps, packets: limiterPackets(entry.rateBps, mostPackets), part: Math.random() };
      this.#limiters.set(key, {
        slot,
        sender: entry.sender,
        receiver: entry.receiver,
        minor,
        mostPackets,
        settings,
        state: afterFeedback(entry, nowMs),
        heard: true,
      });
      tc.push(...addLimiter(this.#parameters.uplink, slot, minor, settings));
      nft.push(steer(entry.sender, entry.receiver, minor));
      this.created += 1;
      log('info', 'limiter created', { sender: entry.sender, receiver: entry.receiver, rateBps: entry.rateBps });
    }
    this.#tc.send(tc);
    this.#nft.send(nft);
  }

  /** Once per period: limiters that heard nothing rise; those that have been at the maximum long enough go. */
  tick(nowMs: number): void {
    const { uplink, increase, timeoutMs } = this.#parameters;
    const lines = this.#bury(nowMs);
    for (const limiter of this.#limiters.values()) {
      if (limiter.heard) {
        limiter.heard = false;
        continue;
      }
      const before = limiter.state;
      const after = afterSilence(before, nowMs, {
        increaseBps: increase * uplink.rateBps,
        maximumBps: Math.min(this.#vnics.get(limiter.sender)?.vnic.maxBps ?? uplink.rateBps, uplink.rateBps),
        timeoutMs,
      });
      if (after === null) this.#remove(limiter, nowMs);
      else {
        limiter.state = after;
        if (after.rateBps !== before.rateBps) lines.push(...this.#set(limiter, after.rateBps));
      }
    }
    this.#tc.send(lines);
  }

  /** A vNIC leaves: its limiters go before its class. */
  removeOf(sender: string): void {
    for (const limiter of this.#of(sender)) this.#remove(limiter, 0);
    // Its class can go only when no child of it is left, retired ones included.
    this.#tc.send(this.#bury(Infinity));
  }

  /** "sender receiver" to bit/s. */
  rates(): Record<string, number> {
    return Object.fromEntries([...this.#limiters].map(([key, limiter]) => [key, Math.round(limiter.state.rateBps)]));
  }

  #set(limiter: Limiter, rateBps: number): string[] {
    const before = limiter.settings;
    limiter.settings = { ...before, rateBps, packets: limiterPackets(rateBps, limiter.mostPackets) };
    return changeLimiter(this.#parameters.uplink, limiter.slot, limiter.minor, before, limiter.settings);
  }

  /** nft and tc are processes of their own: a class goes, and its number is used again, when nft has surely forgotten it. */
  #bury(nowMs: number): string[] {
    const due = this.#retired.filter((r) => nowMs - r.atMs >= RETIRED_MS);
    if (due.length === 0) return [];
    this.#retired = this.#retired.filter((r) => nowMs - r.atMs < RETIRED_MS);
    this.#free.push(...due.map((r) => r.minor));
    return due.map((r) => removeLimiter(this.#parameters.uplink, r.minor));
  }

  #of(sender: string): Limiter[] {
    return [...this.#limiters.values()].filter((limiter) => limiter.sender === sender);
  }

  #remove(limiter: Limiter, nowMs: number): void {
    this.#limiters.delete(`${limiter.sender} ${limiter.receiver}`);
    this.#retired.push({ minor: limiter.minor, atMs: nowMs });
    this.#nft.send([unsteer(limiter.sender, limiter.receiver)]);
    this.removed += 1;
    log('info', 'limiter removed', { sender: limiter.sender, receiver: limiter.receiver });
  }
}
