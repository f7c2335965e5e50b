/** A mesh in one process: real controllers and on-host controllers over an etcd in memory, and packets through the flows of its hosts. */
import { generateKeyPairSync } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { DeniedError, type Change, type Etcd, type Permission, type Range, type Rows } from '../../agents/lib/etcd/client.ts';
import type { WatchEvents, Watching } from '../../agents/lib/etcd/watch.ts';
import type { Action, Flow, Match } from '../../agents/lib/openflow/index.ts';
import { contains, parseAddress, prefixOf } from '../../agents/lib/prefix.ts';
import { Controller } from '../../agents/mesh/control/controller.ts';
import { Rights } from '../../agents/mesh/control/rights.ts';
import type { Network } from '../../agents/mesh/control/state.ts';
import { Controllers } from '../../agents/mesh/host/controllers.ts';
import { flowsOf, nothing } from '../../agents/mesh/host/flows.ts';
import { TUNNEL, type HostTraits } from '../../agents/mesh/host/tables.ts';
import type { Item } from '../../agents/mesh/host/items.ts';
import { OnHostController } from '../../agents/mesh/host/ohc.ts';

const covers = ({ key, isPrefix }: Range, other: Range): boolean =>
  isPrefix ? other.key.startsWith(key) : !other.isPrefix && other.key === key;

/** As etcd does it: revisions, watches, and rights of users by their roles. */
export class MemoryEtcd {
  readonly rows = new Map<string, { value: string; revision: number }>();
  readonly denied: string[] = [];
  revision = 1;
  readonly #roles = new Map<string, readonly Permission[]>();
  readonly #users = new Map<string, Set<string>>();
  readonly #watches = new Set<{ readonly range: Range; readonly events: WatchEvents }>();

