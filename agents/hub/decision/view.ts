/** What every network sees of the others: the hub's metadata, compiled for decisions and for the networks' own routes. Pure. */
import { contains, isSame, mapped, overlap, prefixOf, PrefixTable, type Address, type Prefix } from '../../lib/prefix.ts';
import type { Attachment, Domain, Metadata, Network } from '../model.ts';
import { original, sourceRange, substitute, type SourceRange } from './substitution.ts';
import { translationsFor, untranslated, type Translation } from '../seen.ts';

/** Where packets of a network to a prefix go. `to` null: nowhere. */
export interface Way {
  readonly to: Network | null;
  readonly translation: Translation | null;
  /** What the network is seen as instead, port by port. */
  readonly policy?: SourceRange;
  /** Those that each get a copy instead, at their own addresses. */
  readonly members?: readonly Member[];
}

export interface Member {
  readonly to: Network;
  readonly address: Address;
}

export interface View {
  readonly network: Network;
  readonly domain: Domain;
  readonly own: readonly Prefix[];
  readonly ways: PrefixTable<Way>;
}

export interface Views {
  readonly version: number;
  /** AINs that cannot be reached. */
  readonly lost: ReadonlySet<string>;
  /** By the network's number; those that are attached. */
  readonly byNumber: ReadonlyMap<number, View>;
  readonly byName: ReadonlyMap<string, View>;
  /** Answers of a network's name servers to another one are translated. */
  translatesNames(server: string, asker: string): boolean;
  /** For what a network sends to another one; undefined: its sources are as they are seen there. */
  policy(from: string, to: string): SourceRange | undefined;
  /** Addresses of `of` as `viewer` sees them. */
  translations(of: string, viewer: string): readonly Translation[];
}

/** Ways are made when they are asked for: most nodes need those of a few networks. */
export function viewsOf(metadata: Metadata): Views {
  const networks = new Map(metadata.networks.map((n) => [n.name, n]));
  const domains = new Map(metadata.domains.map((d) => [d.name, d]));
  const mappings = Map.groupBy(metadata.mappings, (m) => m.network);
  const cache = new Map<string, readonly Translation[]>();
  const translations = (of: string, viewer: string): readonly Translation[] => {
    const key = `${of} ${viewer}`;
    let found = cache.get(key);
    if (!found) cache.set(key, (found = translationsFor(mappings.get(of) ?? [], of, viewer)));
    return found;
  };
  const policies = new Map(metadata.policies.map((p) => [`${p.network} ${p.to}`, sourceRange(p, networks.get(p.network)?.prefixes ?? [])]));
  const policy = (from: string, to: string): SourceRange | undefined => policies.get(`${from} ${to}`);
  const attached = metadata.attachments.filter((a) => a.state === 'attached');
  const known: Known = { metadata, networks, domains, attached, translations, policy };
  const views = attached.flatMap((attachment): View[] => {
    const [network, domain] = [networks.get(attachment.network), domains.get(attachment.domain)];
    if (!network || !domain) return [];
    const own = network.prefixes.map(prefixOf);
    let ways: PrefixTable<Way> | undefined;
    return [
      {
        network,
        domain,
        own,
        get ways() {
          return (ways ??= waysOf(known, network, domain, own));
        },
      },
    ];
  });
  const [shares, intercepts] = [new Set(metadata.shares), new Set(metadata.intercepts)];
  const endpoints = new Set(metadata.networks.filter((n) => n.endpoint !== null).map((n) => n.name));
  return {
    version: metadata.version,
    lost: new Set(metadata.lost),
    byNumber: new Map(views.map((v) => [v.network.number, v])),
    byName: new Map(views.map((v) => [v.network.name, v])),
    policy,
    translations,
    translatesNames: (server, asker) =>
      endpoints.has(server) || endpoints.has(asker) || intercepts.has(asker) || (shares.has(asker) && shares.has(server)),
  };
}

/** The metadata, by names. */
interface Known extends Pick<Views, 'policy' | 'translations'> {
  readonly metadata: Metadata;
  readonly networks: ReadonlyMap<string, Network>;
  readonly domains: ReadonlyMap<string, Domain>;
  readonly attached: readonly Attachment[];
}

function waysOf(known: Known, network: Network, domain: Domain, own: readonly Prefix[]): PrefixTable<Way> {
  const { metadata, networks, domains, attached, translations } = known;
  const ways = new PrefixTable<Way>();
  const others = attached.filter((a) => a.network !== network.name && a.propagates.includes(domain.name));
  for (const other of others.flatMap((a) => networks.get(a.network) ?? [])) {
    const policy = known.policy(other.name, network.name);
    if (policy) {
      ways.set(policy.addresses, { to: other, translation: null, policy });
      continue;
    }
    const isReached = (prefix: Prefix): boolean => other.learned?.some((l) => isSame(prefixOf(l), prefix)) ?? true;
    const all = translations(other.name, network.name);
    const seen = all.filter(({ real }) => isReached(real));
    // What the network has itself it never reaches elsewhere under the same address.
    for (const prefix of untranslated(other, all).filter(isReached))
      if (!own.some((o) => overlap(o, prefix))) ways.set(prefix, { to: other, translation: null });
    for (const translation of seen) ways.set(translation.as, { to: other, translation });
  }
  for (const { prefix, to } of metadata.routes.filter((r) => r.domain === domain.name)) {
    // What a network has itself is never elsewhere, and what is not attached gets nothing.
    if (to === network.name || own.some((o) => overlap(o, prefixOf(prefix))?.length === prefixOf(prefix).length)) continue;
    const isNear = (a: Attachment): boolean => domains.get(a.domain)?.hub === domain.hub;
    const target = attached.some((a) => a.network === to && isNear(a)) ? (networks.get(to ?? '') ?? null) : null;
    ways.set(prefixOf(prefix), { to: target, translation: null });
  }
  const near = new Set([network.name, ...others.map((a) => a.network)]);
  for (const group of metadata.groups.filter((g) => g.domain === domain.name)) {
    const members = group.members.flatMap((m): Member[] => {
      const to = near.has(m.network) ? networks.get(m.network) : undefined;
      const address = prefixOf(m.address);
      return to?.prefixes.some((p) => contains(prefixOf(p), address)) ? [{ to, address }] : [];
    });
    ways.set(prefixOf(group.address), { to: null, translation: null, members });
  }
  return ways;
}

