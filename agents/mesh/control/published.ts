/**
 * The peering multiplexer (R2 section 3.4): what a network's state publishes, and to whom. One set for each different policy, however
 * many peers it is for (R2-21). Pure.
 */
import { contains, parseAddress, prefixOf, type Prefix } from '../../lib/prefix.ts';
import {
  KEYS,
  OWN_SET,
  type Balanced,
  type Consent,
  type Destination,
  type PeeringRow,
  type Pool,
  type Service,
  type Summary,
} from '../rows.ts';
import { overflowWeight, weightsOf, type Standing } from './balancing.ts';
import { EVERYTHING, exports, exportsRoute, setOf, type Policy } from './policies.ts';
import { winnersOf, type Offer } from './routes.ts';
import { policyOf, type Balancer, type Endpoint, type Network } from './state.ts';

export interface Surroundings {
  readonly controller: { readonly name: string; readonly address: string };
  /** By network: its controller, by name. */
  readonly owners: ReadonlyMap<string, string>;
  /** Addresses of hosts on the underlay. */
  readonly hosts: ReadonlyMap<string, string>;
  /** What peers agree to, by peer. */
  readonly consents: ReadonlyMap<string, Consent>;
  /** Routes that peers export to the network, by peer. */
  readonly offers: ReadonlyMap<string, Omit<Offer, 'network'>>;
  /** Of the network's endpoints that are backends, by `standingKey`. */
  readonly standings: ReadonlyMap<string, Standing>;
  /** The pool of gateways. */
  readonly gateways: Pool['members'];
}

/** What a peer is told; undefined: the two owners have not both agreed. */
export function policyFor(network: Network, peer: string, { consents }: Surroundings): Policy | undefined {
  const own = consents.has(peer) ? network.peerings[peer] : undefined;
  return own && (policyOf(network, own.export) ?? EVERYTHING);
}

/** Peers that both owners have agreed on, with what they are told. */
export const peersOf = (network: Network, around: Surroundings): Map<string, Policy> =>
  new Map(
    Object.keys(network.peerings).flatMap((peer) => {
      const policy = policyFor(network, peer, around);
      return policy ? [[peer, policy] as const] : [];
    }),
  );

/** Sets with their policies: the network's own, and one for each different policy that is in use. */
const setsFor = (peers: ReadonlyMap<string, Policy>): Map<string, Policy> =>
  new Map([[OWN_SET, EVERYTHING], ...[...peers.values()].map((p) => [setOf(p), p] as const)]);

export const setsOf = (network: Network, around: Surroundings): Map<string, Policy> => setsFor(peersOf(network, around));

