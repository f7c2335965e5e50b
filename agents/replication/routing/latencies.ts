/** Measured latencies of the last while, and their quantiles: means would hide the tail that a spread sees. */

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
    values.sort((a, b) => a - b);
    return values[Math.min(values.length - 1, Math.floor(quantile * values.length))];
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

/** Spread of messages that several consumers reported: largest minus smallest latency of each. */
export class Spreads {
  readonly #windowMs: number;
  readonly #messages = new Map<number, { atMs: number; least: number; most: number; count: number }>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(sequence: number, us: number, nowMs: number): void {
    const seen = this.#messages.get(sequence);
    if (!seen) this.#messages.set(sequence, { atMs: nowMs, least: us, most: us, count: 1 });
    else {
      seen.least = Math.min(seen.least, us);
      seen.most = Math.max(seen.most, us);
      seen.count += 1;
    }
  }

  /** Of messages that at least `consumers` reported; undefined: there are none. */
  quantile(quantile: number, consumers: number, nowMs: number, withinMs = this.#windowMs): number | undefined {
    for (const [sequence, { atMs }] of this.#messages) if (atMs < nowMs - this.#windowMs) this.#messages.delete(sequence);
    const spreads = [...this.#messages.values()].filter((m) => m.count >= consumers && m.atMs >= nowMs - withinMs).map((m) => m.most - m.least).sort((a, b) => a - b);
    return spreads[Math.min(spreads.length - 1, Math.floor(quantile * spreads.length))];
  }
}
