/** Names of a hub's networks: their name servers and zones, and the hub's DNS endpoint. Pure. */
import type { SystemProblem } from '../../src/systems/definition.ts';
import { isOf } from '../lib/lab.ts';
import { contains, prefixOf } from '../lib/prefix.ts';
import type { HubFile, NamesServed, NodeInfo, Zone } from './config.ts';
import { prefixOfName } from './names/reverse.ts';

type Names = NonNullable<HubFile['networks'][string]['names']>;

const zonesOfServer = ({ zone, records, reverse }: Names): NamesServed['zones'] => [{ zone, records }, ...(reverse ? [reverse] : [])];

export const nameServerOf = ({ networks }: HubFile, { name, network }: NodeInfo): NamesServed | null => {
  const names = networks[network ?? '']?.names;
  return names?.server === name ? { zones: zonesOfServer(names), isSigned: names.signed ?? false } : null;
};

export const zonesOf = ({ networks }: HubFile, nodes: readonly NodeInfo[]): Zone[] =>
  Object.entries(networks).flatMap(([network, { names }]): Zone[] => {
    const server = nodes.find((n) => n.name === names?.server)?.address ?? '';
    return names ? zonesOfServer(names).map(({ zone }) => ({ zone, network, server })) : [];
  });

/** A zone of addresses is of the network's own; and the endpoint asks one server for a zone. */
export function zoneProblems({ networks }: HubFile): SystemProblem[] {
  const all = Object.entries(networks);
  const reverse = all.flatMap(([network, { names, prefixes }]): SystemProblem[] => {
    if (!names?.reverse) return [];
    const { zone } = names.reverse;
    const of = prefixOfName(zone);
    if (of && prefixes.map(prefixOf).some((p) => contains(p, of) || contains(of, p))) return [];
    const hint = 'such as 1.168.192.in-addr.arpa for 192.168.1.0/24';
    return [{ path: ['networks', network, 'names', 'reverse', 'zone'], message: `${zone} is no zone of addresses of ${network}`, hint }];
  });
  if (all.every(([, n]) => n.endpoint === undefined)) return reverse;
  const zones = all.flatMap(([network, { names }]) => (names ? [{ network, zone: names.zone }] : []));
  const twice = zones.flatMap(({ network, zone }, i) => {
    const before = zones.slice(0, i).find((z) => z.zone === zone);
    return before ? [{ path: ['networks', network, 'names', 'zone'], message: `${zone} is the zone of ${before.network} already` }] : [];
  });
  return [...reverse, ...twice];
}

export function endpointProblems({ networks }: HubFile): SystemProblem[] {
  const own = Object.entries(networks).flatMap(([name, { endpoint, prefixes }]) =>
    endpoint === undefined ? [] : [{ name, endpoint, prefixes }],
  );
  return own.flatMap(({ name, endpoint, prefixes }, i): SystemProblem[] => {
    const path = ['networks', name, 'endpoint'];
    if (i > 0) return [{ path, message: `${own[0]!.name} has the hub's DNS endpoint already`, hint: 'a hub has one' }];
    return isOf(prefixes, endpoint)
      ? []
      : [{ path, message: `${endpoint} is no address of ${name}`, hint: `its prefixes: ${prefixes.join(', ')}` }];
  });
}
