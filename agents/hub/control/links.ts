/** Links between hubs: what is reached through each of their ends, and under which addresses (R1-46). Pure. */
import { isDeepStrictEqual } from 'node:util';
import { formatPrefix, overlap, prefixOf } from '../../lib/prefix.ts';
import { viewsOf } from '../decision/view.ts';
import type { Mapping, Metadata, Network } from '../model.ts';
import { Refusal } from '../../lib/rpc.ts';
import { refuse } from '../../lib/params.ts';
import { translationsFor } from '../seen.ts';
import { attach, automatic, detach, released } from './attachments.ts';
import { domainOf, hubOf, isNeeded, networkOf, type Edit, type Params } from './edit.ts';
import { conflictsOf } from './overlap.ts';

/** A prefix that the hub at the other end reaches: whose it is, and the hubs on the way to it, the nearest one first. */
interface Offer {
  readonly prefix: string;
  readonly origin: string;
  readonly path: readonly string[];
}
/** By the end of a link. */
type Offers = ReadonlyMap<string, readonly Offer[]>;

const isAttached = ({ attachments }: Metadata, network: string): boolean =>
  attachments.some((a) => a.network === network && a.state === 'attached');

/** Ends of links that carry packets: both ends are attached. */
const endsOf = (metadata: Metadata) =>
  metadata.networks.flatMap(({ name, link }) =>
    link && isAttached(metadata, name) && isAttached(metadata, link.other) ? [{ name, ...link }] : [],
  );

/** What each end is offered by the other one, after what that one was offered. No hub is passed twice. */
function offered(metadata: Metadata, known: Offers): Offers {
  const { byName } = viewsOf(metadata);
  const offers = new Map<string, Offer[]>();
  for (const { name, hub, other } of endsOf(metadata)) {
    const beyond = networkOf(metadata, other).link?.hub ?? '';
    const found = [...(byName.get(other)?.ways ?? [])].flatMap(({ prefix, value: { to, translation } }): Offer[] => {
      if (!to) return [];
      const real = formatPrefix(translation?.real ?? prefix);
      const through = known.get(to.name)?.find((o) => o.prefix === real);
      // What came over a link goes on with its way, or not at all; both hubs of a link have its own addresses. Gateways route IPv4.
      if ((to.link && !through) || prefix.family !== 4) return [];
      const path = [beyond, ...(through?.path ?? [])];
      return path.includes(hub) ? [] : [{ prefix: formatPrefix(prefix), origin: through?.origin ?? to.name, path }];
    });
    offers.set(name, found);
  }
  return nearest(metadata, offers);
}

/** What several ends of a hub are offered goes through that with the fewest hubs on the way. */
function nearest(metadata: Metadata, offers: Offers): Offers {
  const ends = endsOf(metadata).map(({ name, hub }) => ({ name, hub, offers: offers.get(name) ?? [] }));
  const hops = (end: (typeof ends)[number], origin: string): number =>
    Math.min(...end.offers.filter((o) => o.origin === origin).map((o) => o.path.length));
  return new Map(
    ends.map((end) => {
      const isNearer = (origin: string): boolean =>
        ends.some((e) => {
          const [there, here] = [hops(e, origin), hops(end, origin)];
          return e.hub === end.hub && (there < here || (there === here && e.name < end.name));
        });
      return [end.name, end.offers.filter((o) => !isNearer(o.origin))];
    }),
  );
}

/** The ends of links have these prefixes; the hub resolves overlaps if it may. */
function withOffers(metadata: Metadata, offers: Offers, atMs: number): Metadata {
  const networks = metadata.networks.map((n): Network => {
    if (!n.link) return n;
    const prefixes = [n.link.transit, ...(offers.get(n.name) ?? []).map((o) => o.prefix)].sort();
    return { ...n, prefixes, learned: prefixes };
  });
  const next = { ...metadata, networks };
  return { ...next, mappings: [...next.mappings, ...resolvable(next, atMs)] };
}

