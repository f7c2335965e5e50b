/** Routing decisions node: gathers measurements, iterates, and sends directives where they change (R0 section 3.1). */
import { until } from '../../../src/core/until.ts';
import { CALL_TIMEOUT_MS, listen, type Peer } from '../../lib/channel.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentConfig, NodeInfo } from '../config.ts';
import { isSame } from './directives.ts';
import { logDirectives, logIteration } from './journal.ts';
import { Measurements } from './measurements.ts';
import { UNUSED } from './graph.ts';
import {
  consumersOf,
  RDN_PORT,
  type Destination,
  type Gateway,
  type GatewayStatus,
  type MemberFunctions,
  type Membership,
  type Memory,
  type NodeId,
  type ProbeTarget,
  type RdnControlFunctions,
  type RdnFunctions,
} from '../protocol.ts';
import { route, type Route } from './router.ts';

/** A period shorter than this would be all measuring and no sending. */
const LEAST_PERIOD_MS = 200;
/** Of the period, where the application's own latencies near the limit (R0-13). */
const HASTE = 4;
const NEAR = 0.8;
/** A message that is reported may have been sent this long before. */
const REPORTED_AFTER_MS = 250;
/** Iterations that look for a better tree although nothing has become worse. */
const THOROUGH_EVERY = 8;
/** Nodes that are lost within this time are lost together: one iteration for all of them (R0-12). */
const TOGETHER_MS = 20;
const FIRST_MEASUREMENTS_MS = 6000;
/** Of somebody who joins. */
const NEW_MEASUREMENTS_MS = 1500;
/** The control plane server waits for its answer no longer than a call may take. */
const MOST_MEASUREMENTS_MS = CALL_TIMEOUT_MS - 5000;
const EPOCHS_OF_TERM = 100_000;
/** Intervals between probes: the first one says nothing, and one may be lost. */
const PROBES_AWAITED = 4;
/** Intervals between probes until each path has had one, for certain. */
const MEASURED_AFTER = 1.2;
const POLL_MS = 100;
/** Messages that consumers report, per second. */
const SAMPLES_PER_SECOND = 40;
/** Holds are sent again when they are off by this much, or by a tenth of the allowed variation if that is more. */
const TOLERANCE_US = 30;

type Pair = readonly [from: NodeId, to: NodeId];
type Trigger = 'first' | 'period' | 'members' | 'failure' | 'limit';

export class Rdn {
  readonly #config: AgentConfig;
  readonly #nodes: ReadonlyMap<NodeId, NodeInfo>;
  readonly #members = new Map<NodeId, Peer<MemberFunctions>>();
  readonly #measured: Measurements;
  #server: { close(): void } | undefined;
  #gateway: Gateway | null = null;
  readonly #settled = new Set<NodeId>();
  #memory: Memory | null = null;
  readonly #routes = new Map<NodeId, Route>();
  /** What each PPN was last told, by graph. */
  readonly #installed = new Map<number, Map<NodeId, readonly Destination[]>>();
  readonly #active = new Map<number, { entry: NodeId; epoch: number }>();
  readonly #aimed = new Map<NodeId, string>();
  /** Until all paths have been measured again: no iteration by time is sooner (R0-14). */
  #measuredMs = 0;
  #epoch = 0;
  #changedMs = -Infinity;
  #strained = false;
  #iterating: Promise<void> = Promise.resolve();
  /** One that has not begun. */
  #waiting: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  readonly #counters = { iterations: 0, directivesSent: 0, resolutions: 0, reports: 0 };

  constructor(config: AgentConfig) {
    this.#config = config;
    this.#nodes = new Map(config.nodes.map((n) => [n.id, n]));
    this.#measured = new Measurements(config);
  }

