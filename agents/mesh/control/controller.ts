/**
 * SDN controller of some networks (R2 section 3): takes what their owners declare, publishes what follows from it in its etcd, and lets
 * hosts of peers read what both owners have agreed on.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';
import { parsed } from '../../../src/core/lightjson.ts';
import type { Etcd } from '../../lib/etcd/client.ts';
import { log } from '../../lib/rpc.ts';
import type { ControllerConfig } from '../config.ts';
import { introduce, isGenuine } from '../introduction.ts';
import { refuse } from '../../lib/params.ts';
import { KEYS, partsOf, prefixInKey, RANGES, ROLES, winner, type Membership } from '../rows.ts';
import { admissionOf, type Introduction } from './admission.ts';
import { Heard } from './heard.ts';
import { Holdings } from './holdings.ts';
import { setOf } from './policies.ts';
import { Publication } from './publication.ts';
import { hostsOf, peersOf, rowsOf, setsOf, type Surroundings } from './published.ts';
import { Rights } from './rights.ts';
import { learn, moveEndpoint, versioned, type Network } from './state.ts';

const APPLIED_MS = 20_000;
const AGAIN_MS = 200;
/** Signatures that were checked. */
const MOST_REMEMBERED = 20_000;

export interface Keys {
  /** Own, that introductions are signed with. */
  readonly signing: KeyObject;
  /** Of controllers, by name. */
  readonly verifying: ReadonlyMap<string, KeyObject>;
}

type Refused = 'forged' | 'expired' | 'not agreed';

