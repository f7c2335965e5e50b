/** Changes of whose names are translated for whom, and of the records that the hub holds itself. Pure. */
import { contains, parseAddress, prefixOf } from '../../lib/prefix.ts';
import type { ManagedRecord, Metadata } from '../model.ts';
import type { Zone } from '../config.ts';
import { refuse } from '../../lib/params.ts';
import { networkOf, type Edit, type Params } from './edit.ts';

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

/** R1-44. Who asks gets addresses as its network sees them. */
export function manage(
  metadata: Metadata,
  { network, add = [], remove = [] }: Params<'ModifyManagedDNS'>,
  zones: readonly Zone[],
): Edit<{ records: number }> {
  const { name, prefixes } = networkOf(metadata, network);
  for (const { type, value } of add) {
    const address = parseAddress(value);
    if (address?.family !== (type === 'A' ? 4 : 6)) refuse('InvalidRequest', `"${value}" is no address of type ${type}`);
    else if (!prefixes.some((p) => contains(prefixOf(p), address))) refuse('InvalidRequest', `${value} is no address of ${name}`);
  }
  const canonical = (text: string): string => text.toLowerCase();
  const gone = remove.map(canonical);
  for (const missing of gone)
    if (!metadata.records.some((r) => r.network === name && r.name === missing))
      refuse('UnknownRecord', `${name} has no record "${missing}"`);
  const added = add.map((r): ManagedRecord => ({ ...r, network: name, name: canonical(r.name) }));
  for (const { name: wanted } of added) {
    const zone = zones.find((z) => z.network !== name && (wanted === z.zone || wanted.endsWith(`.${z.zone}`)));
    if (zone) refuse('AlreadyExists', `"${wanted}" is in ${zone.zone}, a zone of ${zone.network}`);
  }
  for (const { name: taken } of added)
    if (metadata.records.some((r) => r.name === taken && r.network !== name)) refuse('AlreadyExists', `"${taken}" is another network's`);
  const isSame = (a: ManagedRecord, b: ManagedRecord): boolean => a.name === b.name && a.type === b.type && a.value === b.value;
  const kept = metadata.records.filter((r) => !(r.network === name && gone.includes(r.name)) && !added.some((a) => isSame(a, r)));
  return { metadata: { ...metadata, records: [...kept, ...added] }, concerns: new Set(), answer: { records: kept.length + added.length } };
}
