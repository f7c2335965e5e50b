/** Operations of the control plane as changes of the metadata. Pure: what is refused changes nothing. */
import type { Static } from 'typebox';
import { contains, formatAddress, formatPrefix, overlap, parseAddress, prefixOf, type Prefix } from '../../lib/prefix.ts';
import {
  MOST_MEMBERS,
  type Attachment,
  type Domain,
  type ManagedRecord,
  type Mapping,
  type Metadata,
  type Network,
  type Route,
} from '../model.ts';
import { checkedAddress, checkedPrefix, refuse, type CONTROL_OPERATIONS } from '../operations.ts';
import { conflictsOf, mappingProblem, resolve, type Conflict } from './overlap.ts';

type Params<O extends keyof typeof CONTROL_OPERATIONS> = Static<(typeof CONTROL_OPERATIONS)[O]>;

/** A change, and the domains that it concerns; null: all. */
export interface Edit<Answer> {
  readonly metadata: Metadata;
  readonly concerns: ReadonlySet<string> | null;
  readonly answer: Answer;
}

export const networkOf = ({ networks }: Metadata, name: string): Network =>
  networks.find((n) => n.name === name) ??
  refuse('UnknownNetwork', `no isolated network "${name}"; there are: ${networks.map((n) => n.name).join(', ')}`);

function domainOf({ domains }: Metadata, name: string | undefined): Domain {
  const [only, ...more] = domains;
  if (name === undefined) return only && more.length === 0 ? only : refuse('InvalidRequest', 'the hub has several routing domains: which?');
  return (
    domains.find((d) => d.name === name) ??
    refuse('UnknownDomain', `no routing domain "${name}"; there are: ${domains.map((d) => d.name).join(', ') || 'none'}`)
  );
}

const knownCell = (cells: readonly string[], name: string): string =>
  cells.includes(name) ? name : refuse('UnknownCell', `no cell "${name}"; there are: ${cells.join(', ')}`);

