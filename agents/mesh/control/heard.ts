/** What a controller hears: what peers' controllers say to it, and what hosts, gateways and routers say in its own etcd. */
import { Type } from 'typebox';
import { parsed } from '../../../src/core/lightjson.ts';
import type { Etcd, Range } from '../../lib/etcd/client.ts';
import { follow, type FollowEvents, type Told } from '../../lib/etcd/follow.ts';
import type { Watching } from '../../lib/etcd/watch.ts';
import { parsePrefix } from '../../lib/prefix.ts';
import { log } from '../../lib/rpc.ts';
import {
  consent,
  KEYS,
  learned,
  load,
  membership,
  offered,
  partsOf,
  RANGES,
  type Consent,
  type Learned,
  type Load,
  type Membership,
} from '../rows.ts';
import type { Introduction } from './admission.ts';
import type { Offer } from './routes.ts';
import { Standings } from './standings.ts';
import type { Network } from './state.ts';

/** What may follow from it. */
export interface News {
  /** Other rows of these networks. */
  onNetworks(names: Iterable<string>): void;
  /** Others who may read their rows. */
  onConsents(names: Iterable<string>): void;
  /** Other answers to these introductions. */
  onIntroductions(keys: Iterable<string>): void;
  /** A router of a network has learned these, and no others. */
  onLearned(network: string, endpoint: string, prefixes: readonly string[]): void;
}

export class Heard {
  /** By network and peer. */
  readonly consents = new Map<string, Map<string, Consent>>();
  readonly offers = new Map<string, Map<string, Omit<Offer, 'network'>>>();
  readonly standings = new Standings();
  /** Those that are there. */
  readonly gateways = new Set<string>();
  /** By key. */
  readonly introductions = new Map<string, Introduction>();
  introduced = 0;
  /** By key. */
  readonly #applied = new Map<string, number>();
  readonly #networks: ReadonlyMap<string, Network>;
  readonly #news: News;
  readonly #followed: Watching[] = [];

  /** `networks`: the controller's own, as they are now. */
  constructor(networks: ReadonlyMap<string, Network>, news: News) {
    this.#networks = networks;
    this.#news = news;
  }

  /**
   * `peers`: by controller, the etcd that is read what it says to `name`. Resolves when all has been heard that was said before; hosts'
   * introductions come last, so that nothing that was agreed on is taken back because a controller starts anew.
   */
  async open(name: string, own: Etcd, peers: ReadonlyMap<string, Etcd>): Promise<void> {
    const said = [...peers.values()].flatMap((from) => [
      this.#follow(
        from,
        RANGES.consentsFor(name),
        (value) => parsed(consent, value),
        (changes) => {
          const names = this.#put(this.consents, changes);
          this.#news.onConsents(names);
          this.#news.onNetworks(names);
        },
      ),
      this.#follow(
        from,
        RANGES.offersFor(name),
        (value) => parsed(offered, value),
        (changes) => this.#news.onNetworks(this.#put(this.offers, changes)),
      ),
    ]);
    await Promise.all([
      ...said,
      this.#follow(
        own,
        RANGES.learned,
        (value) => parsed(learned, value),
        (changes) => this.#hearLearned(changes),
      ),
      this.#follow(
        own,
        RANGES.loads,
        (value) => parsed(load, value),
        (changes: readonly Told<Load>[]) => this.#news.onNetworks(this.standings.hear(changes, this.#networks)),
      ),
      this.#follow(
        own,
        RANGES.gateways,
        () => true,
        (changes) => this.#hearGateways(changes),
      ),
      this.#follow(
        own,
        RANGES.applied,
        (value) => parsed(Type.Integer(), value),
        (changes) => {
          for (const { key, value } of changes) this.#applied.set(key, value ?? 0);
        },
      ),
    ]);
    await this.#follow(own, RANGES.introductions, claimOf, (changes) => this.#hearIntroductions(changes));
  }

  /** Has the host applied a version of a network's sets; of no network, a revision of what is placed on it? */
  hasApplied(host: string, network: string, version: number): boolean {
    return (this.#applied.get(KEYS.applied(host, network)) ?? 0) >= version;
  }

  close(): void {
    for (const watching of this.#followed) watching.stop();
  }

  /** What peers' controllers say to networks here: the networks. */
  #put<T>(into: Map<string, Map<string, T>>, changes: readonly Told<T>[]): Set<string> {
    const names = new Set<string>();
    for (const { key, value } of changes) {
      const [, , to = '', from = ''] = partsOf(key);
      if (!this.#networks.has(to)) continue;
      const own = into.get(to) ?? new Map<string, T>();
      into.set(to, own);
      if (value === null) own.delete(from);
      else own.set(from, value);
      names.add(to);
    }
    return names;
  }

  #hearIntroductions(changes: readonly Told<Introduction['claim']>[]): void {
    for (const { key, value } of changes) {
      const [, host = '', network = '', peer = ''] = partsOf(key);
      if (value === null) this.introductions.delete(key);
      else {
        this.introductions.set(key, { host, network, peer, claim: value });
        this.introduced += 1;
      }
    }
    this.#news.onIntroductions(changes.map(({ key }) => key));
  }

  #hearLearned(changes: readonly Told<Learned>[]): void {
    for (const { key, value } of changes) {
      const [, name = '', endpoint = ''] = partsOf(key);
      if (!this.#networks.has(name)) continue;
      const prefixes = (value?.prefixes ?? []).filter((p) => parsePrefix(p) !== undefined);
      this.#news.onLearned(name, endpoint, prefixes);
    }
  }

  #hearGateways(changes: readonly Told<boolean>[]): void {
    for (const { key, value } of changes) {
      const [, name = ''] = partsOf(key);
      if (value) this.gateways.add(name);
      else this.gateways.delete(name);
    }
    const using = [...this.#networks.values()].filter(({ peerings }) => Object.values(peerings).some((p) => p.via === 'gateways'));
    this.#news.onNetworks(using.map((n) => n.name));
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
}

function claimOf(value: string): Membership | 'malformed' {
  try {
    return parsed(membership, value);
  } catch {
    return 'malformed';
  }
}
