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
import { flowsOf, nothing, TUNNEL } from '../../agents/mesh/host/flows.ts';
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
      addUser: async (name) => void this.#users.set(name, this.#users.get(name) ?? new Set()),
      addRole: async (name, may) => void this.#roles.set(name, may),
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
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
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
    const unique = new Map(
      [...nothing(true), ...[...this.items.values()].flatMap((i) => flowsOf(i, { name: this.#name, advertises: true }))].map((f) => [
        JSON.stringify(f),
        f,
      ]),
    );
    return [...unique.values()];
  }
}

export interface Packet {
  readonly inPort: string;
  readonly ethSrc: string;
  readonly source: string;
  readonly destination: string;
  readonly ethDst?: string;
  readonly metadata?: number;
  readonly tunnelId?: number;
  readonly isReply?: boolean;
}

interface Outcome {
  /** Ports that it left by, with what it was then. */
  readonly sent: { readonly port: string; readonly packet: Packet; readonly via?: string }[];
  /** Network whose on-host controller was asked. */
  readonly missed?: number;
}

/** What a switch with these flows makes of a packet; written for itself, from the specification of OpenFlow. */
export function evaluate(flows: readonly Flow[], start: Packet, tracked: Set<string>): Outcome {
  const sent: Outcome['sent'] = [];
  let [packet, table]: [Packet, number | undefined] = [start, 0];
  let via: string | undefined;
  while (table !== undefined) {
    const [found] = flows.filter((f) => f.table === table && matches(f.match, packet)).sort((a, b) => b.priority - a.priority);
    table = found?.goto;
    for (const action of found?.actions ?? []) {
      if ('output' in action) sent.push({ port: action.output, packet, ...(via ? { via } : {}) });
      else if ('to' in action) {
        if (action.to === 'controller') return { sent, missed: found!.cookie! };
        if (action.to === 'inPort') sent.push({ port: packet.inPort, packet, ...(via ? { via } : {}) });
      } else if ('track' in action) {
        const { zone = 0, commit = false, table: next } = action.track;
        const ends = (a: string, b: string): string => `${zone} ${a} ${b}`;
        if (commit) tracked.add(ends(packet.source, packet.destination));
        packet = { ...packet, isReply: tracked.has(ends(packet.destination, packet.source)) };
        table = next;
      } else if ('set' in action) [packet, via] = set(packet, via, action);
    }
    if (found?.metadata !== undefined) packet = { ...packet, metadata: found.metadata };
  }
  return { sent };
}

function set(
  packet: Packet,
  via: string | undefined,
  { set: field, value }: Extract<Action, { set: unknown }>,
): [Packet, string | undefined] {
  if (field === 'tunnelDst') return [packet, String(value)];
  return [{ ...packet, [field]: value }, via];
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
    isIn(m.ipSrc, p.source) &&
    isIn(m.ipDst, p.destination) &&
    (m.connection === undefined || (m.connection.state === '+trk+rpl' && p.isReply === true)) &&
    m.arp === undefined &&
    m.neighbour === undefined
  );
}

export const HOSTS = ['h1', 'h2', 'h3'];
const via = (host: string): string => `192.0.2.${HOSTS.indexOf(host) + 1}`;
const place = (name: string) => ({ name, address: via(name) });

/** Controllers with their networks; every host has a port for every endpoint. */
export class MeshInMemory {
  readonly controllers = new Map<string, Controller>();
  readonly etcds = new Map<string, MemoryEtcd>();
  readonly hosts = new Map<string, { readonly ohc: OnHostController; readonly table: FlowTable; readonly tracked: Set<string> }>();
  readonly #owners: Readonly<Record<string, string>>;
  readonly #sessions: Controllers[] = [];

  private constructor(owners: Readonly<Record<string, string>>) {
    this.#owners = owners;
  }

  static async open(networks: readonly Network[], owners: Readonly<Record<string, string>>): Promise<MeshInMemory> {
    const self = new MeshInMemory(owners);
    const names = [...new Set(Object.values(owners))];
    const keys = new Map(names.map((name) => [name, generateKeyPairSync('ed25519')]));
    const hosts = HOSTS.map(place);
    for (const name of names) {
      const etcd = new MemoryEtcd();
      self.etcds.set(name, etcd);
      const config = {
        role: 'controller' as const,
        self: place(name),
        controllers: names.map(place),
        hosts,
        owners,
        networks: [],
        setup: [],
        introductionMs: 3_600_000,
      };
      const rights = new Rights(etcd.as(null), new Map());
      await rights.open(names, HOSTS);
      const own = new Map(networks.filter((n) => owners[n.name] === name).map((n) => [n.name, n]));
      const pair = { signing: keys.get(name)!.privateKey, verifying: (other: string) => keys.get(other)!.publicKey };
      const controller = new Controller(config, etcd.as(null), pair, rights, own, new Map());
      self.controllers.set(name, controller);
      await controller.open();
    }
    for (const [name, controller] of self.controllers)
      controller.follow(new Map([...self.etcds].map(([other, etcd]) => [other, etcd.as(other === name ? null : name)])));
    const ports = Object.fromEntries(networks.flatMap((n) => [...n.endpoints.keys()].map((e) => [e, e] as const)));
    for (const name of HOSTS) {
      const sessions = new Controllers((to) => self.etcds.get(to.name)!.as(name));
      self.#sessions.push(sessions);
      const table = new FlowTable(name);
      const uplink = { device: '', mac: '', cidr: '', mtu: 1600 };
      const settings = {
        controllers: names.map(place),
        uplink,
        ports,
        idleMs: 1e9,
        holdMs: 1e9,
        destinations: 4096,
        pull: 'needed' as const,
      };
      const ohc = new OnHostController({ role: 'host', self: place(name), ...settings }, sessions, table);
      self.hosts.set(name, { ohc, table, tracked: new Set() });
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
  async send(network: Network, from: string, source: string, destination: string): Promise<string | null> {
    const { host, mac } = network.endpoints.get(from)!;
    for (let tries = 0; tries < 2; tries++) {
      const outcome = this.#forward(host, { inPort: from, ethSrc: mac, source, destination });
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
    for (const { tracked } of this.hosts.values()) tracked.clear();
  }

  stop(): void {
    for (const { ohc } of this.hosts.values()) ohc.stop();
    for (const sessions of this.#sessions) sessions.close();
    for (const controller of this.controllers.values()) controller.stop();
  }

  #forward(host: string, packet: Packet, hops = 0): string | null | { readonly missed: number } {
    const { table, tracked } = this.hosts.get(host)!;
    const { sent, missed } = evaluate(table.flows, packet, tracked);
    if (missed !== undefined) return { missed };
    const [first] = sent;
    if (!first || hops > 3) return null;
    if (first.port !== TUNNEL) return first.port;
    const next = HOSTS.find((h) => via(h) === first.via)!;
    return this.#forward(next, { ...first.packet, inPort: TUNNEL }, hops + 1);
  }
}
