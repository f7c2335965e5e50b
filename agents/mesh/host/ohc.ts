/**
 * On-host controller (R2 section 3.1): follows which endpoints are on its host, whom their networks may reach, and, at the controllers of
 * those, where that is. It is let in there by the word of the network's own controller.
 */
import { follow, type Told } from '../../lib/etcd/follow.ts';
import type { Watching } from '../../lib/etcd/watch.ts';
import { log } from '../../lib/rpc.ts';
import { parsed } from '../../../src/core/lightjson.ts';
import type { HostConfig, Place } from '../config.ts';
import {
  admission,
  KEYS,
  localEndpoint,
  partsOf,
  peering,
  RANGES,
  type Admission,
  type LocalEndpoint,
  type PeeringRow,
  type Service,
} from '../rows.ts';
import type { Controllers } from './controllers.ts';
import { FollowedNetwork, type Sink } from './network.ts';

interface Local {
  readonly followed: FollowedNetwork;
  /** Names of its endpoints here. */
  readonly endpoints: Set<string>;
  readonly peerings: Map<string, PeeringRow>;
  readonly watching: Watching;
}

/** An endpoint here that is a backend of a balancer. */
export interface Backend {
  readonly owner: Place;
  readonly network: string;
  readonly endpoint: string;
  readonly vnid: number;
  readonly mac: string;
  readonly port: string;
  readonly service: Service;
}

export class OnHostController {
  readonly counters = { refused: 0 };
  readonly #config: HostConfig;
  readonly #controllers: Controllers;
  readonly #sink: Sink;
  readonly #watching: Watching[] = [];
  readonly #networks = new Map<string, Local>();
  /** By network: what its controller says of this host. */
  readonly #words = new Map<string, string>();
  /** Controllers whose answers to introductions are followed. */
  readonly #asked = new Set<string>();
  /** By network and endpoint. */
  readonly #backends = new Map<string, readonly Backend[]>();
  /** By network and peer: what its controller has answered. */
  readonly #admissions = new Map<string, { readonly at: Place; readonly answer: Admission }>();
  #isHeld = false;

  constructor(config: HostConfig, controllers: Controllers, sink: Sink) {
    this.#config = config;
    this.#controllers = controllers;
    this.#sink = sink;
  }