/** Rows by their keys; values are JSON. */
export function rowsOf(network: Network, around: Surroundings): Map<string, string> {
  const rows = new Map<string, string>();
  const put = (key: string, value: unknown): unknown => rows.set(key, JSON.stringify(value));
  const { name, vnid, endpoints, ...state } = network;
  put(KEYS.state(name), { name, vnid, ...state });
  for (const endpoint of endpoints.values()) {
    const { name: own, addresses, mac, host, before } = endpoint;
    const row = { vnid, addresses, mac, prefixes: network.learned[own] ?? [], services: servicesOf(network, own) };
    put(KEYS.stateEndpoint(name, own), endpoint);
    // What is under way to the host before goes on to this one.
    if (before !== null) put(KEYS.endpoint(before, name, own), { ...row, via: around.hosts.get(host) ?? null });
    put(KEYS.endpoint(host, name, own), { ...row, via: null });
  }
  for (const peer of Object.keys(network.peerings)) {
    const to = around.owners.get(peer);
    const consent: Consent = { vnid, controller: around.controller };
    if (to !== undefined) put(KEYS.consent(to, peer, name), consent);
  }
  const routes = routesOf(network);
  const peers = peersOf(network, around);
  for (const [peer, policy] of peers) {
    const { vnid: number, controller } = around.consents.get(peer)!;
    const row: PeeringRow = { vnid: number, controller, via: network.peerings[peer]!.via };
    put(KEYS.peering(name, peer), row);
    const offered = [...routes.keys()].filter((prefix) => exportsRoute(policy, prefix));
    if (offered.length > 0) put(KEYS.offer(controller.name, peer, name), { vnid, prefixes: offered });
  }
  if ([...peers.keys()].some((peer) => network.peerings[peer]!.via === 'gateways')) {
    const row: Pool = { members: around.gateways };
    put(KEYS.pool(name), row);
  }
  const offers = [...around.offers].filter(([peer]) => peers.has(peer)).map(([peer, offer]): Offer => ({ network: peer, ...offer }));
  for (const [prefix, winner] of winnersOf(network, offers)) put(KEYS.winner(name, prefix), winner);
  for (const [set, policy] of setsFor(peers)) {
    let isEmpty = true;
    for (const endpoint of endpoints.values()) {
      const row = destinationOf(network, endpoint, around);
      if (!row) continue;
      for (const address of endpoint.addresses.filter((a) => exports(policy, a))) {
        put(KEYS.destination(name, set, address), row);
        isEmpty = false;
      }
    }
    for (const [balancer, own] of Object.entries(network.balancers)) {
      if (!exports(policy, own.address)) continue;
      put(KEYS.destination(name, set, own.address), balancedOf(network, balancer, own, around));
      isEmpty = false;
    }
    const exported = [...routes].filter(([prefix]) => exportsRoute(policy, prefix));
    for (const [prefix, router] of exported) {
      const row = destinationOf(network, router, around);
      if (row) put(KEYS.route(name, set, prefix), row);
    }
    const summary: Summary = {
      prefixes: isEmpty ? [] : exportedPrefixes(network, policy),
      routes: exported.map(([prefix]) => prefix),
      version: network.version,
    };
    put(KEYS.summary(name, set), summary);
  }
  return rows;
}

/** undefined: its host is not known. */
function destinationOf({ vnid }: Network, { name, mac, host }: Endpoint, { hosts }: Surroundings): Destination | undefined {
  const via = hosts.get(host);
  return via === undefined ? undefined : { endpoint: name, vnid, mac, host, via };
}

function balancedOf(network: Network, balancer: string, own: Balancer, around: Surroundings): Balanced {
  const weights = weightsOf(own, around.standings);
  const backends = [...weights].flatMap(([name, weight]) => {
    const endpoint = network.endpoints.get(name);
    const to = endpoint && destinationOf(network, endpoint, around);
    return to ? [{ ...to, weight }] : [];
  });
  return { balancer, backends, overflow: own.overflow === null ? null : { address: own.overflow, weight: overflowWeight(weights) } };
}

/** Of an endpoint, for its host. */
const servicesOf = ({ balancers }: Network, endpoint: string): Service[] =>
  Object.values(balancers).flatMap(({ address, standsInFor, port, capacitiesBps }) => {
    const capacityBps = capacitiesBps[endpoint];
    return capacityBps === undefined ? [] : [{ addresses: [address, ...standsInFor], port, capacityBps }];
  });

/** Prefixes behind routers, with the router: of several the one with the lower name. */
function routesOf({ learned, endpoints }: Network): Map<string, Endpoint> {
  const routes = new Map<string, Endpoint>();
  for (const name of Object.keys(learned).sort().reverse()) {
    const router = endpoints.get(name);
    if (router) for (const prefix of learned[name] ?? []) routes.set(prefix, router);
  }
  return routes;
}

/** Those that an address is of that may be exported. */
function exportedPrefixes({ prefixes, endpoints, balancers }: Network, policy: Policy): string[] {
  const isExported = (prefix: Prefix, address: string): boolean => {
    const parsed = parseAddress(address);
    return parsed !== undefined && contains(prefix, parsed) && exports(policy, address);
  };
  return prefixes.filter((text) => {
    const prefix = prefixOf(text);
    for (const { addresses } of endpoints.values()) if (addresses.some((a) => isExported(prefix, a))) return true;
    return Object.values(balancers).some((b) => isExported(prefix, b.address));
  });
}

/** Hosts that may read what a network's own hosts read. */
export const hostsOf = ({ endpoints }: Network): Set<string> => new Set([...endpoints.values()].map((e) => e.host));
