/** Networks without machines, on hosts without switches, which speak to real controllers as real hosts do (R2-15). Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import type { Lab } from '../../src/topology/model.ts';
import { addressOf, deviceOn } from '../lib/lab.ts';
import { formatAddress, formatPrefix, network, parseAddress } from '../lib/prefix.ts';
import type { EmulatorConfig, MeshFile, OwnedNetwork, Place } from './config.ts';
import { ALL } from './control/policies.ts';
import type { Peering } from './control/state.ts';
import { endpointsOf } from './plan.ts';

/** Theirs begin there: identifiers, and addresses in pieces of sixteen. */
const [FIRST_VNID, FIRST_ADDRESS, PIECE] = [1_000_000, parseAddress('10.128.0.0')!, 28];
const AGREED: Peering = { export: ALL, access: 'all', preference: 0, via: 'direct' };

interface Emulated {
  readonly networks: readonly { readonly controller: string; readonly network: OwnedNetwork }[];
  readonly owners: Readonly<Record<string, string>>;
  readonly agents: readonly EmulatorConfig[];
  /** That a controller may meet. */
  hostsFor(controller: string): readonly Place[];
  /** Of a declared network. */
  peeringsOf(name: string): Readonly<Record<string, Peering>>;
}

const NONE: Emulated = { networks: [], owners: {}, agents: [], hostsFor: () => [], peeringsOf: () => ({}) };

export function emulatedOf(config: MeshFile, lab: Lab, underlay: number | undefined): Emulated {
  if (!config.emulated) return NONE;
  const { on, networks: count, peer, hosts = count } = config.emulated;
  const controllers = expandAll(config.controllers);
  const places = new Map([...controllers, on].map((name) => [name, addressOf(deviceOn(lab, name, underlay)) ?? ''] as const));
  const all = Array.from({ length: count }, (_, i) => {
    const name = `x${i + 1}`;
    const first = { ...FIRST_ADDRESS, value: FIRST_ADDRESS.value + BigInt(i << (32 - PIECE)) };
    const mac = `02:78:${[24, 16, 8, 0].map((shift) => ((i >>> shift) & 255).toString(16).padStart(2, '0')).join(':')}`;
    const endpoint = { name, addresses: [formatAddress({ ...first, value: first.value + 1n })], mac, host: name, before: null };
    const own: OwnedNetwork = {
      name,
      vnid: FIRST_VNID + i,
      prefixes: [formatPrefix(network(first, PIECE))],
      endpoints: i < hosts ? [endpoint] : [],
      balancers: {},
      routers: [],
      peerings: { [peer]: AGREED },
    };
    return { controller: controllers[i % controllers.length]!, network: own };
  });
  const connected = all.slice(0, hosts);
  const place = (name: string): Place => ({ name, address: places.get(name) ?? '' });
  const owner = config.networks[peer]?.controller;
  return {
    networks: all,
    owners: Object.fromEntries(all.map((n) => [n.network.name, n.controller])),
    agents: [
      {
        role: 'emulator',
        self: place(on),
        hosts: connected.map(({ controller, network: { name, vnid } }) => ({
          self: { name, address: place(on).address },
          controllers: [place(controller)],
          ports: { [name]: name },
          vnid,
        })),
        follows: endpointsOf(config, lab, peer, [])[0]?.addresses[0] ?? '',
      },
    ],
    hostsFor: (controller) =>
      connected
        .filter((n) => controller === owner || n.controller === controller)
        .map((n) => ({ name: n.network.name, address: place(on).address })),
    peeringsOf: (name) => (name === peer ? Object.fromEntries(all.map((n) => [n.network.name, AGREED])) : {}),
  };
}