export class Controller {
  readonly #counters = { operations: 0, forged: 0, expired: 0, notAgreed: 0 };
  readonly #config: ControllerConfig;
  readonly #client: Etcd;
  readonly #keys: Keys;
  readonly #rights: Rights;
  readonly #networks: Map<string, Network>;
  readonly #owners: ReadonlyMap<string, string>;
  readonly #hosts: ReadonlyMap<string, string>;
  readonly #heard: Heard;
  /** By what was signed: a host shows one word to the controllers of all its peers. */
  readonly #genuine = new Map<string, boolean>();
  readonly #refused = new Map<string, string>();
  readonly #publication: Publication;
  /** Roles of hosts, by networks and introductions that they follow from; sets that hosts of peers may read, by the sets' networks. */
  readonly #roles = new Holdings();
  readonly #sets = new Holdings();
  /** Networks whose rows may be others now; those of which it may be others who read them; and introductions that are new. */
  readonly #dirty = new Set<string>();
  readonly #unjudged = new Set<string>();
  readonly #changed = new Set<string>();
  readonly #queue = new SerialQueue();
  readonly #timer: NodeJS.Timeout;
  #untilMs = 0;
  #isWaiting = false;
  #isStopped = false;
  /** It has heard what peers and hosts said to a predecessor: what that gave is taken away no sooner. */
  #isComplete = false;

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
    this.#publication = new Publication(client, left);
    this.#heard = new Heard(this.#networks, {
      onNetworks: (names) => this.#later(this.#dirty, names),
      onConsents: (names) => this.#later(this.#unjudged, names),
      onIntroductions: (keys) => this.#later(this.#changed, keys),
      onLearned: (name, endpoint, prefixes) => {
        this.#networks.set(name, learn(this.network(name), endpoint, prefixes));
        this.#later(this.#dirty, [name]);
      },
    });
    this.#owners = new Map(Object.entries(config.owners));
    this.#hosts = new Map(config.hosts.map((h) => [h.name, h.address]));
    // Renewed long before it ends, and never long after is one in force that ended.
    this.#timer = setInterval(() => this.#renew(), config.introductionMs / 4);
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, introductions: this.#heard.introduced, ...this.#publication.counters };
  }

  /** What it knows is published. What a predecessor has published stays until it is known what peers say. */
  async open(): Promise<void> {
    this.#renew();
    await this.#queue.run(() => this.#publish());
  }

  /** `peers`: by controller, the etcd that is read what it says to this one. */
  follow(peers: ReadonlyMap<string, Etcd>): void {
    void this.#heard.open(this.#config.self.name, this.#client, peers).then(() => this.#clearAtLast());
  }

  /** A refusal, UnknownNetwork: it is another controller's, or nobody's. */
  network(name: string): Network {
    return this.#networks.get(name) ?? refuse('UnknownNetwork', `no network "${name}" of ${this.#config.self.name}`);
  }

  /** What its owner declares now. Resolves when it is published. */
  change(name: string, edit: (network: Network) => Network): Promise<number> {
    return this.#queue.run(async () => {
      const before = this.network(name);
      const after = edit(before);
      this.#networks.set(name, after);
      this.#dirty.add(name);
      if (after.peerings !== before.peerings || after.policies !== before.policies) this.#unjudged.add(name);
      this.#counters.operations += 1;
      try {
        return await this.#publish();
      } catch (error) {
        // What its routers have said meanwhile stays.
        this.#networks.set(name, { ...before, learned: this.network(name).learned });
        this.#later(this.#unjudged, [name]);
        this.#later(this.#dirty, [name]);
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
    const isDone = (): boolean => !placed.isAny() && !readers.isAny();
    if (!(await until(isDone, { withinMs: APPLIED_MS, everyMs: 1 })) && placed.isAny())
      refuse('HostsSilent', `${placed.all().join(' and ')} did not say that it is done`);
    return readers.all();
  }

  describe(name: string): object {
    const network = this.network(name);
    const published = this.#publication.of(name);
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
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#heard.close();
  }

  /** Hosts that follow its rows: its own, and those of peers that were let in. */
  #readers(name: string): string[] {
    const admitted = [...this.#heard.introductions].filter(([key, { peer }]) => peer === name && this.#roles.isAnybodys(key));
    return [...new Set([...hostsOf(this.network(name)), ...admitted.map(([, { host }]) => host)])];
  }

  /** Those that have not yet applied it. */
  #silent(hosts: readonly string[], network: string, version: number): { isAny(): boolean; all(): string[] } {
    const left = [...new Set(hosts)];
    const isSilent = (host: string): boolean => !this.#heard.hasApplied(host, network, version);
    return {
      // It is asked all the time: the others are looked at once the last one is not silent any more.
      isAny: () => {
        while (left.length > 0 && !isSilent(left.at(-1)!)) left.pop();
        return left.length > 0;
      },
      all: () => left.filter(isSilent),
    };
  }

  #around(network: Network): Surroundings {
    return {
      controller: this.#config.self,
      owners: this.#owners,
      hosts: this.#hosts,
      consents: this.#heard.consents.get(network.name) ?? new Map(),
      offers: this.#heard.offers.get(network.name) ?? new Map(),
      standings: this.#heard.standings.of(network.name),
      gateways: this.#config.gateways.map((g) => ({ ...g, isThere: this.#heard.gateways.has(g.name) })),
    };
  }

  /** Introductions are good for a while longer; those of others are judged again. */
  #renew(): void {
    this.#untilMs = Date.now() + this.#config.introductionMs;
    this.#later(this.#dirty, this.#networks.keys());
    this.#later(this.#unjudged, this.#networks.keys());
  }

  /** These are looked at again, with what else comes until then. */
  #later(waiting: Set<string>, added: Iterable<string>): void {
    for (const name of added) waiting.add(name);
    this.#publishLater();
  }

  #publishLater(): void {
    if (this.#isWaiting || this.#dirty.size + this.#unjudged.size + this.#changed.size === 0) return;
    this.#isWaiting = true;
    void this.#queue
      .run(() => {
        this.#isWaiting = false;
        return this.#publish();
      })
      .catch(async (error: unknown) => {
        log('error', 'not published', { why: (error as Error).message });
        await sleep(AGAIN_MS);
        if (!this.#isStopped) this.#publishLater();
      });
  }

  /** Who may read more may so before the rows are there, all of them at once; who may read less, after. The revision that has them. */
  async #publish(): Promise<number> {
    const [networks, introductions] = [[...this.#dirty], new Set(this.#changed)];
    if (this.#unjudged.size > 0)
      for (const [key, { peer }] of this.#heard.introductions) if (this.#unjudged.has(peer)) introductions.add(key);
    for (const waiting of [this.#dirty, this.#unjudged, this.#changed]) waiting.clear();
    try {
      for (const name of networks) await this.#stageNetwork(this.#networks.get(name)!);
      for (const key of introductions) {
        const { rows, roles } = this.#judge(key);
        this.#roles.assign(key, roles);
        this.#publication.stage(key, rows);
      }
      return await this.#commit();
    } catch (error) {
      for (const name of networks) this.#dirty.add(name);
      for (const key of introductions) this.#changed.add(key);
      throw error;
    }
  }

  async #commit(): Promise<number> {
    const { hosts, peers } = this.#rights;
    const kinds = [
      { given: peers, holdings: this.#sets, key: KEYS.readable, wanted: this.#sets.concerned },
      { given: hosts, holdings: this.#roles, key: KEYS.grants, wanted: this.#roles.concerned },
    ];
    const changed = kinds.flatMap(({ given, key, wanted }) =>
      [...wanted].flatMap(([who, what]) => (given.isOther(who, what) ? [{ given, row: key(who), who, what }] : [])),
    );
    // Roles are there before they are given.
    for (const kind of kinds) {
      const own = changed.filter(({ given }) => given === kind.given);
      await Promise.all(own.map(({ given, who, what }) => given.give(who, what)));
    }
    // A successor learns of all that has been given, until it is taken away.
    const remember = ({ given, row, who }: (typeof changed)[number]): void =>
      this.#publication.put(row, JSON.stringify([...given.of(who)]));
    changed.forEach(remember);
    const revision = await this.#publication.commit();
    if (this.#isComplete) {
      const taken = changed.filter(({ given, who, what }) => given.isOther(who, what));
      await Promise.all(taken.map(({ given, who, what }) => given.keep(who, what)));
      taken.forEach(remember);
    }
    for (const { holdings, wanted } of kinds) holdings.settle(wanted.keys());
    return revision;
  }

  async #stageNetwork(network: Network): Promise<void> {
    const { name } = network;
    const around = this.#around(network);
    await this.#rights.needNetwork(name);
    const readable = [...peersOf(network, around)].map(([peer, policy]) => [peer, [RANGES.set(name, setOf(policy)).key]] as const);
    this.#sets.assign(name, new Map(readable));
    // Gateways know all networks.
    const hosts = hostsOf(network).union(new Set(this.#config.gateways.map((g) => g.name)));
    this.#roles.assign(name, new Map([...hosts].map((host) => [host, [ROLES.network(name)]])));
    this.#publication.stage(name, new Map([...rowsOf(network, around), ...this.#memberships(name, hosts)]));
  }

  async #clearAtLast(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#queue.run(() => this.#clear());
        return;
      } catch (error) {
        log('error', 'not cleared', { why: (error as Error).message });
        await sleep(AGAIN_MS);
      }
    }
  }

  /** What a predecessor published and nobody would publish now. */
  async #clear(): Promise<void> {
    this.#isComplete = true;
    this.#roles.concern(this.#rights.hosts.holders);
    this.#sets.concern(this.#rights.peers.holders);
    await this.#publish();
    await this.#publication.clear();
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
    const introduction = this.#heard.introductions.get(key);
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
      roles: 'refused' in admission ? new Map() : new Map([[host, [ROLES.peer(network)]]]),
    };
  }

  /** A signature is checked once. */
  #isGenuine(claim: Membership): boolean {
    const text = createHash('sha256').update(JSON.stringify(claim)).digest('base64');
    let known = this.#genuine.get(text);
    if (known === undefined) {
      if (this.#genuine.size >= MOST_REMEMBERED) this.#genuine.clear();
      const key = this.#keys.verifying.get(claim.controller);
      this.#genuine.set(text, (known = key !== undefined && isGenuine(claim, key)));
    }
    return known;
  }

  /** Once, however often it is judged. */
  #count(key: string, { host, network, peer, claim }: Introduction, why: Refused): void {
    const what = JSON.stringify([why, claim]);
    if (this.#refused.get(key) === what) return;
    this.#refused.set(key, what);
    this.#counters[why === 'not agreed' ? 'notAgreed' : why] += 1;
    log('warn', 'introduction refused', { host, network, peer, why });
  }
}