  /** Resolves when the switcher has the endpoints that controllers place here now. */
  async open(): Promise<void> {
    const first: Promise<void>[] = [];
    for (const owner of this.#config.controllers) {
      const heard = Promise.withResolvers<void>();
      first.push(heard.promise);
      const client = this.#controllers.client(owner);
      const { name } = this.#config.self;
      const onDenied = (why: string): void => log('error', 'not let in', { controller: owner.name, why });
      this.#watching.push(
        follow(client, RANGES.endpointsOf(name), {
          read: (value) => parsed(localEndpoint, value),
          onChanges: (c, revision) => void this.#hearEndpoints(owner, c, revision).then(heard.resolve),
          onDenied,
        }),
        follow(client, RANGES.membershipsOf(name), { read: (word) => word, onChanges: (c) => this.#hearWords(c), onDenied }),
      );
    }
    for (const { name, vnid, owner } of this.#config.forwards) {
      this.#local(owner, name, vnid);
      first.push(this.#sink.put(`gateway ${name}`, { kind: 'gateway', vnid }));
    }
    await Promise.all(first);
  }

  get isGateway(): boolean {
    return this.#config.forwards.length > 0;
  }

  /** Backends of balancers that are here. */
  get backends(): Backend[] {
    return [...this.#backends.values()].flat();
  }

  network(vnid: number): FollowedNetwork | undefined {
    return [...this.#networks.values()].find((n) => n.followed.settings.vnid === vnid)?.followed;
  }

  get networks(): FollowedNetwork[] {
    return [...this.#networks.values()].map((n) => n.followed);
  }

  /** Nothing more is asked of controllers of peers. */
  set isHeld(on: boolean) {
    this.#isHeld = on;
    if (!on) for (const [name, local] of this.#networks) for (const peer of local.peerings.keys()) this.#introduce(name, peer);
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  stop(): void {
    for (const watching of this.#watching) watching.stop();
    for (const { followed, watching } of this.#networks.values()) {
      watching.stop();
      followed.stop();
    }
  }

  async #hearEndpoints(owner: Place, changes: readonly Told<LocalEndpoint>[], revision: number): Promise<void> {
    const done: Promise<void>[] = [];
    for (const { key, value } of changes) {
      const [, , network = '', endpoint = ''] = partsOf(key);
      if (value === null) done.push(this.#removeEndpoint(network, endpoint));
      else done.push(this.#putEndpoint(owner, network, endpoint, value));
    }
    await Promise.all(done);
    const { name } = this.#config.self;
    await this.#controllers.write(owner, KEYS.applied(name), String(revision), () => true);
  }

  async #putEndpoint(owner: Place, network: string, endpoint: string, { via, ...row }: LocalEndpoint): Promise<void> {
    const key = `endpoint ${network} ${endpoint}`;
    if (via !== null) {
      await this.#sink.put(key, { kind: 'moved', vnid: row.vnid, mac: row.mac, via });
      this.#leave(network, endpoint);
      return;
    }
    const port = this.#config.ports[endpoint];
    if (port === undefined) {
      log('warn', 'no port', { endpoint });
      return;
    }
    this.#local(owner, network, row.vnid).endpoints.add(endpoint);
    const { services, ...rest } = row;
    this.#backends.set(
      key,
      services.map((service) => ({ owner, network, endpoint, port, service, vnid: row.vnid, mac: row.mac })),
    );
    await this.#sink.put(key, { kind: 'endpoint', port, ...rest, serves: services.flatMap((s) => s.addresses) });
  }

  async #removeEndpoint(network: string, endpoint: string): Promise<void> {
    await this.#sink.remove(`endpoint ${network} ${endpoint}`);
    this.#leave(network, endpoint);
  }

  /** What it was the last endpoint of is not followed any more. */
  #leave(network: string, endpoint: string): void {
    this.#backends.delete(`endpoint ${network} ${endpoint}`);
    const local = this.#networks.get(network);
    if (!local?.endpoints.delete(endpoint) || local.endpoints.size > 0) return;
    local.watching.stop();
    local.followed.stop();
    this.#networks.delete(network);
  }

  #local(owner: Place, name: string, vnid: number): Local {
    const known = this.#networks.get(name);
    if (known) return known;
    const { destinations: most, pull, self } = this.#config;
    const settings = { name, vnid, host: self.name, owner, most, pull, isGateway: this.isGateway };
    const local: Local = {
      followed: new FollowedNetwork(settings, this.#controllers, this.#sink),
      endpoints: new Set(),
      peerings: new Map(),
      watching: follow(this.#controllers.client(owner), RANGES.peeringsOf(name), {
        read: (value) => parsed(peering, value),
        onChanges: (changes) => this.#hearPeerings(name, changes),
        onDenied: (why) => log('error', 'not let in', { network: name, why }),
      }),
    };
    this.#networks.set(name, local);
    return local;
  }

  #hearWords(changes: readonly Told<string>[]): void {
    for (const { key, value } of changes) {
      const network = partsOf(key)[2] ?? '';
      if (value === null) this.#words.delete(network);
      else this.#words.set(network, value);
      for (const peer of this.#networks.get(network)?.peerings.keys() ?? []) this.#introduce(network, peer);
    }
  }

  #hearPeerings(name: string, changes: readonly Told<PeeringRow>[]): void {
    const local = this.#networks.get(name);
    for (const { key, value } of changes) {
      const peer = partsOf(key)[2] ?? '';
      if (value === null) {
        local?.peerings.delete(peer);
        local?.followed.leave(peer);
        continue;
      }
      local?.peerings.set(peer, value);
      this.#introduce(name, peer);
      this.#enter(name, peer);
      if (!this.#isAsked(value)) local?.followed.leave(peer);
    }
  }

  /** Is its controller asked by this host? Else by gateways, which have nobody else to ask. */
  #isAsked({ via }: PeeringRow): boolean {
    return via === 'direct' || this.isGateway;
  }

  /** To the peer's controller, as soon as its own one has given its word. */
  #introduce(network: string, peer: string): void {
    const local = this.#networks.get(network);
    const row = local?.peerings.get(peer);
    const word = this.#words.get(network);
    if (this.#isHeld || !row || word === undefined || !this.#isAsked(row)) return;
    const { name } = this.#config.self;
    if (!this.#asked.has(row.controller.name)) {
      this.#asked.add(row.controller.name);
      this.#watching.push(
        follow(this.#controllers.client(row.controller), RANGES.admissionsOf(name), {
          read: (value) => parsed(admission, value),
          onChanges: (changes) => this.#hearAdmissions(row.controller, changes),
          onDenied: (why) => log('error', 'not let in', { controller: row.controller.name, why }),
        }),
      );
    }
    const isWanted = (): boolean => this.#words.get(network) === word && this.#networks.get(network)?.peerings.get(peer) === row;
    void this.#controllers.write(row.controller, KEYS.introduction(name, network, peer), word, isWanted);
  }

  #hearAdmissions(at: Place, changes: readonly Told<Admission>[]): void {
    for (const { key, value: answer } of changes) {
      const [, , network = '', peer = ''] = partsOf(key);
      const of = `${network} ${peer}`;
      if (answer) this.#admissions.set(of, { at, answer });
      else this.#admissions.delete(of);
      this.#enter(network, peer);
    }
  }

  /** The peer's set is followed, as far as its controller lets. */
  #enter(network: string, peer: string): void {
    const local = this.#networks.get(network);
    const row = local?.peerings.get(peer);
    const known = this.#admissions.get(`${network} ${peer}`);
    if (!local || !row || !known || !this.#isAsked(row) || known.at.name !== row.controller.name) return;
    const { at, answer } = known;
    if ('refused' in answer) {
      this.counters.refused += 1;
      log('warn', 'introduction refused', { network, peer, why: answer.refused });
      local.followed.leave(peer);
    } else local.followed.follow(peer, { at, set: answer.set, access: answer.access });
  }
}
