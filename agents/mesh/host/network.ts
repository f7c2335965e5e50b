/**
 * A network that has endpoints on this host, as its on-host controller follows it: its own set, those of its peers, and of these only the
 * rows of addresses that packets were sent to (R2 section 3.1, R2-6).
 */
import { just } from '../../lib/etcd/client.ts';
import { follow, type Told } from '../../lib/etcd/follow.ts';
import type { Watching } from '../../lib/etcd/watch.ts';
import { log } from '../../lib/rpc.ts';
import { contains, formatAddress, parseAddress, parsePrefix, type Address, type Prefix } from '../../lib/prefix.ts';
import { parsed } from '../../../src/core/lightjson.ts';
import type { Place } from '../config.ts';
import {
  isBalanced,
  KEYS,
  OWN_SET,
  partsOf,
  pool,
  prefixInKey,
  RANGES,
  summary,
  target,
  winner,
  type Access,
  type Pool,
  type Summary,
  type Target,
  type WinnerRow,
} from '../rows.ts';
import { Backends } from './backends.ts';
import type { Controllers } from './controllers.ts';
import type { Item } from './items.ts';
import { Owners } from './owners.ts';

/** Packets of a network that wait for the answer about their destinations; what comes beyond is dropped. */
const MOST_WAITING = 1024;

const NOTHING: Summary = { prefixes: [], routes: [], version: 0 };

/** What is told of a network's peers and destinations. */
export interface Sink {
  put(key: string, item: Item): Promise<void>;
  remove(key: string): Promise<void>;
  /** Resolves when it has all that it was told so far. */
  settled(): Promise<void>;
}

/** A set that the network may read. */
interface Peer {
  readonly at: Place;
  readonly set: string;
  readonly access: Access;
  readonly watching: Watching;
  prefixes: readonly string[];
  /** Prefixes behind its routers. */
  routes: readonly string[];
  /** Where all are pulled: by key. */
  readonly rows: Map<string, Target>;
}

interface Followed {
  readonly address: Address;
  /** Whose row it is, and under which key; undefined: nobody's. */
  peer: string | undefined;
  key: string | undefined;
  watching: Watching | undefined;
  row: Target | null;
  /** The row that the switcher has heard of last. */
  told: Target | null | undefined;
  /** Of a balancer. */
  readonly backends: Backends;
  /** What became of the first look; packets wait for it. */
  isKnown: boolean;
  readonly waiting: (() => void)[];
  /** Of its flow. */
  readonly number: number;
  /** Packets that its flow had counted when it was looked at last, and when that changed (performance.now). */
  packets: number;
  usedMs: number;
}

export interface NetworkSettings {
  readonly name: string;
  readonly vnid: number;
  /** This one. */
  readonly host: string;
  /** Its own controller. */
  readonly owner: Place;
  /** Destinations that are followed at once. */
  readonly most: number;
  /** Rows of the sets that it may read: those that packets go to, or all. */
  readonly pull: 'needed' | 'all';
  readonly isGateway: boolean;
}

export class FollowedNetwork {
  static #numbers = 0;
  readonly settings: NetworkSettings;
  readonly #controllers: Controllers;
  readonly #sink: Sink;
  readonly #peers = new Map<string, Peer>();
  /** By address, as text. */
  readonly #destinations = new Map<string, Followed>();
  /** Those that are balancers with an overflow, which news of any destination may concern: by address, its address. */
  readonly #overflows = new Map<string, string>();
  readonly #owners: Owners;
  readonly #watching: Watching[];
  /** Gateways, for packets to whom it does not know; null: it has none. */
  #pool: Pool | null = null;
  /** Packets. */
  #waiting = 0;