/** Where the pool is too small, what would be ambiguous is not reached. */
function resolvable(metadata: Metadata, atMs: number): readonly Mapping[] {
  try {
    return automatic(metadata, atMs);
  } catch (error) {
    if (error instanceof Refusal && error.code === 'NoCapacity') return [];
    throw error;
  }
}

/** What would be ambiguous is not reached through a link, until a mapping resolves it. */
function withoutConflicts(metadata: Metadata): Metadata {
  const isEnd = (name: string): boolean => metadata.networks.some((n) => n.name === name && n.link !== null);
  const conflict = conflictsOf(metadata).find((c) => isEnd(c.network) || isEnd(c.other));
  if (!conflict) return metadata;
  const { viewer, range } = conflict;
  const end = isEnd(conflict.network) ? conflict.network : conflict.other;
  const stands = translationsFor(metadata.mappings, end, viewer);
  const isGone = (own: string): boolean => {
    const seen = stands.find(({ real }) => formatPrefix(real) === own)?.as ?? prefixOf(own);
    return overlap(seen, prefixOf(range)) !== undefined;
  };
  const networks = metadata.networks.map((n): Network => {
    if (n.name !== end || !n.link) return n;
    const kept = n.prefixes.filter((p) => p === n.link?.transit || !isGone(p));
    // Its own two addresses are in somebody's way: then all of it.
    const prefixes = kept.length === n.prefixes.length ? [n.link.transit] : kept;
    return { ...n, prefixes, learned: prefixes };
  });
  return isDeepStrictEqual(networks, metadata.networks) ? metadata : withoutConflicts({ ...metadata, networks });
}

/** After a change: what hubs reach through each other now. Offers travel one hub a round. */
export function linked<Answer>(edit: Edit<Answer>, atMs: number): Edit<Answer> {
  if (edit.metadata.networks.every((n) => n.link === null)) return edit;
  let [metadata, offers]: [Metadata, Offers] = [edit.metadata, new Map()];
  for (let round = 0; round <= metadata.hubs.length; round++) {
    offers = offered(metadata, offers);
    metadata = released(withoutConflicts(withOffers(metadata, offers, atMs)));
  }
  metadata = { ...metadata, mappings: metadata.mappings.filter((m) => isNeeded(metadata, m)) };
  return isDeepStrictEqual(metadata, edit.metadata) ? edit : { ...edit, metadata, concerns: null };
}

const endsBetween = (metadata: Metadata, [a, b]: readonly string[]) =>
  metadata.networks.filter(({ link }) => {
    const beyond = metadata.networks.find((n) => n.name === link?.other)?.link?.hub;
    return link !== null && ((link.hub === a && beyond === b) || (link.hub === b && beyond === a));
  });

/** Both ends of the links between two hubs are attached, each to a domain of its hub. */
export function linkHubs(
  metadata: Metadata,
  { vths, domains = {} }: Params<'LinkVTHs'>,
  atMs: number,
): Edit<{ LinkComplete: readonly string[] }> {
  for (const hub of vths) hubOf(metadata, hub);
  const ends = endsBetween(metadata, vths);
  if (ends.length === 0) refuse('NoLink', `no gateways join ${vths.join(' and ')}`);
  const next = ends.reduce((before: Metadata, { name, link }) => {
    const hub = link?.hub ?? '';
    return attach(before, { network: name, domain: domainOf(before, domains[hub], hub).name }, atMs).metadata;
  }, metadata);
  return { metadata: next, concerns: null, answer: { LinkComplete: ends.map((n) => n.name) } };
}

export function unlinkHubs(metadata: Metadata, { vths }: Params<'UnlinkVTHs'>): Edit<{ vths: readonly string[] }> {
  const ends = endsBetween(metadata, vths).filter((n) => metadata.attachments.some((a) => a.network === n.name));
  if (ends.length === 0) refuse('NoLink', `${vths.join(' and ')} are not linked`);
  const next = ends.reduce((before, { name }) => detach(before, { network: name }).metadata, metadata);
  return { metadata: next, concerns: null, answer: { vths } };
}
