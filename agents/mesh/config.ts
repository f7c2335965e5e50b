/** Configuration of the mesh: as topologies write it, and as agents get it. */
import { Type } from 'typebox';
import type { Described } from '../../src/core/readonly.ts';
import { closed, duration, name, names, oneOrMany, opt, rate, record, text } from '../../src/core/config/parts.ts';
import type { Balancer, Endpoint, Peering } from './control/state.ts';

export const meshSchema = closed({
  controllers: oneOrMany(names('Nodes of SDN controllers.')),
  hosts: oneOrMany(names('Nodes of hosts, of kind ovs-bridge with `separate: true`: each has a programmable switcher.')),
  gateways: opt(
    oneOrMany(
      names(
        'Nodes of the gateway pool, of kind ovs-bridge with `separate: true`: each knows all networks, and forwards for those that ask.',
      ),
    ),
  ),
  networks: record(
    closed({
      vnid: Type.Integer({ minimum: 1, maximum: 0xffffff, description: 'Virtual network identifier, of this network alone.' }),
      controller: name('The controller that owns it.'),
      prefixes: Type.Array(Type.String(), {
        minItems: 1,
        description: 'Addresses of its endpoints, "10.1.0.0/16"; with one of IPv6 they have such an address, too.',
      }),
      endpoints: oneOrMany(names('Nodes of its virtual machines, each on a link to the host that it is on.')),
      balancers: opt(
        record(
          closed({
            address: text('Its address, of no endpoint, in a prefix of the network; of IPv4.'),
            port: Type.Integer({ minimum: 1, maximum: 65_535, description: 'Of TCP, where backends are asked whether they live.' }),
            backends: record(rate('What may come to it.'), { description: 'Endpoints of the network, with capacities.' }),
            overflow: opt(text('Address of a balancer of a peer, for connections that these backends have no capacity for.')),
            'stands-in-for': opt(
              Type.Array(text('Address of a balancer of a peer that has this one for its overflow: backends serve it, too.')),
            ),
          }),
          { description: 'Internal load balancers, by name.' },
        ),
      ),
      sites: opt(
        record(
          closed({
            router: name(
              'Endpoint that it has a link to, which is its way to the network; it is on the underlay, too, to tell what it learns.',
            ),
            kind: Type.Enum(['vpn', 'interconnect'], { description: 'By WireGuard, or over the link as it is.' }),
            prefixes: Type.Array(Type.String(), { minItems: 1, description: 'Its own; at the first address of each there is a device.' }),
            announced: opt(Type.Array(Type.String(), { description: 'By BGP, at the beginning (default: all).' })),
          }),
          { description: 'On-premises networks, by the nodes of their routers.' },
        ),
      ),
    }),
    { description: 'Virtual networks (VPC).' },
  ),
  emulated: opt(
    closed({
      on: name('Node of the emulator, on the underlay.'),
      networks: Type.Integer({ minimum: 1, maximum: 10_000, description: 'Each has one endpoint, on an emulated host of its own.' }),
      peer: name('Network that all of them are peered with.'),
      hosts: opt(Type.Integer({ minimum: 0, description: 'So many of these hosts, and endpoints, are there (default: all).' })),
    }),
  ),
  setup: opt(
    Type.Array(
      closed({ controller: name('Controller that is asked.'), operation: text('Its operation.'), params: opt(record(Type.Unknown())) }),
      { description: 'Operations that are done before traffic begins, in this order at each controller.' },
    ),
  ),
  introduction: opt(duration('How long an introduction of a host is good for (default 10m).')),
  pull: opt(
    Type.Enum(['needed', 'all'], {
      description: 'Of a set that a host may read: rows of addresses that packets go to (default), or all of them.',
    }),
  ),
  idle: opt(duration('A destination that no packet was sent to for so long is not followed any more (default 60s).')),
  hold: opt(duration('What a controller has told lives so long without it (default 10m).')),
  destinations: opt(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: 'Destinations that a host follows for one of its networks (default 4096).',
    }),
  ),
});
export type MeshFile = Described<typeof meshSchema>;