export const has = ({ own }: View, address: Address): boolean => own.some((p) => contains(p, address));

/** What `viewer` sees instead of an address of `of`; null: the address itself. */
export function standIn(views: Views, of: string, viewer: string, address: Address): Address | null {
  const translation = views.translations(of, viewer).find(({ real }) => contains(real, address));
  return translation ? mapped(address, translation.real, translation.as) : null;
}

/** A packet on its way to a member of a group, with the addresses that it has there. */
export interface Copy {
  readonly to: Network;
  readonly source: Address;
  readonly destination: Address;
}

export interface Sent {
  readonly kind: 'send';
  readonly to: Network;
  /** As they are at the receiver's network; null: as they were. */
  readonly source: Address | null;
  readonly destination: Address | null;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

export type Verdict =
  | Sent
  | { readonly kind: 'copy'; readonly copies: readonly [Copy, ...Copy[]] }
  | { readonly kind: 'drop'; readonly reason: 'no-route' | 'denied' };

const DENIED: Verdict = { kind: 'drop', reason: 'denied' };
const NO_ROUTE: Verdict = { kind: 'drop', reason: 'no-route' };

/** Ports of a packet, of TCP or UDP; null: it has none. */
export type Ports = { readonly source: number; readonly destination: number } | null;

/** Where a packet of a network goes, and the addresses that it has there. */
export function judge(views: Views, view: View, source: Address, destination: Address, ports: Ports = null): Verdict {
  // Nobody sends under another network's addresses.
  if (!has(view, source)) return DENIED;
  const way = view.ways.find(destination)?.value;
  if (way?.members) return copied(views, view, source, way.members);
  if (!way?.to) return NO_ROUTE;
  const { to, translation, policy } = way;
  const [from, at] = [
    sourceBy(views, view, to, source, ports),
    policy ? meant(policy, destination, ports) : translated(destination, translation),
  ];
  if (from === 'denied') return DENIED;
  if (at === 'nobody') return NO_ROUTE;
  return { kind: 'send', to, ...from, ...at };
}

const translated = (destination: Address, translation: Translation | null): Pick<Sent, 'destination' | 'destinationPort'> => ({
  destination: translation ? mapped(destination, translation.as, translation.real) : null,
});

/** Whom a substitute stands for. */
function meant(policy: SourceRange, address: Address, ports: Ports): Pick<Sent, 'destination' | 'destinationPort'> | 'nobody' {
  const found = ports && original(policy, { address, port: ports.destination });
  return found ? { destination: found.address, destinationPort: found.port } : 'nobody';
}

/** By the policy for what goes there, or as its receiver sees it. */
function sourceBy(views: Views, view: View, to: Network, source: Address, ports: Ports): Pick<Sent, 'source' | 'sourcePort'> | 'denied' {
  const policy = views.policy(view.network.name, to.name);
  if (!policy) {
    const seen = sourceAt(views, view, to, source);
    return seen === 'denied' ? seen : { source: seen };
  }
  const found = ports && substitute(policy, { address: source, port: ports.source });
  return found ? { source: found.address, sourcePort: found.port } : 'denied';
}

/** What a sender's address is at its receiver's network; null: itself. */
function sourceAt(views: Views, view: View, to: Network, source: Address): Address | null | 'denied' {
  const stand = standIn(views, view.network.name, to.name, source);
  const receiver = views.byName.get(to.name);
  // Its receiver has this address itself, and could not answer.
  return !stand && receiver && has(receiver, source) ? 'denied' : stand;
}

/** To all members but the sender. */
function copied(views: Views, view: View, source: Address, members: readonly Member[]): Verdict {
  const isOwn = ({ to }: Member): boolean => to.name === view.network.name;
  const [first, ...more] = members.flatMap((member): Copy[] => {
    const { to, address } = member;
    if (isOwn(member)) return address.value === source.value ? [] : [{ to, source, destination: address }];
    // A copy has no port of its own, which a policy would need.
    const seen = views.policy(view.network.name, to.name) ? 'denied' : sourceAt(views, view, to, source);
    return seen === 'denied' ? [] : [{ to, source: seen ?? source, destination: address }];
  });
  return first ? { kind: 'copy', copies: [first, ...more] } : { kind: 'drop', reason: 'no-route' };
}