/** `cells`: of the hub. */
export function createDomain(
  metadata: Metadata,
  { domain, cell }: Params<'CreateVTHRoutingDomain'>,
  cells: readonly string[],
): Edit<{ RoutingDomainID: string }> {
  if (metadata.domains.some((d) => d.name === domain)) refuse('AlreadyExists', `a routing domain "${domain}" exists`);
  const used = new Set(metadata.domains.map((d) => d.number));
  const number =
    Array.from({ length: 255 }, (_, i) => i + 1).find((n) => !used.has(n)) ?? refuse('NoCapacity', 'a hub has at most 255 domains');
  const made: Domain = { name: domain, number, cells: [knownCell(cells, cell ?? cells[0] ?? '')], generation: metadata.version + 1 };
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

/** From now on overlaps are resolved with addresses of the pool. */
export function automate(metadata: Metadata, { pool }: Params<'AutomateOverlappingAddressHandling'>): Edit<{ pool: readonly string[] }> {
  const checked = pool.map(checkedPrefix);
  return { metadata: { ...metadata, pool: checked }, concerns: new Set(), answer: { pool: checked } };
}

/** What was listed, with what is added, or without it. */
function relisted(metadata: Metadata, listed: readonly string[], { networks, stop = false }: Params<'ShareDNSInfo'>): string[] {
  const named = networks.map((n) => networkOf(metadata, n).name);
  const kept = listed.filter((n) => !named.includes(n));
  return stop ? kept : [...kept, ...named];
}

/** Mode A: from now on these networks get answers of each other's name servers translated. Actions of their flows follow from it. */
export function share(metadata: Metadata, params: Params<'ShareDNSInfo'>): Edit<{ DNSInfoShared: readonly string[] }> {
  const shares = relisted(metadata, metadata.shares, params);
  return { metadata: { ...metadata, shares }, concerns: null, answer: { DNSInfoShared: shares } };
}

/** Mode C: from now on these networks get answers of all other networks' name servers translated. */
export function intercept(
  metadata: Metadata,
  params: Params<'InterceptDNSResponsesAtVTH'>,
): Edit<{ DNSInterceptionInitiated: readonly string[] }> {
  const intercepts = relisted(metadata, metadata.intercepts, params);
  return { metadata: { ...metadata, intercepts }, concerns: null, answer: { DNSInterceptionInitiated: intercepts } };
}

/** R1-27: which of the network's prefixes its own router announces; nothing else of it is reached. */
export function learn(metadata: Metadata, { network, prefixes }: { network: string; prefixes: readonly string[] }): Edit<null> {
  const learned = networkOf(metadata, network).prefixes.filter((own) => prefixes.includes(formatPrefix(prefixOf(own))));
  const networks = metadata.networks.map((n): Network => (n.name === network ? { ...n, learned } : n));
  return { metadata: { ...metadata, networks }, concerns: null, answer: null };
}

/** R1-47. Its address is nobody's: not of a network, nor one under which a network is seen. */
export function setGroup(metadata: Metadata, { address, domain, members }: Params<'SetMulticastGroup'>): Edit<{ members: number }> {
  const own = domainOf(metadata, domain).name;
  const at = checkedAddress(address);
  const taken = [...metadata.networks.flatMap((n) => n.prefixes), ...metadata.mappings.map((m) => m.as)].find((p) =>
    contains(prefixOf(p), at),
  );
  if (taken !== undefined) refuse('InvalidRequest', `${address} is in ${taken}, which is not free`);
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

/** R1-44. Who asks gets addresses as its network sees them. */
export function manage(metadata: Metadata, { network, add = [], remove = [] }: Params<'ModifyManagedDNS'>): Edit<{ records: number }> {
  const { name, prefixes } = networkOf(metadata, network);
  for (const { type, value } of add) {
    if (type === 'CNAME') continue;
    const address = parseAddress(value);
    if (address?.family !== (type === 'A' ? 4 : 6)) refuse('InvalidRequest', `"${value}" is no address of type ${type}`);
    else if (!prefixes.some((p) => contains(prefixOf(p), address))) refuse('InvalidRequest', `${value} is no address of ${name}`);
  }
  const canonical = (text: string): string => text.toLowerCase();
  const gone = remove.map(canonical);
  for (const missing of gone)
    if (!metadata.records.some((r) => r.network === name && r.name === missing))
      refuse('UnknownRecord', `${name} has no record "${missing}"`);
  const added = add.map(({ type, value, ...r }): ManagedRecord => ({
    network: name,
    name: canonical(r.name),
    type,
    value: type === 'CNAME' ? canonical(value) : value,
  }));
  for (const { name: taken } of added)
    if (metadata.records.some((r) => r.name === taken && r.network !== name)) refuse('AlreadyExists', `"${taken}" is another network's`);
  const isSame = (a: ManagedRecord, b: ManagedRecord): boolean => a.name === b.name && a.type === b.type && a.value === b.value;
  const kept = metadata.records.filter((r) => !(r.network === name && gone.includes(r.name)) && !added.some((a) => isSame(a, r)));
  return { metadata: { ...metadata, records: [...kept, ...added] }, concerns: new Set(), answer: { records: kept.length + added.length } };
}

export interface AttachmentAnswer {
  readonly network: string;
  readonly state: Attachment['state'];
  /** AddressOverlapDetected: what nothing resolves yet. */
  readonly overlaps: readonly Conflict[];
  readonly mappings: readonly Mapping[];
}

export function attach(
  metadata: Metadata,
  { network, domain, propagates, mappings = [] }: Params<'AttachIsolatedNetwork'>,
  atMs: number,
): Edit<AttachmentAnswer> {
  networkOf(metadata, network);
  if (metadata.attachments.some((a) => a.network === network)) refuse('AlreadyExists', `"${network}" is attached`);
  const own = domainOf(metadata, domain);
  const to = (propagates ?? [own.name]).map((name) => domainOf(metadata, name).name);
  const attachment: Attachment = { network, domain: own.name, propagates: to, state: 'pending' };
  const attached = { ...metadata, attachments: [...metadata.attachments, attachment] };
  return settle(supplied(attached, network, mappings, atMs), network, atMs);
}

/** Pending attachments become attached where no address is ambiguous any more. What is attached stays so: the later one has to wait. */
function released(metadata: Metadata): Metadata {
  const conflicts = conflictsOf(metadata);
  const waits = (name: string): boolean => conflicts.some((c) => [c.network, c.other, c.viewer].includes(name));
  const attachments = metadata.attachments.map((a): Attachment => (waits(a.network) ? a : { ...a, state: 'attached' }));
  return { ...metadata, attachments };
}

/** A client's mappings, if they can be used. */
function supplied(metadata: Metadata, network: string, mappings: Params<'SupplyTranslationMapping'>['mappings'], atMs: number): Metadata {
  return mappings.reduce((before: Metadata, { real, as, viewers }) => {
    const mapping: Mapping = {
      network,
      real: checkedPrefix(real),
      as: checkedPrefix(as),
      viewers: viewers ? viewers.map((v) => networkOf(before, v).name) : null,
      origin: 'client',
      approved: true,
      atMs,
    };
    const problem = mappingProblem(before, mapping);
    if (problem !== undefined) refuse('InvalidMapping', problem);
    return { ...before, mappings: [...before.mappings, mapping] };
  }, metadata);
}

/** The attach gate. */
function settle(metadata: Metadata, network: string, atMs: number): Edit<AttachmentAnswer> {
  const made = automatic(metadata, atMs);
  const next = { ...metadata, mappings: [...metadata.mappings, ...made] };
  const settled = released(next);
  return {
    metadata: settled,
    concerns: null,
    answer: {
      network,
      state: attachmentOf(settled, network).state,
      overlaps: conflictsOf(settled).filter((c) => [c.network, c.other, c.viewer].includes(network)),
      mappings: next.mappings.filter((m) => m.network === network || made.includes(m)),
    },
  };
}

/** What the hub resolves by itself: nothing before it is told to. */
const automatic = (metadata: Metadata, atMs: number): Mapping[] =>
  metadata.pool.length === 0 ? [] : resolved(metadata, metadata.pool.map(prefixOf), atMs, true);

function resolved(metadata: Metadata, pool: readonly Prefix[], atMs: number, approved: boolean): Mapping[] {
  try {
    return resolve(metadata, pool, atMs, approved);
  } catch (error) {
    if (error instanceof RangeError) return refuse('NoCapacity', error.message);
    throw error;
  }
}

const attachmentOf = ({ attachments }: Metadata, network: string): Attachment =>
  attachments.find((a) => a.network === network) ?? refuse('NotAttached', `"${network}" is not attached`);

export function supply(
  metadata: Metadata,
  { network, mappings }: Params<'SupplyTranslationMapping'>,
  atMs: number,
): Edit<AttachmentAnswer> {
  attachmentOf(metadata, network);
  return settle(supplied(metadata, network, mappings, atMs), network, atMs);
}

/** Option C of R1 section 3: the service proposes, the client approves. */
export function propose(
  metadata: Metadata,
  { network, pool }: Params<'ProposeTranslationMapping'>,
  atMs: number,
): Edit<{ mappings: readonly Mapping[] }> {
  attachmentOf(metadata, network);
  const made = resolved(
    metadata,
    pool.map((p) => prefixOf(checkedPrefix(p))),
    atMs,
    false,
  );
  return { metadata: { ...metadata, mappings: [...metadata.mappings, ...made] }, concerns: new Set(), answer: { mappings: made } };
}

export function approve(metadata: Metadata, { network }: Params<'ApproveTranslationMapping'>, atMs: number): Edit<AttachmentAnswer> {
  attachmentOf(metadata, network);
  if (metadata.mappings.every((m) => m.approved)) refuse('NothingProposed', 'no mapping waits for approval');
  const isMeant = (m: Mapping): boolean => m.network === network || (m.viewers?.includes(network) ?? false);
  const mappings = metadata.mappings.map((m) => (isMeant(m) ? { ...m, approved: true } : m));
  return settle({ ...metadata, mappings }, network, atMs);
}

/** Its mappings go with it: nothing is seen under their addresses any more. */
export function detach(metadata: Metadata, { network }: Params<'DetachIsolatedNetwork'>): Edit<{ network: string }> {
  attachmentOf(metadata, network);
  return {
    metadata: released({
      ...metadata,
      attachments: metadata.attachments.filter((a) => a.network !== network),
      mappings: metadata.mappings.filter((m) => m.network !== network),
    }),
    concerns: null,
    answer: { network },
  };
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
  for (const { prefix } of addPrefixes)
    for (const m of metadata.mappings)
      if (overlap(prefixOf(prefix), prefixOf(m.as)))
        refuse('AddressOverlapDetected', `${prefix} overlaps ${m.as}, as which ${m.network} is seen`);
  for (const { prefix } of addPrefixes)
    for (const { address } of metadata.groups)
      if (contains(prefixOf(prefix), checkedAddress(address)))
        refuse('AddressOverlapDetected', `${prefix} has the address of group ${address}`);
  // What a network has no more is not seen under any address.
  const isOwned = (m: Mapping): boolean => networks.some((n) => n.name === m.network && n.prefixes.includes(m.real));
  const changed: Metadata = { ...metadata, routes: [...kept, ...added], networks, mappings: metadata.mappings.filter(isOwned) };
  const made = prefixesChanged ? automatic(changed, atMs) : [];
  const next = released({ ...changed, mappings: [...changed.mappings, ...made] });
  const isWaiting = (name: string): boolean => next.attachments.some((a) => a.network === name && a.state === 'pending');
  const overlaps = prefixesChanged ? conflictsOf(next).filter((c) => ![c.network, c.other, c.viewer].some(isWaiting)) : [];
  if (overlaps.length > 0) refuse('AddressOverlapDetected', overlaps.map((o) => `${o.range} of ${o.network} and ${o.other}`).join(', '));
  return {
    metadata: next,
    concerns: prefixesChanged ? null : new Set([...added, ...removeRoutes].map((r) => domainOf(metadata, r.domain).name)),
    answer: { overlaps, mappings: made },
  };
}

/** As it is to be stored: the next version, and a new generation of every domain that is concerned. */
export function versioned({ metadata, concerns }: Edit<unknown>): Metadata {
  const version = metadata.version + 1;
  return {
    ...metadata,
    version,
    domains: metadata.domains.map((d) => (concerns === null || concerns.has(d.name) ? { ...d, generation: version } : d)),
  };
}