export type Role = 'controller' | 'host' | 'endpoint' | 'site' | 'emulator';

/** A node that others reach at an address of the underlay. */
export interface Place {
  readonly name: string;
  readonly address: string;
}

export interface LegEnd {
  readonly name: string;
  readonly device: string;
  readonly address: string;
}

/** What a router tells its controller by; nothing is forwarded there. */
export interface Management {
  readonly device: string;
  readonly address: string;
}

/** Between an on-premises router and an endpoint. */
export interface Leg {
  readonly network: string;
  readonly vnid: number;
  readonly isVpn: boolean;
  readonly endpoint: LegEnd;
  readonly site: LegEnd;
}

export interface OwnedNetwork {
  readonly name: string;
  readonly vnid: number;
  readonly prefixes: readonly string[];
  readonly endpoints: readonly Endpoint[];
  readonly peerings: Readonly<Record<string, Peering>>;
  readonly balancers: Readonly<Record<string, Balancer>>;
  /** Endpoints that learn routes. */
  readonly routers: readonly string[];
}

export interface ControllerConfig {
  readonly role: 'controller';
  readonly self: Place;
  readonly controllers: readonly Place[];
  /** Gateways among them. */
  readonly hosts: readonly Place[];
  readonly gateways: readonly Place[];
  /** Controllers by the networks that they own. */
  readonly owners: Readonly<Record<string, string>>;
  readonly networks: readonly OwnedNetwork[];
  readonly setup: readonly { readonly operation: string; readonly params: Readonly<Record<string, unknown>> }[];
  readonly introductionMs: number;
}

export interface HostConfig {
  readonly role: 'host';
  readonly self: Place;
  /** Those that may place an endpoint here. */
  readonly controllers: readonly Place[];
  /** Device on the underlay, and its address with the prefix's length. */
  readonly uplink: { readonly device: string; readonly mac: string; readonly cidr: string; readonly mtu: number };
  /** Networks that it is a gateway of. */
  readonly forwards: readonly { readonly name: string; readonly vnid: number; readonly owner: Place }[];
  /** Ports of the switch, by endpoint. */
  readonly ports: Readonly<Record<string, string>>;
  readonly idleMs: number;
  readonly holdMs: number;
  readonly destinations: number;
  readonly pull: 'needed' | 'all';
}

export interface EndpointConfig {
  readonly role: 'endpoint';
  readonly self: Place;
  readonly network: string;
  /** Of its network. */
  readonly controller: Place;
  /** null: it is no router. */
  readonly leg: (Leg & { readonly management: Management }) | null;
  readonly device: string;
  /** "10.1.0.1/16" */
  readonly address: string;
  readonly mac: string;
  /** Its devices, by the hosts that they lead to. */
  readonly devices: Readonly<Record<string, string>>;
  /** Beside the address that its node has; null: its network has none. */
  readonly ipv6: string | null;
  /** Addresses of balancers that it is a backend of. */
  readonly serves: readonly string[];
  /** Of packets that fit into the underlay's with a tunnel's headers. */
  readonly mtu: number;
  /** Addresses of endpoints, by name. */
  readonly endpoints: Readonly<Record<string, string>>;
}

export interface SiteConfig {
  readonly role: 'site';
  readonly self: Place;
  readonly leg: Leg;
  readonly prefixes: readonly string[];
  readonly announced: readonly string[];
  /** Addresses of endpoints, by name. */
  readonly endpoints: Readonly<Record<string, string>>;
}

/** Hosts without a switch, which follow a network like any host. */
export interface EmulatorConfig {
  readonly role: 'emulator';
  readonly self: Place;
  readonly hosts: readonly (Pick<HostConfig, 'self' | 'controllers' | 'ports'> & { readonly vnid: number })[];
  /** Address that each of them follows. */
  readonly follows: string;
}

export type AgentConfig = ControllerConfig | HostConfig | EndpointConfig | SiteConfig | EmulatorConfig;
