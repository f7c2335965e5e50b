/** PoP management server: policies to entries, pushed to its units; heartbeats and feedback of its servers (R3 sections 2, 3.6). */
import { connect as connectTcp } from 'node:net';
import { listen, type Peer } from '../../lib/channel.ts';
import { log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentConfig, Pop } from '../config.ts';
import {
  MANAGER_PORT,
  type ControllerFunctions,
  type ManagerControlFunctions,
  type ManagerStatus,
  type ManagerUnitFunctions,
  type Policies,
  type PopFeedback,
  type ServerFeedback,
  type UnitFunctions,
  type WireSlot,
} from '../protocol.ts';
import { recalled, remembered, type Memory } from './memory.ts';
import { countOf, drained, emptyTable, isKept, nextDrainMs, retarget, withServers, type Table } from './table.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';

const NOBODY = '0.0.0.0';
/** A server that reports itself unhealthy so often in a row is not used. */
const UNHEALTHY_REPORTS = 2;
const SERVERS_MS = 2000;
const RECALL_MS = 6000;
const RETRY_MS = 500;
const DISTANCE_MS = 500;
/** Measurements of the distance that a PoP may miss, until it is taken for dead. */
const MISSED_BY_THE_DEAD = 2;

interface ServerState {
  peer: Peer<UnitFunctions>;
  last: ServerFeedback | null;
  lastMs: number;
  unhealthy: number;
}

export class Manager {
  readonly #config: AgentConfig;
  readonly #pop: Pop;
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #tables = new Map<string, Table>();
  readonly #units = new Map<string, { peer: Peer<UnitFunctions>; version: number; sent: Map<string, string> }>();
  readonly #servers = new Map<string, ServerState>();
  readonly #distanceMs = new Map<string, number>();
  readonly #missed = new Map<string, number>();
  readonly #dead = new Set<string>();
  readonly #counters = { policies: 0, modifications: 0, pushes: 0, serversLost: 0 };
  #controller: Peer<ControllerFunctions> | undefined;
  #recalled = false;
  #policies: Policies = {};
  /** Of the policies. */
  #version = 0;
  /** Of the tables. */
  #revision = 0;
  #versionSinceMs = -Infinity;
  readonly #pushing = new SerialQueue();
  #drainTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** All units had the last push. */
  #upToDate = false;
  #timers: NodeJS.Timeout[] = [];
  #server: { close(): void } | undefined;

  constructor(config: AgentConfig) {
    this.#config = config;
    this.#pop = config.pops.find((p) => p.name === config.self.pop)!;
    this.#addresses = new Map(config.nodes.map((n) => [n.name, n.address]));
    for (const { name } of config.services) this.#tables.set(name, emptyTable(config.slots));
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, version: this.#version, servers: this.#servers.size, units: this.#units.size };
  }

