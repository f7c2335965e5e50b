/** What a controller knows of its own networks, and how its owner changes it. Pure. */
import { Type } from 'typebox';
import { nullable, record } from '../../../src/core/config/parts.ts';
import type { Described } from '../../../src/core/readonly.ts';
import { contains, formatAddress, parseAddress, parsePrefix, prefixOf } from '../../lib/prefix.ts';
import { access, via } from '../rows.ts';
import { refuse } from '../../lib/params.ts';
import { ALL, EVERYTHING, policySchema, type Policy } from './policies.ts';

export const endpointState = Type.Object({
  name: Type.String(),
  addresses: Type.Array(Type.String()),
  mac: Type.String(),
  /** Host that it is on, and the one that it was on before. */
  host: Type.String(),
  before: nullable(Type.String()),
});
export type Endpoint = Described<typeof endpointState>;

const peeringState = Type.Object({ export: Type.String(), access, preference: Type.Integer(), via });
export type Peering = Described<typeof peeringState>;

/** An internal load balancer (R2 section 3.7). */
const balancerState = Type.Object({
  address: Type.String(),
  /** Of TCP, where backends are asked whether they live. */
  port: Type.Integer(),
  /** By endpoint: what may come to it. */
  capacitiesBps: record(Type.Number()),
  /** Address of a peer's balancer, for what these can not take. */
  overflow: nullable(Type.String()),
  /** Addresses of peers' balancers that have this one for their overflow. */
  standsInFor: Type.Array(Type.String()),
});
export type Balancer = Described<typeof balancerState>;

export const networkState = Type.Object({
  name: Type.String(),
  vnid: Type.Integer(),
  prefixes: Type.Array(Type.String()),
  /** Of its rows: how often hosts had to follow them before something was acknowledged. */
  version: Type.Integer(),
  policies: record(policySchema),
  /** By peer: what its owner agrees to. */
  peerings: record(peeringState),
  balancers: record(balancerState),
  /** By endpoint that is a router: prefixes behind it. */
  learned: record(Type.Array(Type.String())),
});
export interface Network extends Described<typeof networkState> {
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

export const policyOf = ({ policies }: Network, name: string): Policy | undefined => (name === ALL ? EVERYTHING : policies[name]);

export function putPolicy(network: Network, name: string, policy: Policy): Network {
  if (name === ALL) refuse('InvalidRequest', `"${ALL}" exports everything`);
  for (const prefix of policy.prefixes ?? []) if (!parsePrefix(prefix)) refuse('InvalidRequest', `"${prefix}" is no prefix`);
  return { ...network, policies: { ...network.policies, [name]: policy } };
}

export function agree(network: Network, peer: string, what: Peering): Network {
  if (peer === network.name) refuse('InvalidRequest', 'a network is no peer of its own');
  if (!policyOf(network, what.export)) refuse('UnknownPolicy', `no export policy "${what.export}"`);
  return { ...network, peerings: { ...network.peerings, [peer]: what } };
}

/** What changed before is to be followed by everybody. */
export const versioned = (network: Network): Network => ({ ...network, version: network.version + 1 });

export const learn = (network: Network, endpoint: string, prefixes: readonly string[]): Network => ({
  ...network,
  learned: { ...network.learned, [endpoint]: [...prefixes] },
});

export function withdraw(network: Network, peer: string): Network {
  if (!Object.hasOwn(network.peerings, peer)) refuse('NotPeered', `no peering with "${peer}"`);
  return { ...network, peerings: Object.fromEntries(Object.entries(network.peerings).filter(([name]) => name !== peer)) };
}

export function putEndpoint(network: Network, endpoint: Endpoint): Network {
  return { ...network, endpoints: new Map(network.endpoints).set(endpoint.name, endpoint) };
}

/** So many, one address after the other. */
export function putEndpoints(network: Network, first: string, count: number, host: string): Network {
  const address = parseAddress(first) ?? refuse('InvalidRequest', `"${first}" is no address`);
  const last = { ...address, value: address.value + BigInt(count - 1) };
  if (!network.prefixes.map(prefixOf).some((p) => contains(p, address) && contains(p, last)))
    refuse('InvalidRequest', `${first} and ${count - 1} more are not in one prefix of "${network.name}"`);
  const taken = new Set([...network.endpoints.values()].flatMap((e) => e.addresses));
  const endpoints = new Map(network.endpoints);
  for (let i = 0; i < count; i++) {
    const own = formatAddress({ ...address, value: address.value + BigInt(i) });
    if (taken.has(own)) refuse('InvalidRequest', `${own} is taken`);
    const mac = `02:6e:${(network.vnid & 0xffff).toString(16).padStart(4, '0')}${i.toString(16).padStart(4, '0')}`;
    endpoints.set(own, { name: own, addresses: [own], mac: mac.replace(/(..)(..)(..)(..)$/, '$1:$2:$3:$4'), host, before: null });
  }
  return { ...network, endpoints };
}

export function moveEndpoint(network: Network, name: string, host: string): Network {
  const endpoint = network.endpoints.get(name) ?? refuse('UnknownEndpoint', `no endpoint "${name}"`);
  return host === endpoint.host ? network : putEndpoint(network, { ...endpoint, host, before: endpoint.host });
}
