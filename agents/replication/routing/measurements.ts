/** What an RDN knows of its nodes from their reports: latencies, what packets cost them, whether their clocks are right. */
import { log } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import type { LoopStatistics } from '../logs.ts';
import type { Gateway, NodeId, Report } from '../protocol.ts';
import { clocksOff } from './clockcheck.ts';
import { Latencies, Spreads } from './latencies.ts';
import type { Knowledge } from './router.ts';

/** Latencies are remembered for so many periods. */
const WINDOW_PERIODS = 4;
/** Two reports of every node, at least. */
const LEAST_RECENT_MS = 500;
const SMOOTHING = 0.1;
/** Of a rate of messages, from one statistics to the next. */
const RATE_DECAY = 0.8;
/** Of a PPN that has not sent anything yet. */
const DWELL_US = 50;
const ELAPSED_US = 15;

interface Cost {
  readonly statistics: LoopStatistics;
  /** Bytes of messages a second: what came, not what was announced. */
  readonly bytesPerSecond: number;
  readonly dwellUs: number;
  readonly elapsedUs: number;
}

export class Measurements {
  readonly #config: AgentConfig;
  readonly #latencies: Latencies;
  readonly #spreads: Spreads;
  readonly #costs = new Map<NodeId, Cost>();
  /** Those of which something was heard. */
  readonly #paths = new Set<string>();
  #clocksOff: ReadonlySet<NodeId> = new Set();

  constructor(config: AgentConfig) {
    this.#config = config;
    this.#latencies = new Latencies(WINDOW_PERIODS * config.periodMs);
    this.#spreads = new Spreads(Math.max(config.periodMs, 1000));
  }

  get clocksOff(): number {
    return this.#clocksOff.size;
  }

  hear(from: NodeId, { latencies, application, statistics }: Report): void {
    const nowMs = performance.now();
    for (const [peer, values] of Object.entries(latencies)) {
      for (const ns of this.#afterFirst(`${peer} ${from}`, values)) this.#latencies.add(Number(peer), from, ns / 1000, nowMs);
    }
    for (const [source, sequence, ns] of application) this.#spreads.add(source, sequence, from, ns / 1000, nowMs);
    if (statistics) this.#costs.set(from, costOf(statistics, this.#costs.get(from)));
  }

  /** The first message of a path may have waited for address resolution (RFC 826): it says nothing of the path. */
  #afterFirst(path: string, values: readonly number[]): readonly number[] {
    if (this.#paths.has(path) || values.length === 0) return values;
    this.#paths.add(path);
    return values.slice(1);
  }

  /** A node that starts anew counts from zero. */
  forget(node: NodeId): void {
    this.#costs.delete(node);
  }

  isMeasured(from: NodeId, to: NodeId): boolean {
    return this.#latencies.quantile(from, to, 0.5, performance.now()) !== undefined;
  }

  /** `hasty`: the application suffers; what was measured last counts. */
  knowledge(gateway: Gateway, hasty: boolean): Knowledge {
    const nowMs = performance.now();
    const recentMs = Math.max(LEAST_RECENT_MS, hasty ? gateway.periodMs / 2 : gateway.periodMs);
    return {
      latencyUs: (from, to) => this.#latencies.settled(from, to, gateway.quantile, nowMs, recentMs),
      dwellUs: (ppn) => this.#costs.get(ppn)?.dwellUs ?? DWELL_US,
      elapsedUs: (ppn) => this.#costs.get(ppn)?.elapsedUs ?? ELAPSED_US,
      bytesPerSecond: (ppn) => this.#costs.get(ppn)?.bytesPerSecond ?? 0,
      bufferBytes: (ppn) => this.#costs.get(ppn)?.statistics.bufferBytes ?? this.#config.buffer.bytes,
    };
  }

  /** Those whose clocks are not shown to be wrong; all of them, if that would leave none. */
  usable(alive: readonly NodeId[]): readonly NodeId[] {
    const nowMs = performance.now();
    const off = clocksOff(alive, (from, to) => this.#latencies.quantile(from, to, 0, nowMs), this.#config.clockCriterionUs);
    for (const id of off) {
      if (!this.#clocksOff.has(id))
        log('warn', 'clock', {
          node: this.#config.nodes.find((n) => n.id === id)?.name,
          why: `off by more than ${this.#config.clockCriterionUs} us`,
        });
    }
    this.#clocksOff = new Set(off);
    return off.length === alive.length ? alive : alive.filter((id) => !off.includes(id));
  }

  /** As spreadUs: mean standard deviation. */
  deviationUs(consumers: readonly NodeId[], withinMs?: number): number | undefined {
    return this.#spreads.deviation(consumers, performance.now(), withinMs);
  }

  /** Of messages that all of these consumers have reported; undefined: there are none. */
  spreadUs(quantile: number, consumers: readonly NodeId[], withinMs?: number): number | undefined {
    return this.#spreads.quantile(quantile, consumers, performance.now(), withinMs);
  }
}

function costOf(statistics: LoopStatistics, before: Cost | undefined): Cost {
  if (before?.statistics.uptimeMs === statistics.uptimeMs) return before;
  const mean = (ns: 'dwellNs' | 'elapsedNs', count: 'dwellCount' | 'elapsedCount', last: number): number => {
    const n = statistics[count] - (before?.statistics[count] ?? 0);
    if (n <= 0) return last;
    // A stall of the machine is no property of the node.
    const us = Math.min((statistics[ns] - (before?.statistics[ns] ?? 0)) / n / 1000, 2 * last + 20);
    return last + SMOOTHING * (us - last);
  };
  const tookMs = statistics.uptimeMs - (before?.statistics.uptimeMs ?? statistics.uptimeMs);
  // Rises at once and falls slowly: buffers are for the worst.
  const rate = tookMs > 0 ? ((statistics.receivedBytes - (before?.statistics.receivedBytes ?? 0)) * 1000) / tookMs : 0;
  const bytesPerSecond = Math.max(rate, RATE_DECAY * (before?.bytesPerSecond ?? 0));
  return {
    statistics,
    bytesPerSecond,
    dwellUs: mean('dwellNs', 'dwellCount', before?.dwellUs ?? DWELL_US),
    elapsedUs: mean('elapsedNs', 'elapsedCount', before?.elapsedUs ?? ELAPSED_US),
  };
}
