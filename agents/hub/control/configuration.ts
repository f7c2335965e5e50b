/** Changes of what a hub is made of: domains and their cells, routes, prefixes, groups. Pure. */
import { contains, formatAddress, formatPrefix, prefixOf } from '../../lib/prefix.ts';
import { isWideEnough, sourceRange } from '../decision/substitution.ts';
import { MOST_MEMBERS, type Domain, type Mapping, type Metadata, type Network, type Route } from '../model.ts';
import { refuse } from '../../lib/params.ts';
import { checkedAddress, checkedPrefix } from '../operations.ts';
import { automatic, released, unresolved } from './attachments.ts';
import { domainOf, hubOf, isNeeded, networkOf, type Edit, type Params } from './edit.ts';
import { occupiedProblem, standInProblem, type Conflict } from './overlap.ts';

const knownCell = (cells: readonly string[], name: string): string =>
  cells.includes(name) ? name : refuse('UnknownCell', `no cell "${name}"; there are: ${cells.join(', ')}`);

export function createHub(metadata: Metadata, { vth }: Params<'CreateVTH'>): Edit<{ VTHID: string }> {
  if (metadata.hubs.includes(vth)) refuse('AlreadyExists', `a hub "${vth}" exists`);
  return { metadata: { ...metadata, hubs: [...metadata.hubs, vth] }, concerns: new Set(), answer: { VTHID: vth } };
}

/** `cells`: of the hub. */
export function createDomain(
  metadata: Metadata,
  { domain, vth, cell }: Params<'CreateVTHRoutingDomain'>,
  cells: readonly string[],
): Edit<{ RoutingDomainID: string }> {
  if (metadata.domains.some((d) => d.name === domain)) refuse('AlreadyExists', `a routing domain "${domain}" exists`);
  const used = new Set(metadata.domains.map((d) => d.number));
  const number =
    Array.from({ length: 255 }, (_, i) => i + 1).find((n) => !used.has(n)) ?? refuse('NoCapacity', 'a hub has at most 255 domains');
  const serving = [knownCell(cells, cell ?? cells[0] ?? '')];
  const made: Domain = { name: domain, number, hub: hubOf(metadata, vth), cells: serving, generation: metadata.version + 1 };
  return {
    metadata: { ...metadata, domains: [...metadata.domains, made] },
    concerns: new Set([domain]),
    answer: { RoutingDomainID: domain },
  };
}

/** R1-20. Actions stay as they are: packets of the domain go to other nodes. */
export function weigh(
  metadata: Metadata,
  { domain, weights }: Params<'SetCellWeights'>,
  cells: readonly string[],
): Edit<{ cells: readonly string[] }> {
  const own = domainOf(metadata, domain);
  for (const name of Object.keys(weights)) knownCell(cells, name);
  const serving = cells.filter((name) => (weights[name] ?? (own.cells.includes(name) ? 1 : 0)) === 1);
  if (serving.length === 0) refuse('InvalidRequest', `no cell would serve "${own.name}"`);
  const domains = metadata.domains.map((d): Domain => (d === own ? { ...d, cells: serving } : d));
  return { metadata: { ...metadata, domains }, concerns: new Set(), answer: { cells: serving } };
}

/** R1-53. `places`: nodes that it may be at. */
export function moveVni(metadata: Metadata, { network, to }: Params<'MoveVNI'>, places: readonly string[]): Edit<{ at: string }> {
  const own = networkOf(metadata, network);
  if (own.at === null) refuse('InvalidRequest', `the client VNI of ${network} is its gateway's own device: it has no other place`);
  if (!places.includes(to)) refuse('InvalidRequest', `"${to}" is no gateway of ${network}; there are: ${places.join(', ')}`);
  const networks = metadata.networks.map((n): Network => (n === own ? { ...n, at: to } : n));
  return { metadata: { ...metadata, networks }, concerns: new Set(), answer: { at: to } };
}

/** From now on overlaps are resolved with addresses of the pool. */
export function automate(metadata: Metadata, { pool }: Params<'AutomateOverlappingAddressHandling'>): Edit<{ pool: readonly string[] }> {
  const checked = pool.map(checkedPrefix);
  return { metadata: { ...metadata, pool: checked }, concerns: new Set(), answer: { pool: checked } };
}

/** R1-27: which of the network's prefixes its own router announces; nothing else of it is reached. */
export function learn(metadata: Metadata, { network, prefixes }: { network: string; prefixes: readonly string[] }): Edit<null> {
  const own = networkOf(metadata, network);
  if (own.learned === null || own.link) return refuse('InvalidRequest', `${network} has no router of its own`);
  const learned = own.prefixes.filter((own) => prefixes.includes(formatPrefix(prefixOf(own))));
  const networks = metadata.networks.map((n): Network => (n.name === network ? { ...n, learned } : n));
  const attachment = metadata.attachments.find((a) => a.network === network);
  const concerns = new Set(attachment ? [attachment.domain, ...attachment.propagates] : []);
  return { metadata: { ...metadata, networks }, concerns, answer: null };
}

