/**
 * SDN controller of some networks (R2 section 3): takes what their owners declare, publishes what follows from it in its etcd, and lets
 * hosts of peers read what both owners have agreed on.
 */
import type { KeyObject } from 'node:crypto';
import { Type } from 'typebox';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';
import { parsed } from '../../../src/core/lightjson.ts';
import type { Etcd, Range } from '../../lib/etcd/client.ts';
import { follow, type FollowEvents, type Told } from '../../lib/etcd/follow.ts';
import type { Watching } from '../../lib/etcd/watch.ts';
import { parsePrefix } from '../../lib/prefix.ts';
import { log } from '../../lib/rpc.ts';
import type { ControllerConfig } from '../config.ts';
import { introduce, isGenuine } from '../introduction.ts';
import { refuse } from '../../lib/params.ts';
import {
  consent,
  KEYS,
  learned,
  load,
  membership,
  offered,
  partsOf,
  prefixInKey,
  RANGES,
  ROLES,
  winner,
  type Consent,
  type Learned,
  type Load,
  type Membership,
} from '../rows.ts';
import { admissionOf, type Introduction } from './admission.ts';
import { hostsOf, rowsOf, setsOf, type Surroundings } from './published.ts';
import { Rights } from './rights.ts';
import type { Offer } from './routes.ts';
import { Standings } from './standings.ts';
import { learn, moveEndpoint, versioned, type Network } from './state.ts';

const APPLIED_MS = 20_000;

export interface Keys {
  /** Own, that introductions are signed with. */
  readonly signing: KeyObject;
  /** Of a controller, by name. */
  verifying(controller: string): KeyObject;
}

type Refused = 'forged' | 'expired' | 'not agreed';

export class Controller {
  readonly counters = { operations: 0, commits: 0, rows: 0, introductions: 0, forged: 0, expired: 0, notAgreed: 0 };
  readonly #config: ControllerConfig;
  readonly #client: Etcd;
  readonly #keys: Keys;
  readonly #rights: Rights;
  readonly #networks: Map<string, Network>;
  readonly #owners: ReadonlyMap<string, string>;
  readonly #hosts: ReadonlyMap<string, string>;
  /** By network and peer. */
  readonly #consents = new Map<string, Map<string, Consent>>();
  readonly #offers = new Map<string, Map<string, Omit<Offer, 'network'>>>();
  readonly #standings = new Standings();
  /** Gateways that are there. */
  readonly #gateways = new Set<string>();
  /** By key. */
  readonly #introductions = new Map<string, Introduction>();
  readonly #genuine = new WeakMap<Membership, boolean>();
  readonly #refused = new Map<string, string>();
  /** By who they follow from: a network, or an introduction. */
  readonly #published = new Map<string, ReadonlyMap<string, string>>();
  /** Roles of hosts, by who they follow from; the same by host; and hosts whose roles may have changed. */
  readonly #roles = new Map<string, ReadonlyMap<string, readonly string[]>>();
  readonly #byHost = new Map<string, Map<string, readonly string[]>>();
  readonly #concerned = new Set<string>();
  /** By key. */
  readonly #applied = new Map<string, number>();
  readonly #dirty = new Set<string>();
  readonly #changed = new Set<string>();
  readonly #queue = new SerialQueue();
  readonly #followed: Watching[] = [];
  readonly #timer: NodeJS.Timeout;
  #untilMs = 0;
  #isWaiting = false;
  /** It has heard what peers and hosts said to a predecessor: what that gave is taken away no sooner. */
  #isComplete = false;

  /** Rows that a predecessor published, until it is known which of them hold. */
  #left: Map<string, string>;

  constructor(
    config: ControllerConfig,
    client: Etcd,
    keys: Keys,
    rights: Rights,
    networks: ReadonlyMap<string, Network>,
    left: ReadonlyMap<string, string>,
  ) {
    this.#config = config;
    this.#client = client;
    this.#keys = keys;
    this.#rights = rights;
    this.#networks = new Map(networks);
    this.#left = new Map(left);
    this.#owners = new Map(Object.entries(config.owners));
    this.#hosts = new Map(config.hosts.map((h) => [h.name, h.address]));
    // Renewed long before it ends, and never long after is one in force that ended.
    this.#timer = setInterval(() => this.#renew(), config.introductionMs / 4);
  }

  /** What it knows is published. What a predecessor has published stays until it is known what peers say. */
  async open(): Promise<void> {
    this.#renew();
    await this.#queue.run(() => this.#publish());
  }