  /** `user`: null, who may everything. */
  as(user: string | null): Etcd {
    const check = (what: Permission['what'], range: Range): void => {
      if (user === null) return;
      const own = [...(this.#users.get(user) ?? [])].flatMap((role) => this.#roles.get(role) ?? []);
      if (own.some((p) => p.what === what && covers(p.range, range))) return;
      this.denied.push(`${user} ${what} ${range.key}`);
      throw new DeniedError(`${user} may not ${what} ${range.key}`);
    };
    return {
      list: async (range) => {
        await turn();
        check('read', range);
        return this.#list(range);
      },
      commit: async (change) => {
        await turn();
        for (const key of [...change.put.keys(), ...change.remove]) check('write', { key, isPrefix: false });
        return this.#commit(change);
      },
      watches: { watch: (range, _from, events) => this.#watch(range, events), lostAtMs: null },
      lease: async () => ({ id: 1, keep: async () => undefined }),
      addUser: async (name) => void this.#users.set(name, this.#users.get(name) ?? new Set()),
      addRole: async (name, may) => void this.#roles.set(name, [...(this.#roles.get(name) ?? []), ...may]),
      permit: async (role, permission) => void this.#roles.set(role, [...(this.#roles.get(role) ?? []), permission]),
      forbid: async (role, range) =>
        void this.#roles.set(
          role,
          (this.#roles.get(role) ?? []).filter((p) => p.range.key !== range.key),
        ),
      grant: async (name, role) => void this.#users.get(name)?.add(role),
      revoke: async (name, role) => void this.#users.get(name)?.delete(role),
      close: () => undefined,
    };
  }

  #list(range: Range): Rows {
    const rows = [...this.rows].filter(([key]) => covers(range, { key, isPrefix: false })).map(([key, row]) => ({ key, ...row }));
    return { rows, revision: this.revision };
  }

  #commit({ put, remove }: Change): number {
    this.revision += 1;
    const { revision } = this;
    const changes = [
      ...[...put].map(([key, value]) => ({ key, value, revision })),
      ...[...remove].map((key) => ({ key, value: null, revision })),
    ];
    for (const { key, value } of changes)
      if (value === null) this.rows.delete(key);
      else this.rows.set(key, { value, revision });
    for (const { range, events } of [...this.#watches]) {
      const own = changes.filter((c) => covers(range, { key: c.key, isPrefix: false }));
      if (own.length > 0) queueMicrotask(() => events.onChanges(own));
    }
    return revision;
  }

  #watch(range: Range, events: WatchEvents): Watching {
    const watch = { range, events };
    this.#watches.add(watch);
    return { stop: () => void this.#watches.delete(watch) };
  }
}

/** Flows of a host, by what it was told. */
class FlowTable {
  readonly items = new Map<string, Item>();
  readonly #traits: HostTraits;

  constructor(name: string, isGateway: boolean) {
    this.#traits = { name, advertises: true, isGateway };
  }

  async put(key: string, item: Item): Promise<void> {
    this.items.set(key, item);
  }

  async remove(key: string): Promise<void> {
    this.items.delete(key);
  }

  async settled(): Promise<void> {
    await turn();
  }

  get flows(): Flow[] {
    const all = [...nothing(true), ...[...this.items.values()].flatMap((i) => flowsOf(i, this.#traits))];
    return [...new Map(all.map((f) => [JSON.stringify(f), f])).values()];
  }
}

export interface Packet {
  readonly inPort: string;
  readonly ethSrc: string;
  readonly source: string;
  readonly destination: string;
  /** Of TCP, as all packets are. */
  readonly sourcePort?: number;
  /** It is a connection's first. */
  readonly opens?: boolean;
  readonly ethDst?: string;
  readonly metadata?: number;
  readonly tunnelId?: number;
  readonly isReply?: boolean;
  readonly registers?: Readonly<Record<string, number>>;
}

/** What a switch has beside its flows, and keeps from one packet to the next. */
export interface Memory {
  readonly tracked: Set<string>;
  /** Flows that flows have learned. */
  readonly learned: Map<string, Flow>;
}

interface Outcome {
  /** Ports that it left by, with what it was then. */
  readonly sent: { readonly port: string; readonly packet: Packet; readonly via?: string }[];
  /** Network whose on-host controller was asked. */
  missed?: number;
}

/** What a switch makes of a packet; written for itself, from the specification of OpenFlow. */
export class Evaluator {
  readonly outcome: Outcome = { sent: [] };
  readonly #flows: readonly Flow[];
  readonly #memory: Memory;
  #packet: Packet;
  #via: string | undefined;

  constructor(flows: readonly Flow[], memory: Memory, packet: Packet) {
    this.#flows = flows;
    this.#memory = memory;
    this.#packet = packet;
  }

  run(start = 0): Outcome {
    for (let table: number | undefined = start; table !== undefined && this.outcome.missed === undefined;) {
      const [found] = [...this.#flows, ...this.#memory.learned.values()]
        .filter((f) => f.table === table && matches(f.match, this.#packet))
        .sort((a, b) => b.priority - a.priority);
      table = found?.goto;
      for (const action of found?.actions ?? []) table = this.#act(action, found!) ?? table;
      if (found?.metadata !== undefined) this.#packet = { ...this.#packet, metadata: found.metadata };
    }
    return this.outcome;
  }

  /** A table that it goes on in. */
  #act(action: Action, flow: Pick<Flow, 'cookie'>): number | undefined {
    if ('output' in action) this.#send(action.output);
    else if ('to' in action) {
      if (action.to === 'controller') this.outcome.missed = flow.cookie!;
      if (action.to === 'inPort') this.#send(this.#packet.inPort);
    } else if ('resubmit' in action) this.run(action.resubmit);
    else if ('hash' in action) this.#set({ set: action.hash, value: (this.#packet.sourcePort ?? 0) % action.below });
    else if ('learn' in action) this.#learn(action.learn);
    else if ('track' in action) return this.#track(action.track);
    else if ('set' in action) this.#set(action);
    return undefined;
  }

  #send(port: string): void {
    this.outcome.sent.push({ port, packet: this.#packet, ...(this.#via ? { via: this.#via } : {}) });
  }

  #learn({ table, priority, load }: Extract<Action, { learn: unknown }>['learn']): void {
    const { metadata, source: ipSrc, destination: ipDst, sourcePort: portSrc = 0, registers = {} } = this.#packet;
    const match = { metadata: metadata!, ipSrc, ipDst, portSrc };
    const actions = load.map((register) => ({ set: register, value: registers[register] ?? 0 }));
    this.#memory.learned.set(JSON.stringify(match), { table, priority, match, actions });
  }

  #track({ zone = 0, commit, table }: Extract<Action, { track: unknown }>['track']): number | undefined {
    const { source, destination } = this.#packet;
    const ends = (a: string, b: string): string => `${zone} ${a} ${b}`;
    if (commit) this.#memory.tracked.add(ends(source, destination));
    this.#packet = { ...this.#packet, isReply: this.#memory.tracked.has(ends(destination, source)) };
    return table;
  }

  #set({ set: field, value }: Extract<Action, { set: unknown }>): void {
    if (field === 'tunnelDst') this.#via = String(value);
    else if (field.startsWith('reg')) this.#packet = { ...this.#packet, registers: { ...this.#packet.registers, [field]: Number(value) } };
    else this.#packet = { ...this.#packet, [field]: value };
  }
}

function matches(m: Match, p: Packet): boolean {
  const isIn = (prefix: string | undefined, address: string): boolean =>
    prefix === undefined || contains(prefixOf(prefix), parseAddress(address)!);
  return (
    (m.inPort ?? p.inPort) === p.inPort &&
    (m.ethSrc ?? p.ethSrc) === p.ethSrc &&
    (m.ethDst ?? p.ethDst) === p.ethDst &&
    (m.metadata ?? p.metadata) === p.metadata &&
    (m.tunnelId ?? p.tunnelId) === p.tunnelId &&
    (m.portSrc ?? p.sourcePort) === p.sourcePort &&
    (m.protocol ?? 'tcp') === 'tcp' &&
    (m.opens === undefined || p.opens === true) &&
    Object.entries(m.registers ?? {}).every(([register, value]) => (p.registers?.[register] ?? 0) === value) &&
    isIn(m.ipSrc, p.source) &&
    isIn(m.ipDst, p.destination) &&
    (m.connection === undefined || (m.connection.state === '+trk+rpl' && p.isReply === true)) &&
    m.arp === undefined &&
    m.neighbour === undefined
  );
}

export const HOSTS = ['h1', 'h2', 'h3'];
export const GATEWAYS = ['g1', 'g2'];
const PLACES = [...HOSTS, ...GATEWAYS];
const via = (host: string): string => `192.0.2.${PLACES.indexOf(host) + 1}`;
const place = (name: string) => ({ name, address: via(name) });

/** Controllers with their networks; every host has a port for every endpoint. */
export class MeshInMemory {
  readonly controllers = new Map<string, Controller>();
  readonly etcds = new Map<string, MemoryEtcd>();
  readonly hosts = new Map<string, { readonly ohc: OnHostController; readonly table: FlowTable; readonly memory: Memory }>();
  /** Of hosts and gateways that packets were sent to by tunnels. */
  readonly visited: string[] = [];
  readonly #owners: Readonly<Record<string, string>>;
  readonly #sessions: Controllers[] = [];

  private constructor(owners: Readonly<Record<string, string>>) {
    this.#owners = owners;
  }

  static async open(networks: readonly Network[], owners: Readonly<Record<string, string>>): Promise<MeshInMemory> {
    const self = new MeshInMemory(owners);
    const names = [...new Set(Object.values(owners))];
    const keys = new Map(names.map((name) => [name, generateKeyPairSync('ed25519')]));
    const hosts = PLACES.map(place);
    for (const name of names) {
      const etcd = new MemoryEtcd();
      self.etcds.set(name, etcd);
      const config = {
        role: 'controller' as const,
        self: place(name),
        controllers: names.map(place),
        hosts,
        gateways: GATEWAYS.map(place),
        owners,
        networks: [],
        setup: [],
        introductionMs: 3_600_000,
      };
      const rights = new Rights(etcd.as(null), new Map(), new Map());
      await rights.open({ controllers: names, hosts: PLACES, gateways: GATEWAYS, routers: [] });
      const own = new Map(networks.filter((n) => owners[n.name] === name).map((n) => [n.name, n]));
      const pair = { signing: keys.get(name)!.privateKey, verifying: new Map([...keys].map(([other, own]) => [other, own.publicKey])) };
      const controller = new Controller(config, etcd.as(null), pair, rights, own, new Map());
      self.controllers.set(name, controller);
      await controller.open();
    }
    for (const [name, controller] of self.controllers)
      controller.follow(new Map([...self.etcds].map(([other, etcd]) => [other, etcd.as(other === name ? null : name)])));
    const ports = Object.fromEntries(networks.flatMap((n) => [...n.endpoints.keys()].map((e) => [e, e] as const)));
    const forwards = networks.map(({ name, vnid }) => ({ name, vnid, owner: place(owners[name]!) }));
    for (const name of PLACES) {
      const sessions = new Controllers((to) => self.etcds.get(to.name)!.as(name));
      self.#sessions.push(sessions);
      const isGateway = GATEWAYS.includes(name);
      const table = new FlowTable(name, isGateway);
      const uplink = { device: '', mac: '', cidr: '', mtu: 1600 };
      const settings = {
        controllers: names.map(place),
        uplink,
        forwards: isGateway ? forwards : [],
        ports,
        idleMs: 1e9,
        holdMs: 1e9,
        destinations: 4096,
        pull: isGateway ? ('all' as const) : ('needed' as const),
      };
      const ohc = new OnHostController({ role: 'host', self: place(name), ...settings }, sessions, table);
      self.hosts.set(name, { ohc, table, memory: { tracked: new Set(), learned: new Map() } });
      await ohc.open();
    }
    await self.settle();
    return self;
  }

  controllerOf(network: string): Controller {
    return this.controllers.get(this.#owners[network]!)!;
  }

  /** Until nobody has anything more to say. */
  async settle(): Promise<void> {
    for (let quiet = 0, last = -1; quiet < 12;) {
      await turn();
      const now = [...this.etcds.values()].reduce((sum, e) => sum + e.revision, 0);
      quiet = now === last ? quiet + 1 : 0;
      last = now;
    }
  }

  /** Endpoint that a packet comes to, after misses; null: none. */
  async send(network: Network, from: string, source: string, destination: string, sourcePort = 0, opens = false): Promise<string | null> {
    const { host, mac } = network.endpoints.get(from)!;
    for (let tries = 0; tries < 2; tries++) {
      const outcome = this.#forward(host, { inPort: from, ethSrc: mac, source, destination, sourcePort, opens });
      if (typeof outcome !== 'object' || outcome === null) return outcome;
      this.hosts
        .get(host)!
        .ohc.network(outcome.missed)
        ?.miss(parseAddress(destination)!, () => undefined);
      await this.settle();
    }
    return null;
  }

  /** Connections so far: what comes next begins one. */
  forgetConnections(): void {
    for (const { memory } of this.hosts.values()) memory.tracked.clear();
  }

  stop(): void {
    for (const { ohc } of this.hosts.values()) ohc.stop();
    for (const sessions of this.#sessions) sessions.close();
    for (const controller of this.controllers.values()) controller.stop();
  }

  #forward(host: string, packet: Packet, hops = 0): string | null | { readonly missed: number } {
    const { table, memory } = this.hosts.get(host)!;
    const { sent, missed } = new Evaluator(table.flows, memory, packet).run();
    if (missed !== undefined) return { missed };
    const [first] = sent;
    if (!first || hops > 3) return null;
    if (first.port !== TUNNEL) return first.port;
    const next = PLACES.find((h) => via(h) === first.via)!;
    this.visited.push(next);
    return this.#forward(next, { ...first.packet, inPort: TUNNEL }, hops + 1);
  }

  /** As gateways and hosts tell a controller. */
  async tell(network: string, rows: Readonly<Record<string, unknown>>, remove: readonly string[] = []): Promise<void> {
    const put = new Map(Object.entries(rows).map(([key, value]) => [key, JSON.stringify(value)]));
    await this.etcds.get(this.#owners[network]!)!.as(null).commit({ put, remove });
    await this.settle();
  }
}