  async start(secret: string): Promise<void> {
    this.#server = await listen<UnitFunctions & ControllerFunctions>({
      address: this.#config.self.address,
      port: MANAGER_PORT,
      secret,
      serve: (name) => {
        const node = this.#config.nodes.find((n) => n.name === name);
        if (node?.role === 'controller') return this.#forController();
        return node?.pop === this.#pop.name && (node.role === 'edge' || node.role === 'server') ? this.#forUnit(name) : undefined;
      },
      onPeer: (peer) => this.#greet(peer),
    });
    this.#timers = [
      setInterval(() => this.#report(), this.#config.feedbackMs),
      setInterval(() => void this.#measureDistances(), DISTANCE_MS),
    ];
    void this.#measureDistances();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#drainTimer);
    clearTimeout(this.#retryTimer);
    for (const timer of this.#timers) clearInterval(timer);
    this.#server?.close();
  }

  /** Until the edge has its first table. */
  async ready(): Promise<void> {
    const isReady = (): boolean => (this.#units.get(this.#pop.edge)?.version ?? 0) > 0 && this.#servers.size >= this.#pop.servers.length;
    await until(isReady, { withinMs: Infinity });
  }

  #forUnit(name: string): ManagerUnitFunctions {
    return {
      feedback: (report) => {
        const server = this.#servers.get(name);
        if (!server) return;
        server.last = report;
        server.lastMs = performance.now();
        const was = server.unhealthy >= UNHEALTHY_REPORTS;
        server.unhealthy = report.healthy ? 0 : server.unhealthy + 1;
        if (was !== server.unhealthy >= UNHEALTHY_REPORTS) this.#serversChanged();
      },
    };
  }

  #forController(): ManagerControlFunctions {
    return {
      apply: async (update) => {
        await this.#untilRecalled();
        return this.#apply(update.version, update.policies);
      },
      query: async () => {
        await this.#untilRecalled();
        return this.#status();
      },
      pull: () => this.#feedback(),
    };
  }

  #greet(peer: Peer<UnitFunctions & ControllerFunctions>): void {
    const node = this.#config.nodes.find((n) => n.name === peer.name);
    if (node?.role === 'controller') {
      this.#controller = peer;
      void peer.closed.then(() => {
        if (this.#controller === peer) this.#controller = undefined;
      });
      return;
    }
    if (node?.role === 'server') {
      this.#servers.set(peer.name, { peer, last: null, lastMs: -Infinity, unhealthy: 0 });
      this.#serversChanged();
      void peer.closed.then(() => {
        if (this.#servers.get(peer.name)?.peer !== peer) return;
        this.#servers.delete(peer.name);
        this.#counters.serversLost += 1;
        log('warn', 'server lost', { server: peer.name });
        this.#serversChanged();
      });
      return;
    }
    this.#units.set(peer.name, { peer, version: 0, sent: new Map() });
    void peer.closed.then(() => {
      if (this.#units.get(peer.name)?.peer === peer) this.#units.delete(peer.name);
    });
    void this.#welcome(peer);
  }

  /** An edge may remember what a predecessor of this process made: connections depend on it. */
  async #welcome(peer: Peer<UnitFunctions>): Promise<void> {
    const memory = await this.#memoryOf(peer);
    if (memory !== null && !this.#recalled) {
      const { version, policies, tables } = memory;
      this.#version = version;
      this.#policies = policies;
      for (const [service, table] of Object.entries(tables)) this.#tables.set(service, table);
      log('warn', 'recalled', { version });
    }
    // Servers that were there are waited for: without them entries would lead nowhere.
    await until(() => this.#recalled || this.#servers.size >= this.#pop.servers.length, { withinMs: SERVERS_MS });
    this.#recalled = true;
    this.#serversChanged();
  }

  async #memoryOf(peer: Peer<UnitFunctions>): Promise<Memory | null> {
    if (this.#recalled) return null;
    try {
      const text = await peer.call.recall();
      return text === null ? null : recalled(text);
    } catch (error) {
      log('warn', 'recall', { unit: peer.name, why: (error as Error).message });
      return null;
    }
  }

  /** What a predecessor knew is known, or its edge has been silent for long. */
  async #untilRecalled(): Promise<void> {
    await until(() => this.#recalled, { withinMs: RECALL_MS });
  }

  /** Servers of this PoP that have a service. */
  #homes(service: string): string[] {
    const own = this.#config.services.find((s) => s.name === service)?.servers ?? [];
    return this.#pop.servers.filter((name) => own.includes(name));
  }

  #isAlive(server: string): boolean {
    return (this.#servers.get(server)?.unhealthy ?? UNHEALTHY_REPORTS) < UNHEALTHY_REPORTS;
  }

  #serversChanged(): void {
    if (!this.#recalled) return;
    for (const [service, table] of this.#tables)
      this.#tables.set(
        service,
        withServers(
          table,
          this.#homes(service),
          new Set(this.#homes(service).filter((name) => this.#isAlive(name))),
          Date.now(),
          this.#config.drainMs,
        ),
      );
    void this.#push();
  }

  /** R3-19, R3-20: as few entries as there can be, least recently modified first. */
  async #apply(version: number, policies: Policies): Promise<{ changed: number }> {
    if (version <= this.#version) throw new Refusal('OutOfDate', `version ${this.#version} rules at ${this.#pop.name}`);
    this.#version = version;
    this.#versionSinceMs = performance.now();
    this.#policies = policies;
    this.#counters.policies += 1;
    const changed = await this.#retarget();
    if (!this.#upToDate) throw new Refusal('Unreachable', `not every unit of ${this.#pop.name} has version ${version} yet`);
    this.#versionSinceMs = performance.now();
    return { changed };
  }

  /** What policies want, but for PoPs that cannot be reached: their part stays here until they can. */
  async #retarget(): Promise<number> {
    const version = this.#version;
    let changed = 0;
    for (const [service, table] of this.#tables) {
      const reachable = Object.entries(this.#policies[service] ?? {}).filter(([pop]) => !this.#dead.has(pop));
      const { table: next, journal } = retarget(table, new Map(reachable), Date.now(), this.#config.drainMs);
      this.#tables.set(service, next);
      changed += journal.length;
      if (journal.length > 0)
        log('info', 'modifications', { version, service, list: journal.map((m) => [m.number, m.slot, m.from, m.to]) });
    }
    this.#counters.modifications += changed;
    await this.#push();
    return changed;
  }

  /** What has changed, to every unit; older pushes end before newer ones begin. */
  #push(): Promise<void> {
    return this.#pushing.run(async () => {
      const nowMs = Date.now();
      for (const [service, table] of this.#tables) this.#tables.set(service, drained(table, nowMs));
      const slots = this.#wire(nowMs);
      this.#revision += 1;
      const revision = this.#revision;
      const memory = remembered({ version: this.#version, policies: this.#policies, tables: Object.fromEntries(this.#tables) });
      const done = await Promise.all(
        [...this.#units.values()].map(async (unit): Promise<boolean> => {
          const changes = slots.filter((s) => unit.sent.get(`${s.table} ${s.index}`) !== JSON.stringify(s));
          try {
            if (changes.length > 0) unit.version = await unit.peer.call.program({ version: revision, slots: changes });
            for (const s of changes) unit.sent.set(`${s.table} ${s.index}`, JSON.stringify(s));
            await unit.peer.call.remember(memory);
            this.#counters.pushes += 1;
            return true;
          } catch (error) {
            log('warn', 'push', { unit: unit.peer.name, why: (error as Error).message });
            return false;
          }
        }),
      );
      this.#upToDate = done.length > 0 && done.every(Boolean);
      clearTimeout(this.#retryTimer);
      // A unit that comes is pushed to anyway.
      if (done.includes(false) && !this.#stopped) this.#retryTimer = setTimeout(() => void this.#push(), RETRY_MS);
      this.#awaitDrain(nowMs);
    });
  }

  #awaitDrain(nowMs: number): void {
    clearTimeout(this.#drainTimer);
    const nextMs = Math.min(...[...this.#tables.values()].map((table) => nextDrainMs(table, nowMs)));
    if (Number.isFinite(nextMs)) this.#drainTimer = setTimeout(() => void this.#push(), Math.max(1, nextMs - Date.now() + 1));
  }

  #wire(nowMs: number): WireSlot[] {
    const edgeOf = (pop: string | undefined): string =>
      this.#addresses.get(this.#config.pops.find((p) => p.name === pop)?.edge ?? '') ?? NOBODY;
    return this.#config.services.flatMap(({ name, table }) =>
      this.#tables
        .get(name)!
        .slots.map((slot, index): WireSlot => ({
          table,
          index,
          server: this.#addresses.get(slot.server ?? '') ?? NOBODY,
          target: edgeOf(slot.target ?? undefined),
          previousPops: [edgeOf(slot.previousPops[0]?.pop), edgeOf(slot.previousPops[1]?.pop)],
          handoff: this.#addresses.get(slot.handoff?.server ?? '') ?? NOBODY,
          away: slot.target !== null,
          keep: isKept(slot, nowMs),
        })),
    );
  }

  /** Without servers it is said that there are none: nobody must be sent there. */
  #feedback(): PopFeedback {
    const servers = Object.fromEntries([...this.#servers].flatMap(([name, { last }]) => (last ? [[name, last] as const] : [])));
    // Otherwise measured under the policies before, at least in part.
    const settled = [...this.#servers.values()].every((s) => s.lastMs - this.#config.feedbackMs >= this.#versionSinceMs);
    return { pop: this.#pop.name, version: settled ? this.#version : -1, servers, distanceMs: Object.fromEntries(this.#distanceMs) };
  }

  #report(): void {
    void this.#controller?.call.feedback.asEvent(this.#feedback()).catch(() => undefined);
  }

  #status(): ManagerStatus {
    return {
      version: this.#version,
      policies: this.#policies,
      entries: Object.fromEntries(
        [...this.#tables].map(([service, table]) => [
          service,
          Object.fromEntries([...new Set(table.slots.map((s) => s.target))].map((pop) => [pop ?? '', countOf(table, pop)])),
        ]),
      ),
      servers: [...this.#servers.keys()],
      units: Object.fromEntries([...this.#units].map(([name, u]) => [name, u.version])),
    };
  }

  /** R3 section 9.11: what went to a PoP that died is served here again. */
  #setReached(pop: string, reached: boolean, distanceMs: number): void {
    if (reached) this.#distanceMs.set(pop, distanceMs);
    else this.#distanceMs.delete(pop);
    const missed = reached ? 0 : (this.#missed.get(pop) ?? 0) + 1;
    this.#missed.set(pop, missed);
    const was = this.#dead.has(pop);
    if (missed >= MISSED_BY_THE_DEAD) this.#dead.add(pop);
    else if (reached) this.#dead.delete(pop);
    if (was === this.#dead.has(pop)) return;
    log('warn', 'reach', { pop, reached });
    if (this.#recalled) void this.#retarget();
  }

  /** By the time that a connection takes: a round trip. */
  async #measureDistances(): Promise<void> {
    await Promise.all(
      this.#config.pops
        .filter((p) => p.name !== this.#pop.name)
        .map(async (pop) => {
          const startedMs = performance.now();
          const reached = await new Promise<boolean>((resolve) => {
            const socket = connectTcp({ host: this.#addresses.get(pop.manager)!, port: MANAGER_PORT, timeout: DISTANCE_MS }, () => {
              resolve(true);
              socket.destroy();
            });
            socket
              .on('error', () => resolve(false))
              .on('timeout', () => {
                resolve(false);
                socket.destroy();
              });
          });
          this.#setReached(pop.name, reached, performance.now() - startedMs);
        }),
    );
  }
}

export async function startManager({ config, secret }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const network = new HostNetwork();
  if (config.gateway !== null) await network.addDefaultRoute(config.gateway);
  const manager = new Manager(config);
  await manager.start(secret);
  return {
    counters: () => manager.counters,
    ready: () => manager.ready(),
    stop: async () => {
      manager.stop();
      await network.stop();
    },
  };
}