  /**
   * `peers`: by controller, the etcd that is read what it says to this one. Hosts are judged once all of them have said it; so nothing
   * that was agreed on is taken back because a controller starts anew.
   */
  follow(peers: ReadonlyMap<string, Etcd>): void {
    const { name } = this.#config.self;
    const heard = [...peers.values()].flatMap((from) => [
      this.#follow(
        from,
        RANGES.consentsFor(name),
        (value) => parsed(consent, value),
        (changes) => this.#hear(this.#consents, changes),
      ),
      this.#follow(
        from,
        RANGES.offersFor(name),
        (value) => parsed(offered, value),
        (changes) => this.#hear(this.#offers, changes),
      ),
    ]);
    heard.push(
      this.#follow(
        this.#client,
        RANGES.learned,
        (value) => parsed(learned, value),
        (changes) => this.#hearLearned(changes),
      ),
      this.#follow(
        this.#client,
        RANGES.loads,
        (value) => parsed(load, value),
        (changes) => this.#hearLoads(changes),
      ),
      this.#follow(
        this.#client,
        RANGES.gateways,
        () => true,
        (changes) => this.#hearGateways(changes),
      ),
    );
    void this.#follow(
      this.#client,
      RANGES.applied,
      (value) => parsed(Type.Integer(), value),
      (changes) => this.#hearApplied(changes),
    );
    void Promise.all(heard)
      .then(() => this.#follow(this.#client, RANGES.introductions, claimOf, (changes) => this.#hearIntroductions(changes)))
      .then(() => this.#queue.run(() => this.#clear()))
      .catch((error: unknown) => log('error', 'not cleared', { why: (error as Error).message }));
  }

  /** A refusal, UnknownNetwork: it is another controller's, or nobody's. */
  network(name: string): Network {
    return this.#networks.get(name) ?? refuse('UnknownNetwork', `no network "${name}" of ${this.#config.self.name}`);
  }

  /** What its owner declares now. Resolves when it is published. */
  change(name: string, edit: (network: Network) => Network): Promise<number> {
    return this.#queue.run(async () => {
      const before = this.network(name);
      this.#networks.set(name, edit(before));
      this.#dirty.add(name);
      this.counters.operations += 1;
      try {
        return await this.#publish();
      } catch (error) {
        this.#networks.set(name, before);
        this.#dirty.add(name);
        throw error;
      }
    });
  }

  /**
   * Resolves when all hosts that may read the network's rows follow it: those that do not in time. A refusal, HostsSilent: one of the
   * two that the endpoint is or was on does not.
   */
  async move(name: string, endpoint: string, host: string): Promise<string[]> {
    if (!this.#hosts.has(host)) refuse('UnknownHost', `no host "${host}"`);
    const from = this.network(name).endpoints.get(endpoint)?.host ?? host;
    const revision = await this.change(name, (network) => moveEndpoint(network, endpoint, host));
    await this.change(name, versioned);
    const { version } = this.network(name);
    const placed = this.#silent([from, host], '', revision);
    const readers = this.#silent(this.#readers(name), name, version);
    const isDone = (): boolean => placed().length + readers().length === 0;
    if (!(await until(isDone, { withinMs: APPLIED_MS, everyMs: 1 })) && placed().length > 0)
      refuse('HostsSilent', `${placed().join(' and ')} did not say that it is done`);
    return readers();
  }

  describe(name: string): object {
    const network = this.network(name);
    const published = this.#published.get(name) ?? new Map<string, string>();
    const rows = [...published.keys()];
    const routes = rows.filter((key) => key.startsWith(RANGES.winners.key));
    const sets = [...setsOf(network, this.#around(network)).keys()];
    return {
      vnid: network.vnid,
      endpoints: Object.fromEntries([...network.endpoints.values()].map((e) => [e.name, e.host])),
      peers: rows.filter((key) => key.startsWith(RANGES.peerings.key)).map((key) => partsOf(key)[2]),
      routes: Object.fromEntries(routes.map((key) => [prefixInKey(partsOf(key)[2] ?? ''), parsed(winner, published.get(key) ?? '')])),
      sets: sets.length,
      rows: rows.length,
    };
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const watching of this.#followed) watching.stop();
  }

  /** Hosts that follow its rows: its own, and those of peers that were let in. */
  #readers(name: string): string[] {
    const admitted = [...this.#introductions].filter(([key, { peer }]) => peer === name && (this.#roles.get(key)?.size ?? 0) > 0);
    return [...new Set([...hostsOf(this.network(name)), ...admitted.map(([, { host }]) => host)])];
  }

  /** Those that have not yet applied it. */
  #silent(hosts: readonly string[], network: string, version: number): () => string[] {
    const keys = [...new Set(hosts)].map((host) => [host, KEYS.applied(host, network)] as const);
    return () => keys.filter(([, key]) => (this.#applied.get(key) ?? 0) < version).map(([host]) => host);
  }

  #around(network: Network): Surroundings {
    return {
      controller: this.#config.self,
      owners: this.#owners,
      hosts: this.#hosts,
      consents: this.#consents.get(network.name) ?? new Map(),
      offers: this.#offers.get(network.name) ?? new Map(),
      standings: this.#standings.of(network.name),
      gateways: this.#config.gateways.map((g) => ({ ...g, isThere: this.#gateways.has(g.name) })),
    };
  }

  /** What a peer's controller says to one of its networks. */
  #hear<T>(into: Map<string, Map<string, T>>, changes: readonly Told<T>[]): void {
    for (const { key, value } of changes) {
      const [, , to = '', from = ''] = partsOf(key);
      const own = into.get(to) ?? new Map<string, T>();
      into.set(to, own);
      if (value === null) own.delete(from);
      else own.set(from, value);
      if (this.#networks.has(to)) this.#dirty.add(to);
    }
    this.#later();
  }

  #hearIntroductions(changes: readonly Told<Introduction['claim']>[]): void {
    for (const { key, value } of changes) {
      const [, host = '', network = '', peer = ''] = partsOf(key);
      this.counters.introductions += value === null ? 0 : 1;
      if (value === null) this.#introductions.delete(key);
      else this.#introductions.set(key, { host, network, peer, claim: value });
      this.#changed.add(key);
    }
    this.#later();
  }

  #hearLearned(changes: readonly Told<Learned>[]): void {
    for (const { key, value } of changes) {
      const [, name = '', endpoint = ''] = partsOf(key);
      const network = this.#networks.get(name);
      if (!network) continue;
      const prefixes = (value?.prefixes ?? []).filter((p) => parsePrefix(p) !== undefined);
      this.#networks.set(name, learn(network, endpoint, prefixes));
      this.#dirty.add(name);
    }
    this.#later();
  }

  #hearLoads(changes: readonly Told<Load>[]): void {
    for (const name of this.#standings.hear(changes, this.#networks)) this.#dirty.add(name);
    if (this.#dirty.size > 0) this.#later();
  }

  #hearGateways(changes: readonly Told<boolean>[]): void {
    for (const { key, value } of changes) {
      const [, name = ''] = partsOf(key);
      if (value) this.#gateways.add(name);
      else this.#gateways.delete(name);
    }
    for (const { name, peerings } of this.#networks.values())
      if (Object.values(peerings).some((p) => p.via === 'gateways')) this.#dirty.add(name);
    this.#later();
  }

  #hearApplied(changes: readonly Told<number>[]): void {
    for (const { key, value } of changes) this.#applied.set(key, value ?? 0);
  }

  /** Introductions are good for a while longer; those of others are judged again. */
  #renew(): void {
    this.#untilMs = Date.now() + this.#config.introductionMs;
    for (const name of this.#networks.keys()) this.#dirty.add(name);
    this.#later();
  }

  /** Resolves when it has been read for the first time. */
  #follow<T>(from: Etcd, range: Range, read: FollowEvents<T>['read'], hear: (changes: readonly Told<T>[]) => void): Promise<void> {
    const first = Promise.withResolvers<void>();
    const onChanges = (changes: readonly Told<T>[]): void => {
      hear(changes);
      first.resolve();
    };
    this.#followed.push(follow(from, range, { read, onChanges, onDenied: (why) => log('error', 'not let in', { why }) }));
    return first.promise;
  }

  /** What comes meanwhile is published with it. */
  #later(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    void this.#queue
      .run(() => {
        this.#isWaiting = false;
        return this.#publish();
      })
      .catch((error: unknown) => log('error', 'not published', { why: (error as Error).message }));
  }

  /** Who may read more may so before the rows are there, all of them at once; who may read less, after. The revision that has them. */
  async #publish(): Promise<number> {
    const [networks, introductions] = [[...this.#dirty], new Set(this.#changed)];
    for (const [key, { peer }] of this.#introductions) if (this.#dirty.has(peer)) introductions.add(key);
    this.#dirty.clear();
    this.#changed.clear();
    const [put, remove] = [new Map<string, string>(), new Set<string>()];
    const publish = (by: string, rows: ReadonlyMap<string, string>): void => {
      const before = this.#published.get(by) ?? new Map<string, string>();
      for (const [key, value] of rows) if ((before.get(key) ?? this.#left.get(key)) !== value) put.set(key, value);
      for (const key of before.keys()) if (!rows.has(key)) remove.add(key);
      this.#published.set(by, rows);
    };
    for (const name of networks) {
      const network = this.#networks.get(name)!;
      const around = this.#around(network);
      await this.#rights.needNetwork(name);
      for (const set of setsOf(network, around).keys()) await this.#rights.needSet(name, set);
      // Gateways know all networks.
      const hosts = hostsOf(network).union(new Set(this.#config.gateways.map((g) => g.name)));
      this.#assign(name, new Map([...hosts].map((host) => [host, [ROLES.network(name)]])));
      publish(name, new Map([...rowsOf(network, around), ...this.#memberships(name, hosts)]));
    }
    for (const key of introductions) {
      const { rows, roles } = this.#judge(key);
      this.#assign(key, roles);
      publish(key, rows);
    }
    const wanted = [...this.#concerned].map((host) => [host, new Set([...this.#rolesOf(host).values()].flat())] as const);
    this.#concerned.clear();
    const changed = wanted.filter(([host, roles]) => this.#rights.isOther(host, roles));
    await Promise.all(changed.map(([host, roles]) => this.#rights.grant(host, roles)));
    for (const [host, roles] of changed) put.set(KEYS.grants(host), JSON.stringify([...roles]));
    const revision = await this.#commit(put, remove);
    if (this.#isComplete) await Promise.all(changed.map(([host, roles]) => this.#rights.keep(host, roles)));
    return revision;
  }

  async #commit(put: ReadonlyMap<string, string>, remove: Set<string>): Promise<number> {
    for (const key of put.keys()) remove.delete(key);
    if (put.size + remove.size === 0) return 0;
    this.counters.commits += 1;
    this.counters.rows += put.size + remove.size;
    return this.#client.commit({ put, remove });
  }

  /** What a predecessor published and nobody would publish now. */
  async #clear(): Promise<void> {
    this.#isComplete = true;
    for (const host of this.#rights.hosts) this.#concerned.add(host);
    await this.#publish();
    const rows = new Set([...this.#published.values()].flatMap((own) => [...own.keys()]));
    const remove = [...this.#left.keys()].filter((key) => !rows.has(key));
    this.#left = new Map();
    if (remove.length > 0) await this.#client.commit({ put: new Map(), remove });
  }

  #memberships(network: string, hosts: ReadonlySet<string>): Map<string, string> {
    return new Map(
      [...hosts].map((host) => {
        const claim = { host, network, controller: this.#config.self.name, untilMs: this.#untilMs };
        return [KEYS.membership(host, network), JSON.stringify(introduce(claim, this.#keys.signing))];
      }),
    );
  }

  /** What becomes of an introduction: its answer, and a role for its host. */
  #judge(key: string): { readonly rows: ReadonlyMap<string, string>; readonly roles: ReadonlyMap<string, readonly string[]> } {
    const introduction = this.#introductions.get(key);
    if (!introduction) return { rows: new Map(), roles: new Map() };
    const { host, network, peer } = introduction;
    const admission = admissionOf(introduction, {
      networks: this.#networks,
      around: (own) => this.#around(own),
      owners: this.#owners,
      isGenuine: (claim) => this.#isGenuine(claim),
      nowMs: Date.now(),
    });
    if ('refused' in admission) this.#count(key, introduction, admission.refused);
    else this.#refused.delete(key);
    return {
      rows: new Map([[KEYS.admission(host, network, peer), JSON.stringify(admission)]]),
      roles: 'refused' in admission ? new Map() : new Map([[host, [ROLES.set(peer, admission.set)]]]),
    };
  }

  /** A signature is checked once. */
  #isGenuine(claim: Membership): boolean {
    let known = this.#genuine.get(claim);
    if (known === undefined) this.#genuine.set(claim, (known = isGenuine(claim, this.#keys.verifying(claim.controller))));
    return known;
  }

  /** Once, however often it is judged. */
  #count(key: string, { host, network, peer, claim }: Introduction, why: Refused): void {
    const what = JSON.stringify([why, claim]);
    if (this.#refused.get(key) === what) return;
    this.#refused.set(key, what);
    this.counters[why === 'not agreed' ? 'notAgreed' : why] += 1;
    log('warn', 'introduction refused', { host, network, peer, why });
  }

  /** Roles that follow from something; what followed from it before is over. */
  #assign(by: string, roles: ReadonlyMap<string, readonly string[]>): void {
    for (const host of this.#roles.get(by)?.keys() ?? []) this.#rolesOf(host).delete(by);
    for (const [host, own] of roles) this.#rolesOf(host).set(by, own);
    for (const host of [...(this.#roles.get(by)?.keys() ?? []), ...roles.keys()]) this.#concerned.add(host);
    this.#roles.set(by, roles);
  }

  #rolesOf(host: string): Map<string, readonly string[]> {
    const known = this.#byHost.get(host) ?? new Map<string, readonly string[]>();
    this.#byHost.set(host, known);
    return known;
  }
}

function claimOf(value: string): Membership | 'malformed' {
  try {
    return parsed(membership, value);
  } catch {
    return 'malformed';
  }
}
