/** One Gatekeeper instance: egress scheduler, receive controller and feedback of one server (R4 section 2). */
import { log, type Agent, type AgentSetup, type AgentStatus } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { Dataplane } from './dataplane.ts';
import { Exchange } from './exchange.ts';
import type { Feedback } from './feedback.ts';
import { createController, type Controller } from './laws/index.ts';
import type { Observation } from './laws/law.ts';
import { Meter, type PairRate } from './meter.ts';
import { observe } from './observe.ts';
import { SendQueue } from './sendqueue.ts';

/** Broadcast is held for a second once it is too much: measuring it every eighth period is soon enough. */
const GROUP_EVERY = 8;
/** More limiters than this are not logged one by one. */
const LOGGED_LIMITERS = 24;

export class GatekeeperAgent implements Agent<AgentConfig> {
  #state: AgentStatus['state'] = 'idle';
  #config: AgentConfig | undefined;
  #dataplane: Dataplane | undefined;
  #exchange: Exchange | undefined;
  #pairs: Meter | undefined;
  #groups: Meter | undefined;
  #controller: Controller | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastMs = 0;
  readonly #sendQueue = new SendQueue();
  /** Remote vNIC to the name of its server. */
  #serverOf: ReadonlyMap<string, string> = new Map();
  readonly #counters = {
    periods: 0,
    latePeriods: 0,
    updates: 0,
    meterMicroseconds: 0,
    lawMicroseconds: 0,
    feedbackMicroseconds: 0,
    limiterMicroseconds: 0,
  };

  async configure({ config, secret, ovsDir }: AgentSetup<AgentConfig>): Promise<void> {
    this.#adopt(config);
    this.#dataplane = await Dataplane.build(config, ovsDir);
    this.#exchange = new Exchange(config, Buffer.from(secret, 'hex'), (feedback) => this.#obey(feedback));
    this.#state = 'configured';
  }

  async start(): Promise<void> {
    this.#pairs = Meter.ofPairs();
    this.#groups = Meter.ofGroups();
    this.#controller = createController(this.#required().law);
    await this.#exchange?.open();
    this.#state = 'running';
    this.#lastMs = performance.now();
    // An interval costs a third less than a chain of timeouts. What comes late is not caught up: rates are measured over the whole gap.
    this.#timer = setInterval(() => this.#period(performance.now()), this.#required().periodMs);
  }

  /** Contracts and vNICs change without a gap: limiters and counters of those that stay are kept. */
  async update(config: AgentConfig): Promise<void> {
    this.#counters.updates += 1;
    this.#adopt(config);
    await this.#dataplane?.update(config);
  }

  status(): AgentStatus {
    const errors = this.#dataplane?.errors ?? 0;
    return { state: this.#state, ...(errors > 0 ? { problem: `${errors} tc/nft errors, last: ${this.#dataplane?.lastError}` } : {}) };
  }

  counters(): Readonly<Record<string, number>> {
    const limiters = this.#dataplane?.limiters;
    return {
      ...this.#counters,
      ...this.#exchange?.counters,
      limiters: limiters?.size ?? 0,
      limitersCreated: limiters?.created ?? 0,
      limitersRemoved: limiters?.removed ?? 0,
      pairs: this.#pairs?.size ?? 0,
      channelErrors: this.#dataplane?.errors ?? 0,
      channelMicroseconds: Math.round((this.#dataplane?.cpuSeconds ?? 0) * 1e6),
    };
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'idle') return;
    this.#state = 'stopped';
    clearInterval(this.#timer);
    this.#exchange?.close();
    this.#pairs?.close();
    this.#groups?.close();
    await this.#dataplane?.remove();
  }

  #required(): AgentConfig {
    if (!this.#config) throw new Error('configure first');
    return this.#config;
  }

  #adopt(config: AgentConfig): void {
    this.#config = config;
    this.#serverOf = new Map(config.remotes.map((r) => [r.mac, r.server]));
  }

  #period(nowMs: number): void {
    const config = this.#required();
    this.#counters.periods += 1;
    if (nowMs - this.#lastMs > 2 * config.periodMs) this.#counters.latePeriods += 1;
    this.#lastMs = nowMs;
    this.#exchange?.tick();
    this.#timed('limiterMicroseconds', () => this.#dataplane?.limiters.tick(nowMs));
    const observation = observe(
      config,
      this.#timed('meterMicroseconds', () => this.#measure()),
    );
    const feedback = this.#timed(
      'lawMicroseconds',
      () => this.#controller?.(observation, { threshold: config.threshold, active: config.active, periodMs: config.periodMs }) ?? [],
    );
    const sent = this.#timed('feedbackMicroseconds', () => this.#send(this.#sendQueue.due(feedback, config.periodMs)));
    if (config.trace) this.#trace(observation, feedback, sent);
  }

  #timed<T>(counter: 'meterMicroseconds' | 'lawMicroseconds' | 'feedbackMicroseconds' | 'limiterMicroseconds', work: () => T): T {
    const startedMs = performance.now();
    const result = work();
    this.#counters[counter] += Math.round((performance.now() - startedMs) * 1000);
    return result;
  }

  #measure(): PairRate[] {
    const pairs = this.#pairs?.read() ?? [];
    return this.#counters.periods % GROUP_EVERY === 0 ? [...pairs, ...(this.#groups?.read() ?? [])] : pairs;
  }

  /** Returns how many entries were sent. */
  #send(feedback: readonly Feedback[]): number {
    const byServer = new Map<string, Feedback[]>();
    for (const entry of feedback) {
      const server = this.#serverOf.get(entry.sender);
      if (server === undefined) continue; // a sender that no server is known for cannot be limited
      const entries = byServer.get(server);
      if (entries) entries.push(entry);
      else byServer.set(server, [entry]);
    }
    for (const [server, entries] of byServer) this.#exchange?.send(server, entries);
    return feedback.length;
  }

  #obey(feedback: readonly Feedback[]): void {
    this.#timed('limiterMicroseconds', () => this.#dataplane?.limiters.apply(feedback, performance.now()));
  }

  /** What the report's reaction plot draws: rates and allocations by vNIC, and the limiters of this server. */
  #trace({ vnics }: Observation, feedback: readonly Feedback[], sent: number): void {
    const limiters = this.#dataplane?.limiters;
    // Silent ones too, while they have a counter: a starved vNIC is what a reader looks for.
    const busy = vnics.filter((v) => v.senders.length > 0);
    if (busy.length === 0 && (limiters?.size ?? 0) === 0) return;
    const allocated: Record<string, number> = {};
    for (const { receiver, rateBps } of feedback) allocated[receiver] = Math.round((allocated[receiver] ?? 0) + rateBps);
    log('debug', 'period', {
      rates: Object.fromEntries(busy.map((v) => [v.mac, Math.round(v.senders.reduce((sum, s) => sum + s.rateBps, 0))])),
      allocated,
      feedback: sent,
      limiters: limiters && limiters.size <= LOGGED_LIMITERS ? limiters.rates() : {},
    });
  }
}