const MULTICAST = ['224.0.0.0/4', 'ff00::/8'].map(prefixOf);

/** R1-47. Its address is nobody's: not of a network, nor one under which a network is seen. */
export function setGroup(metadata: Metadata, { address, domain, members }: Params<'SetMulticastGroup'>): Edit<{ members: number }> {
  const own = domainOf(metadata, domain).name;
  const at = checkedAddress(address);
  if (MULTICAST.some((p) => contains(p, at)))
    refuse('InvalidRequest', `${address}: gateways route no multicast addresses; a group has one like those of hosts`);
  const problem = occupiedProblem({ ...metadata, groups: [] }, formatAddress(at));
  if (problem !== undefined) refuse('InvalidRequest', problem);
  if (members.length > MOST_MEMBERS) refuse('NoCapacity', `a group has at most ${MOST_MEMBERS} members`);
  const checked = members.map((m) => {
    const { name, prefixes } = networkOf(metadata, m.network);
    const member = checkedAddress(m.address);
    if (member.family !== at.family || !prefixes.some((p) => contains(prefixOf(p), member)))
      refuse('InvalidRequest', `${m.address} is no address of ${name}, or of another kind than ${address}`);
    return { network: name, address: formatAddress(member) };
  });
  const [group, others] = [formatAddress(at), metadata.groups.filter((g) => g.domain !== own || g.address !== formatAddress(at))];
  if (checked.length === 0 && others.length === metadata.groups.length) refuse('UnknownGroup', `no group ${address} in "${own}"`);
  const groups = checked.length === 0 ? others : [...others, { domain: own, address: group, members: checked }];
  return { metadata: { ...metadata, groups }, concerns: new Set([own]), answer: { members: checked.length } };
}

export interface ModifyAnswer {
  readonly overlaps: readonly Conflict[];
  readonly mappings: readonly Mapping[];
}

export function modify(
  metadata: Metadata,
  { addRoutes = [], removeRoutes = [], addPrefixes = [], removePrefixes = [] }: Params<'ModifyVTHConfig'>,
  atMs: number,
): Edit<ModifyAnswer> {
  const same = (a: { domain?: string; prefix: string }, b: Route): boolean =>
    domainOf(metadata, a.domain).name === b.domain && formatPrefix(prefixOf(checkedPrefix(a.prefix))) === formatPrefix(prefixOf(b.prefix));
  for (const gone of removeRoutes) if (!metadata.routes.some((r) => same(gone, r))) refuse('UnknownRoute', `no route to ${gone.prefix}`);
  for (const { network, prefix } of addPrefixes)
    if (networkOf(metadata, network).learned !== null)
      refuse('InvalidRequest', `${prefix}: what ${network} has is in the file, and announced by its own router`);
  const added = addRoutes.map(({ domain, prefix, to }): Route => ({
    domain: domainOf(metadata, domain).name,
    prefix: checkedPrefix(prefix),
    to: to === undefined ? null : networkOf(metadata, to).name,
  }));
  // A route that is added again replaces the one before.
  const kept = metadata.routes.filter((r) => ![...removeRoutes, ...added].some((g) => same(g, r)));
  const networks = metadata.networks.map((n): Network => {
    const gone = removePrefixes.filter((p) => networkOf(metadata, p.network).name === n.name).map((p) => p.prefix);
    const more = addPrefixes.filter((p) => networkOf(metadata, p.network).name === n.name).map((p) => checkedPrefix(p.prefix));
    return gone.length + more.length === 0 ? n : { ...n, prefixes: [...n.prefixes.filter((p) => !gone.includes(p)), ...more] };
  });
  const prefixesChanged = addPrefixes.length + removePrefixes.length > 0;
  for (const { prefix } of addPrefixes) {
    const problem = standInProblem(metadata, prefix);
    if (problem !== undefined) refuse('AddressOverlapDetected', problem);
  }
  // What a network has no more is not seen under any address.
  const isOwned = (m: Mapping): boolean => isNeeded({ ...metadata, networks }, m);
  const changed: Metadata = { ...metadata, routes: [...kept, ...added], networks, mappings: metadata.mappings.filter(isOwned) };
  for (const policy of metadata.policies)
    if (!isWideEnough(sourceRange(policy, networkOf(changed, policy.network).prefixes)))
      refuse('NoCapacity', `${policy.addresses}, sources of ${policy.network} by a policy, have not room for all of its addresses`);
  const made = prefixesChanged ? automatic(changed, atMs) : [];
  const next = released({ ...changed, mappings: [...changed.mappings, ...made] });
  const overlaps = prefixesChanged ? unresolved(next) : [];
  if (overlaps.length > 0) refuse('AddressOverlapDetected', overlaps.map((o) => `${o.range} of ${o.network} and ${o.other}`).join(', '));
  return {
    metadata: next,
    concerns: prefixesChanged ? null : new Set([...added, ...removeRoutes].map((r) => domainOf(metadata, r.domain).name)),
    answer: { overlaps, mappings: made },
  };
}
