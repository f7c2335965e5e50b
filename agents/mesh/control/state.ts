/** What a controller knows of its own networks, and how its owner changes it. Pure. */
import { Type } from 'typebox';
import { nullable } from '../../../src/core/config/parts.ts';
import type { Described } from '../../../src/core/readonly.ts';
import { parsePrefix } from '../../lib/prefix.ts';
import { access } from '../rows.ts';
import { refuse } from '../operations.ts';
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

export const networkState = Type.Object({
  name: Type.String(),
  vnid: Type.Integer(),
  prefixes: Type.Array(Type.String()),
  policies: Type.Record(Type.String(), policySchema),
  /** By peer: what its owner agrees to. */
  peerings: Type.Record(Type.String(), Type.Object({ export: Type.String(), access })),
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

export function agree(network: Network, peer: string, what: { readonly export: string; readonly access: 'all' | 'replies' }): Network {
  if (peer === network.name) refuse('InvalidRequest', 'a network is no peer of its own');
  if (!policyOf(network, what.export)) refuse('UnknownPolicy', `no export policy "${what.export}"`);
  return { ...network, peerings: { ...network.peerings, [peer]: what } };
}

export function withdraw(network: Network, peer: string): Network {
  if (!Object.hasOwn(network.peerings, peer)) refuse('NotPeered', `no peering with "${peer}"`);
  return { ...network, peerings: Object.fromEntries(Object.entries(network.peerings).filter(([name]) => name !== peer)) };
}

export function putEndpoint(network: Network, endpoint: Endpoint): Network {
  return { ...network, endpoints: new Map(network.endpoints).set(endpoint.name, endpoint) };
}

export function removeEndpoint(network: Network, name: string): Network {
  const endpoints = new Map(network.endpoints);
  if (!endpoints.delete(name)) refuse('UnknownEndpoint', `no endpoint "${name}"`);
  return { ...network, endpoints };
}

export function moveEndpoint(network: Network, name: string, host: string): Network {
  const endpoint = network.endpoints.get(name) ?? refuse('UnknownEndpoint', `no endpoint "${name}"`);
  return host === endpoint.host ? network : putEndpoint(network, { ...endpoint, host, before: endpoint.host });
}
