/** Measured latencies of the last while, and their quantiles: means would hide the tail that a spread sees. */

import { mean, quantileSorted, sampleStandardDeviation } from 'simple-statistics';

interface Series {
  /** Oldest first. */
  readonly values: { atMs: number; us: number }[];
}

/** A recent quantile that differs by so much from the whole window's is no noise. */
const CHANGED_US = 150;
const CHANGED = 0.1;

export class Latencies {
  readonly #windowMs: number;
  readonly #series = new Map<string, Series>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(from: number, to: number, us: number, nowMs: number): void {
    const key = `${from} ${to}`;
    let series = this.#series.get(key);
    if (!series) this.#series.set(key, (series = { values: [] }));
    series.values.push({ atMs: nowMs, us });
    // Also where nobody asks.
    if (series.values.length > 4096) series.values.splice(0, 2048);
  }

  /** undefined: nothing was measured lately. `withinMs`: a shorter window. */
  quantile(from: number, to: number, quantile: number, nowMs: number, withinMs = this.#windowMs): number | undefined {
    const values = this.#recent(`${from} ${to}`, nowMs, withinMs);
    if (values.length === 0) return undefined;
    return quantileSorted(
      values.sort((a, b) => a - b),
      quantile,
    );
  }

  /** Over the whole window, unless the last part of it says something else: a path that changed is believed soon, noise is not. */
  settled(from: number, to: number, quantile: number, nowMs: number, recentMs: number): number | undefined {
    const [whole, recent] = [this.quantile(from, to, quantile, nowMs), this.quantile(from, to, quantile, nowMs, recentMs)];
    if (whole === undefined || recent === undefined) return whole;
    return Math.abs(recent - whole) > Math.max(CHANGED_US, CHANGED * whole) ? recent : whole;
  }

  #recent(key: string, nowMs: number, withinMs: number): number[] {
    const series = this.#series.get(key);
    if (!series) return [];
    const old = series.values.findIndex((v) => v.atMs >= nowMs - this.#windowMs);
    if (old > 0) series.values.splice(0, old);
    else if (old < 0) series.values.length = 0;
    return series.values.filter((v) => v.atMs >= nowMs - withinMs).map((v) => v.us);
  }
}

/** Latencies of messages that several consumers reported, message by message. */
export class Spreads {
  readonly #windowMs: number;
  readonly #messages = new Map<string, { readonly atMs: number; readonly by: Map<number, number> }>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(source: number, sequence: number, consumer: number, us: number, nowMs: number): void {
    const key = `${source} ${sequence}`;
    let seen = this.#messages.get(key);
    if (!seen) {
      this.#messages.set(key, (seen = { atMs: nowMs, by: new Map() }));
      // Oldest first: a map keeps the order in which its keys came.
      for (const [old, { atMs }] of this.#messages) {
        if (atMs >= nowMs - this.#windowMs) break;
        this.#messages.delete(old);
      }
    }
    seen.by.set(consumer, us);
  }

  /** Largest less smallest latency of messages that all of these consumers reported; undefined: there are none. */
  quantile(quantile: number, consumers: readonly number[], nowMs: number, withinMs = this.#windowMs): number | undefined {
    const spreads = this.#complete(consumers, nowMs, withinMs)
      .map((own) => Math.max(...own) - Math.min(...own))
      .sort((a, b) => a - b);
    return spreads.length === 0 ? undefined : quantileSorted(spreads, quantile);
  }

  /** Mean of messages' standard deviations. */
  deviation(consumers: readonly number[], nowMs: number, withinMs = this.#windowMs): number | undefined {
    const deviations = this.#complete(consumers, nowMs, withinMs).map(deviationOf);
    return deviations.length === 0 ? undefined : mean(deviations);
  }

  #complete(consumers: readonly number[], nowMs: number, withinMs: number): number[][] {
    return [...this.#messages.values()].flatMap(({ atMs, by }) => {
      const own = atMs >= nowMs - withinMs ? consumers.map((c) => by.get(c)) : [];
      const known = own.filter((us) => us !== undefined);
      return known.length === 0 || known.length < own.length ? [] : [known];
    });
  }
}

/** Standard deviation of a sample; Infinity where a member of it is. */
export function deviationOf(values: readonly number[]): number {
  if (values.includes(Infinity)) return Infinity;
  return values.length < 2 ? 0 : sampleStandardDeviation([...values]);
}