  constructor(settings: NetworkSettings, controllers: Controllers, sink: Sink) {
    this.settings = settings;
    this.#controllers = controllers;
    this.#sink = sink;
    this.#owners = new Owners(settings.name);
    this.follow(settings.name, { at: settings.owner, set: OWN_SET, access: 'all' });
    const owner = controllers.client(settings.owner);
    const onDenied = (why: string): void => log('error', 'not let in', { network: settings.name, why });
    this.#watching = [
      follow(owner, RANGES.winnersOf(settings.name), {
        read: (value) => parsed(winner, value),
        onChanges: (changes) => this.#hearWinners(changes),
        onDenied,
      }),
    ];
    // A gateway sends nothing to others.
    if (!settings.isGateway)
      this.#watching.push(
        follow(owner, RANGES.pool(settings.name), {
          read: (value) => parsed(pool, value),
          onChanges: (changes) => this.#hearPool(changes.at(-1)?.value ?? null),
          onDenied,
        }),
      );
  }

  get destinations(): number {
    return this.#destinations.size;
  }

  get peers(): string[] {
    return [...this.#peers.keys()].filter((peer) => peer !== this.settings.name);
  }

  /** A peer's set, from now on. */
  follow(peer: string, { at, set, access }: Pick<Peer, 'at' | 'set' | 'access'>): void {
    const before = this.#peers.get(peer);
    if (before?.set === set && before.access === access && before.at.address === at.address) return;
    before?.watching.stop();
    const ownKey = KEYS.summary(peer, set);
    const range = this.settings.pull === 'all' ? RANGES.set(peer, set) : just(ownKey);
    const watching = follow(this.#controllers.client(at), range, {
      read: (value, key) => (key === ownKey ? { summary: parsed(summary, value) } : { row: parsed(target, value) }),
      onChanges: (changes) => {
        for (const { key, value } of changes)
          if (key !== ownKey) this.#hearAll(peer, { key, value: value?.row ?? null });
          else this.#learn(peer, value?.summary ?? NOTHING);
        // After the rows that it came with.
        const told = changes.findLast(({ key }) => key === ownKey)?.value?.summary;
        if (told) void this.#acknowledge(at, peer, told.version);
      },
      onDenied: (why) => log('warn', 'not let in', { peer, why }),
    });
    const { prefixes, routes } = before ?? NOTHING;
    this.#peers.set(peer, { at, set, access, watching, prefixes, routes, rows: new Map() });
    if (!before) {
      this.#resolveWithin(this.#owners.put(peer, []));
      return;
    }
    this.#tellReplies(peer);
    for (const [text, known] of this.#destinations) if (known.peer === peer) this.#resolve(text, known);
  }

  /** It is no peer any more. */
  leave(peer: string): void {
    const known = this.#peers.get(peer);
    if (!known) return;
    known.watching.stop();
    this.#peers.delete(peer);
    void this.#sink.remove(this.#key('replies', peer));
    this.#resolveWithin(this.#owners.remove(peer));
  }

  /** A packet to an address that no flow knows: `resend` sends it again once there is one. */
  miss(address: Address, resend: () => void): void {
    const text = formatAddress(address);
    const known = this.#destinations.get(text) ?? this.#add(text, address);
    if (this.#waiting < MOST_WAITING) {
      known.waiting.push(resend);
      this.#waiting += 1;
    }
    // The flow is under way: what is known of it is in the switch before this packet is there again.
    if (known.isKnown) void this.#tell(text, known);
  }

  /** Destinations that no packet went to for so long are forgotten. `packets`: what flows have counted, by their numbers. */
  expire(packets: ReadonlyMap<number, number>, idleMs: number): void {
    // What is pulled whether it is needed or not stays.
    if (this.settings.pull === 'all') return;
    const nowMs = performance.now();
    const overflows = new Set(this.#overflows.values());
    for (const [text, known] of this.#destinations) {
      if (overflows.has(text)) known.usedMs = nowMs;
      const counted = packets.get(known.number) ?? 0;
      if (counted !== known.packets) Object.assign(known, { packets: counted, usedMs: nowMs });
      else if (nowMs - known.usedMs >= idleMs) this.#forget(text, known);
    }
  }

  /** What a controller has told is not held any longer; when it is back it is asked anew. */
  loseController(name: string): void {
    // Of a copy: those that are followed anew come last again.
    for (const [peer, known] of [...this.#peers].filter(([, { at }]) => at.name === name)) {
      this.leave(peer);
      this.follow(peer, known);
    }
  }

  stop(): void {
    for (const watching of this.#watching) watching.stop();
    if (this.#pool) void this.#sink.remove(this.#key('pool', ''));
    for (const [text, known] of this.#destinations) this.#forget(text, known);
    for (const peer of this.#peers.keys()) this.leave(peer);
  }

  #key(kind: string, of: string): string {
    return `${kind} ${this.settings.vnid} ${of}`;
  }

  #learn(peer: string, told: Summary): void {
    const known = this.#peers.get(peer);
    if (!known) return;
    const isPrefix = (text: string): boolean => parsePrefix(text) !== undefined;
    const [prefixes, routes] = [told.prefixes.filter(isPrefix), told.routes.filter(isPrefix)];
    const isOther = !isEqual(prefixes, known.prefixes) || !isEqual(routes, known.routes);
    Object.assign(known, { prefixes, routes });
    if (isOther) this.#tellReplies(peer);
    this.#resolveWithin(this.#owners.put(peer, prefixes));
  }

  /** What of a peer only answers, where it may not begin connections. */
  #tellReplies(peer: string): void {
    const known = this.#peers.get(peer);
    const key = this.#key('replies', peer);
    if (known?.access === 'replies')
      void this.#sink.put(key, { kind: 'replies', vnid: this.settings.vnid, prefixes: [...known.prefixes, ...known.routes] });
    else void this.#sink.remove(key);
  }

  /** What was heard before is in the switcher. */
  async #acknowledge(at: Place, peer: string, version: number): Promise<void> {
    if (version === 0) return;
    await this.#sink.settled();
    await this.#controllers.write(at, KEYS.applied(this.settings.host, peer), String(version), () => this.#peers.has(peer));
  }

  #hearWinners(changes: readonly Told<WinnerRow>[]): void {
    this.#resolveWithin(
      changes.flatMap(({ key, value }) => {
        const prefix = prefixInKey(partsOf(key)[2] ?? '');
        return parsePrefix(prefix) ? this.#owners.win(prefix, value?.network ?? null) : [];
      }),
    );
  }

  /** Addresses in prefixes that are somebody else's now. */
  #resolveWithin(changed: readonly Prefix[]): void {
    if (changed.length === 0) return;
    for (const [text, known] of this.#destinations) if (changed.some((p) => contains(p, known.address))) this.#resolve(text, known);
    this.#tellPool();
  }

  #hearPool(row: Pool | null): void {
    if (this.#pool && !row) void this.#sink.remove(this.#key('pool', ''));
    this.#pool = row;
    this.#tellPool();
  }

  /** Gateways may know whom it does not. */
  #tellPool(): void {
    if (!this.#pool) return;
    for (const [text, known] of this.#destinations) if (known.peer === undefined) this.#forget(text, known);
    const direct = this.#owners.prefixes.sort();
    void this.#sink.put(this.#key('pool', ''), { kind: 'pool', vnid: this.settings.vnid, members: this.#pool.members, direct });
  }

  /** Whose address it is, and from where its row comes. */
  #resolve(text: string, known: Followed): void {
    const { peer, route } = this.#owners.find(known.address) ?? { peer: undefined, route: null };
    const from = peer === undefined ? undefined : this.#peers.get(peer);
    const key = from && (route === null ? KEYS.destination(peer!, from.set, text) : KEYS.route(peer, from.set, route));
    if (this.settings.pull === 'all') {
      Object.assign(known, { peer, key, row: from?.rows.get(key ?? '') ?? null });
      void this.#tell(text, known);
      return;
    }
    if (known.key === key && (known.isKnown || known.watching)) {
      // Its way is the same; what may be done with it may have changed.
      if (known.isKnown) void this.#tell(text, known);
      return;
    }
    known.watching?.stop();
    Object.assign(known, { peer, key, watching: undefined, row: null });
    if (!from || key === undefined) {
      void this.#tell(text, known);
      return;
    }
    known.watching = follow(this.#controllers.client(from.at), just(key), {
      read: (value) => parsed(target, value),
      onChanges: (changes) => this.#hear(text, known, changes),
      onDenied: (why) => {
        log('warn', 'not let in', { peer, why });
        void this.#tell(text, known);
      },
    });
  }

  /** A row that no packet has asked for. */
  #hearAll(peer: string, { key, value }: Told<Target>): void {
    const rows = this.#peers.get(peer)?.rows;
    if (value === null) rows?.delete(key);
    else rows?.set(key, value);
    const [, , , kind, text = ''] = partsOf(key);
    const address = kind === 'at' ? parseAddress(text) : undefined;
    const known = this.#destinations.get(text);
    if (known) this.#resolve(text, known);
    else if (address) this.miss(address, () => undefined);
    const route = kind === 'route' ? parsePrefix(prefixInKey(text)) : undefined;
    if (route) for (const [own, behind] of this.#destinations) if (contains(route, behind.address)) this.#resolve(own, behind);
  }

  #hear(text: string, known: Followed, changes: readonly Told<Target>[]): void {
    for (const { value } of changes) known.row = value;
    void this.#tell(text, known);
  }

  /** What goes there when others are full. */
  #tellBalancers(text: string): void {
    for (const [own, overflow] of this.#overflows) {
      const known = this.#destinations.get(own);
      if (known && overflow === text && own !== text) void this.#tell(own, known);
    }
  }

  async #tell(text: string, known: Followed): Promise<void> {
    known.isKnown = true;
    const isOther = known.row !== known.told;
    known.told = known.row;
    const overflow = overflowOf(known.row);
    if (overflow === null) this.#overflows.delete(text);
    else this.#overflows.set(text, overflow);
    // What gateways know is theirs.
    if (this.#pool && known.peer === undefined) await this.#sink.remove(this.#key('destination', text));
    else await this.#sink.put(this.#key('destination', text), this.#itemOf(text, known));
    if (isOther) this.#tellBalancers(text);
    const waiting = known.waiting.splice(0);
    this.#waiting -= waiting.length;
    if (known.row) for (const resend of waiting) resend();
  }

  #itemOf(address: string, { peer, row, number, backends }: Followed): Item {
    const access = (peer === undefined ? undefined : this.#peers.get(peer)?.access) ?? 'all';
    const to = { vnid: this.settings.vnid, address, access, number };
    if (!isBalanced(row)) return { ...to, kind: 'destination', to: row };
    const overflow = overflowOf(row);
    const beyond = overflow === null ? undefined : (this.#destinations.get(overflow) ?? this.#add(overflow, parseAddress(overflow)!));
    return { ...to, kind: 'balanced', ways: backends.ways(row, beyond?.row ?? null) };
  }

  #add(text: string, address: Address): Followed {
    if (this.#destinations.size >= this.settings.most) this.#forgetLeastUsed();
    const known: Followed = {
      address,
      peer: undefined,
      key: undefined,
      watching: undefined,
      row: null,
      told: undefined,
      backends: new Backends(),
      isKnown: false,
      waiting: [],
      number: ++FollowedNetwork.#numbers,
      packets: 0,
      usedMs: performance.now(),
    };
    this.#destinations.set(text, known);
    this.#resolve(text, known);
    return known;
  }

  #forgetLeastUsed(): void {
    let least: [string, Followed] | undefined;
    for (const entry of this.#destinations) if (!least || entry[1].usedMs < least[1].usedMs) least = entry;
    if (least) this.#forget(...least);
  }

  #forget(text: string, known: Followed): void {
    known.watching?.stop();
    this.#waiting -= known.waiting.splice(0).length;
    this.#destinations.delete(text);
    this.#overflows.delete(text);
    void this.#sink.remove(this.#key('destination', text));
  }
}

const overflowOf = (row: Target | null): string | null => (isBalanced(row) ? (row.overflow?.address ?? null) : null);

const isEqual = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((x, i) => x === b[i]);