  async start(secret: string): Promise<void> {
    this.#server = await listen<MemberFunctions>({
      address: this.#config.self.bind,
      port: RDN_PORT,
      secret,
      silenceMs: this.#config.silenceMs,
      serve: (name) => {
        const node = this.#config.nodes.find((n) => n.name === name);
        if (node?.role === 'control') return this.#control();
        return node && this.#forMember(node.id);
      },
      onPeer: (peer) => this.#greet(peer),
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#gateway = null;
    this.#server?.close();
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, members: this.#members.size, clocksOff: this.#measured.clocksOff, epoch: this.#epoch };
  }

  #forMember(id: NodeId): RdnFunctions {
    return {
      report: (report) => {
        this.#counters.reports += 1;
        this.#measured.hear(id, report);
      },
      resolve: ({ address, port }) => this.#resolve(id, address, port),
    };
  }

  #greet(peer: Peer<MemberFunctions>): void {
    const node = this.#config.nodes.find((n) => n.name === peer.name);
    if (!node || node.role === 'control') return;
    this.#members.set(node.id, peer);
    // It remembers nothing, whoever it was before.
    this.#forget(node.id);
    if (this.#gateway) void this.#settle(node.id, this.#gateway, this.#pairs(this.#gateway));
    // A producer that was away may aim at an entry that is none any more.
    if (this.#routes.has(node.id)) void this.#iterate('failure');
    void peer.closed.then(() => {
      if (this.#members.get(node.id) !== peer) return;
      this.#members.delete(node.id);
      this.#forget(node.id);
      if (this.#gateway?.ppns.includes(node.id)) void this.#iterate('failure');
    });
  }

  #forget(node: NodeId): void {
    this.#measured.forget(node);
    for (const [graph, told] of this.#installed) {
      told.delete(node);
      if (this.#active.get(graph)?.entry === node) this.#active.delete(graph);
    }
    this.#aimed.delete(node);
  }

  /** R0-31: asked once a flow; the PPN remembers. */
  #resolve(ppn: NodeId, address: string, port: number): number | null {
    this.#counters.resolutions += 1;
    const producer = this.#config.nodes.find((n) => n.role === 'producer' && n.address === address);
    const graph = this.#routes.get(producer?.id ?? -1)?.graphs.find((g) => g.ppns[g.tree.entry] === ppn)?.id ?? null;
    log('info', 'resolve', { ppn: this.#nodes.get(ppn)?.name, flow: `${address}:${port}`, graph });
    return graph;
  }

  #control(): RdnControlFunctions {
    return {
      remember: (memory) => {
        if (memory.version > (this.#memory?.version ?? 0)) this.#memory = memory;
      },
      recall: () => this.#memory,
      lead: (gateway) => this.#lead(gateway),
      status: () => this.#status(),
      metrics: () => this.#metrics(),
    };
  }

  async #lead(gateway: Gateway | null): Promise<void> {
    const first = this.#gateway === null || gateway === null || gateway.term !== this.#gateway.term;
    this.#gateway = gateway;
    clearTimeout(this.#timer);
    // Another RDN may have led since: what the nodes were told then is not known here.
    if (first) for (const told of [this.#installed, this.#active, this.#aimed]) told.clear();
    if (!gateway) return;
    // Each term has its own range of epochs: directives of older terms cannot be mistaken for its own.
    if (first) this.#epoch = Math.max(this.#epoch, gateway.term * EPOCHS_OF_TERM);
    const pairs = this.#pairs(gateway);
    this.#measuredMs = (MEASURED_AFTER * this.#probeIntervalUs(pairs)) / 1000;
    await Promise.all([...this.#members.keys()].map((id) => this.#settle(id, gateway, pairs)));
    await this.#untilMeasured(
      gateway,
      pairs,
      first,
      Math.min(
        MOST_MEASUREMENTS_MS,
        Math.max(first ? FIRST_MEASUREMENTS_MS : NEW_MEASUREMENTS_MS, (PROBES_AWAITED * this.#probeIntervalUs(pairs)) / 1000),
      ),
    );
    await this.#iterate(first ? 'first' : 'members');
  }

  /** Until all pairs that a graph may use have been measured, or for a while. `all`: those of nodes that are still to come, too. */
  async #untilMeasured(gateway: Gateway, pairs: readonly Pair[], all: boolean, patienceMs: number): Promise<void> {
    const isExpected = ([from, to]: Pair): boolean => all || (this.#members.has(from) && this.#members.has(to));
    const isMeasured = (): boolean =>
      gateway.ppns.some((p) => this.#members.has(p)) && pairs.every((pair) => !isExpected(pair) || this.#measured.isMeasured(...pair));
    await until(() => this.#gateway !== gateway || isMeasured(), { withinMs: patienceMs, everyMs: POLL_MS });
  }

  /** R0-14: producer to PPN, PPN to PPN, PPN to consumer. */
  #pairs(gateway: Gateway): Pair[] {
    const { producers, ppns, scheme } = gateway;
    const consumers = consumersOf(gateway);
    if (scheme === 'unicast') return producers.flatMap((m) => consumers.map((c): Pair => [m, c]));
    return [
      ...producers.flatMap((m) => ppns.map((p): Pair => [m, p])),
      ...ppns.flatMap((p) => ppns.filter((q) => q !== p).map((q): Pair => [p, q])),
      ...ppns.flatMap((p) => consumers.map((c): Pair => [p, c])),
    ];
  }

  /** So that all pairs together keep to the rate. */
  #probeIntervalUs(pairs: readonly Pair[]): number {
    return Math.max(50_000, (pairs.length / this.#config.probesPerSecond) * 1e6);
  }

  /** Nodes of the gateway, and those that were and are to stop measuring. */
  async #settle(id: NodeId, gateway: Gateway, pairs: readonly Pair[]): Promise<void> {
    const belongs = [gateway.producers, gateway.ppns, consumersOf(gateway)].some((ids) => ids.includes(id));
    if (!belongs && !this.#settled.delete(id)) return;
    if (belongs) this.#settled.add(id);
    const intervalUs = this.#probeIntervalUs(pairs);
    const probes = pairs.flatMap(([from, to]): ProbeTarget[] => (from === id ? [{ peer: to, intervalUs }] : []));
    const sampleEvery = Math.max(1, Math.ceil(gateway.messagesPerSecond / SAMPLES_PER_SECOND));
    await this.#members
      .get(id)
      ?.call.settle({
        svg: gateway.svg,
        term: gateway.term,
        probes,
        probeBytes: gateway.messageBytes,
        buffer: this.#config.buffer,
        sampleEvery,
      })
      .catch((error: unknown) => {
        log('warn', 'settle', { node: this.#nodes.get(id)?.name, why: (error as Error).message });
      });
  }

  /** One at a time; what comes while one is waiting to begin is dealt with by that one. */
  #iterate(trigger: Trigger): Promise<void> {
    this.#waiting ??= this.#iterating = this.#iterating
      .then(async () => {
        // Failures at the same moment are reported separately.
        if (trigger === 'failure') await new Promise((resolve) => setTimeout(resolve, TOGETHER_MS));
        this.#waiting = null;
        return this.#iteration(trigger);
      })
      .catch((error: unknown) => log('error', 'iteration', { trigger, why: (error as Error).message }));
    return this.#waiting;
  }

  async #iteration(trigger: Trigger): Promise<void> {
    const gateway = this.#gateway;
    if (!gateway) return;
    clearTimeout(this.#timer);
    const startedMs = performance.now();
    const strained = this.#isStrained(gateway);
    this.#strained = strained;
    this.#counters.iterations += 1;
    const healthy = this.#measured.usable(gateway.ppns.filter((p) => this.#members.has(p)));
    const knowledge = this.#measured.knowledge(gateway, trigger === 'limit');
    let changed = 0;
    let failed = false;
    const found: Route[] = [];
    const all = this.#config.nodes.filter((n) => n.role === 'producer');
    for (const producer of gateway.producers) {
      // A producer's graphs keep their numbers, whoever comes and goes: PPNs remember them.
      const index = all.findIndex((n) => n.id === producer);
      const next = route(
        producer,
        index,
        {
          gateway,
          healthy,
          knowledge,
          marginUs: this.#config.marginUs,
          thorough: trigger !== 'period' || this.#counters.iterations % THOROUGH_EVERY === 0,
        },
        this.#routes.get(producer),
      );
      // A graph that cannot be made leaves the last one in force: PPNs that ask for a flow are told of that one.
      const isInForce = next.graphs.length > 0 || consumersOf(gateway).length === 0;
      this.#routes.set(producer, isInForce ? next : { ...next, graphs: this.#routes.get(producer)?.graphs ?? [] });
      found.push(next);
      const sent = await this.#apply(gateway, next).catch((error: unknown) => {
        log('warn', 'directives failed', { why: (error as Error).message });
        return null;
      });
      if (sent === null) failed = true;
      else changed += sent;
    }
    await this.#dismiss(gateway);
    if (changed > 0) this.#changedMs = performance.now();
    logIteration(this.#nodes, found, {
      trigger,
      svg: gateway.svg,
      changed,
      epoch: this.#epoch,
      tookMs: performance.now() - startedMs,
      spreadUs: this.#measured.spreadUs(0.5, this.#connected(this.#consumers()), gateway.periodMs) ?? null,
    });
    if (this.#gateway !== gateway) return;
    this.#strained = this.#isStrained(gateway);
    const wantedMs = this.#strained || strained ? gateway.periodMs / HASTE : gateway.periodMs;
    const pauseMs = failed ? LEAST_PERIOD_MS : Math.max(LEAST_PERIOD_MS, this.#measuredMs, wantedMs);
    this.#timer = setTimeout(() => void this.#iterate(this.#strained || strained ? 'limit' : 'period'), pauseMs);
  }

  /** Producers that belong to the gateway no more have nobody to send to. */
  async #dismiss({ svg, term, producers }: Gateway): Promise<void> {
    for (const producer of [...this.#routes.keys()].filter((id) => !producers.includes(id))) {
      this.#routes.delete(producer);
      this.#aimed.delete(producer);
      await this.#members
        .get(producer)
        ?.call.aim({ svg, term, peers: [] })
        .catch(() => undefined);
    }
  }

  /** Have consumers of a class come near its limit since the last change? Nothing seen since: as it was before. */
  #isStrained({ classes, periodMs }: Gateway): boolean {
    const sinceMs = Math.min(periodMs, performance.now() - this.#changedMs - REPORTED_AFTER_MS);
    const seen =
      sinceMs <= 0
        ? []
        : Object.values(classes).flatMap(({ variationUs, share, deviationUs, consumers }) => {
            const own = this.#connected(consumers);
            const near = (measuredUs: number | undefined, limitUs: number | null): boolean[] =>
              measuredUs === undefined || limitUs === null ? [] : [measuredUs > NEAR * limitUs];
            return [
              ...near(this.#measured.spreadUs(share, own, sinceMs), variationUs),
              ...near(this.#measured.deviationUs(own, sinceMs), deviationUs),
            ];
          });
    return seen.length === 0 ? this.#strained : seen.includes(true);
  }

  #connected(ids: readonly NodeId[]): NodeId[] {
    return ids.filter((id) => this.#members.has(id));
  }

  #consumers(): NodeId[] {
    return this.#gateway ? consumersOf(this.#gateway) : [];
  }

  /** PPNs first, then the entry, then the producer: no message is ever in an epoch that a node on its way does not know. */
  async #apply(gateway: Gateway, { producer, graphs, aims }: Route): Promise<number> {
    const { svg, term } = gateway;
    const limits = Object.values(gateway.classes).flatMap((c) => [c.variationUs, c.deviationUs].filter((us) => us !== null));
    const toleranceUs = Math.max(TOLERANCE_US, Math.min(...limits, Infinity) === Infinity ? 0 : Math.min(...limits) / 10);
    let sent = 0;
    for (const graph of graphs) {
      const told = this.#installed.get(graph.id) ?? new Map<NodeId, readonly Destination[]>();
      this.#installed.set(graph.id, told);
      const changes = [...graph.plan.destinations].filter(([ppn, destinations]) => {
        const before = told.get(ppn);
        return !before || !isSame(before, destinations, toleranceUs);
      });
      const entry = graph.ppns[graph.tree.entry]!;
      const active = this.#active.get(graph.id);
      if (changes.length === 0 && active?.entry === entry) continue;
      // Where one hold moves, all do: they were computed together.
      const moved = [...graph.plan.destinations].filter(([ppn, destinations]) => !isSame(told.get(ppn) ?? [], destinations, 1));
      this.#epoch += 1;
      const epoch = this.#epoch;
      await Promise.all(
        moved.map(async ([ppn, destinations]) => {
          const member = this.#members.get(ppn);
          if (!member) throw new Error(`${this.#nodes.get(ppn)?.name} is gone`);
          await member.call.install({ svg, term, graph: graph.id, epoch, destinations });
          told.set(ppn, destinations);
          this.#counters.directivesSent += 1;
          sent += 1;
        }),
      );
      const gate = this.#members.get(entry);
      if (!gate) throw new Error('the entry is gone');
      await gate.call.activate({ svg, term, producer, graph: graph.id, epoch });
      this.#active.set(graph.id, { entry, epoch });
      logDirectives(this.#nodes, graph, epoch);
    }
    const aim = aims.map((a) => `${a.peer}:${a.graph}`).join(' ');
    // A graph that cannot be made leaves the last one in force; without consumers there is nobody to send to.
    const isWanted = aims.length > 0 || consumersOf(gateway).length === 0;
    if (isWanted && this.#aimed.get(producer) !== aim) {
      const member = this.#members.get(producer);
      if (!member) return sent;
      await member.call.aim({ svg, term, peers: aims });
      this.#aimed.set(producer, aim);
      sent += 1;
    }
    return sent;
  }

  #status(): GatewayStatus {
    const name = (id: NodeId) => this.#nodes.get(id)?.name ?? String(id);
    const graphs = [...this.#routes.values()].flatMap((r) => r.graphs);
    const used = new Set(graphs.flatMap((g) => g.ppns.filter((_, p) => g.tree.parent[p] !== UNUSED)));
    const measured = this.#connected(this.#consumers());
    const [median, p99] = [0.5, 0.99].map((q) => this.#measured.spreadUs(q, measured));
    const deviation = this.#measured.deviationUs(measured);
    return {
      iterations: this.#counters.iterations,
      epoch: this.#epoch,
      entries: [...this.#active.values()].map((a) => name(a.entry)),
      used: [...used].map(name),
      healthy: (this.#gateway?.ppns ?? []).filter((p) => this.#members.has(p)).map(name),
      feasible: [...this.#routes.values()].every((r) => r.feasible),
      reason:
        [...this.#routes.values()]
          .map((r) => r.reason)
          .filter(Boolean)
          .join('; ') || null,
      spreadUs: median === undefined || p99 === undefined || deviation === undefined ? null : { median, p99, deviation },
    };
  }

  async #metrics(): Promise<Membership[]> {
    const estimates = new Map(
      [...this.#routes.values()]
        .flatMap((r) => r.graphs.slice(0, 1))
        .flatMap((g) => g.consumers.map((c, i) => [c, g.plan.estimated[i]!] as const)),
    );
    return Promise.all(
      this.#consumers().map(async (id): Promise<Membership> => {
        const metrics = await this.#members
          .get(id)
          ?.call.metrics()
          .catch(() => null);
        return { consumer: this.#nodes.get(id)?.name ?? String(id), estimatedUs: estimates.get(id) ?? null, metrics: metrics ?? null };
      }),
    );
  }
}

export async function startRdn({ config, secret }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const rdn = new Rdn(config);
  await rdn.start(secret);
  return { counters: () => rdn.counters, stop: () => rdn.stop() };
}
