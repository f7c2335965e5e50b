/** Configuration of the traffic hub: as topologies write it, and as agents get it. */
import { Type } from 'typebox';
import type { Described } from '../../src/core/readonly.ts';
import { closed, duration, ipv4, name, names, oneOrMany, opt, pattern, record, text } from '../../src/core/config/parts.ts';
import type { Ain, Network } from './model.ts';

const positive = (description: string) => Type.Integer({ minimum: 1, description });

const zoneRecords = (description: string) => Type.Array(pattern('^[^\\n\\r$]{1,500}$', 'a line', description));

export const hubSchema = closed({
  control: name('Node of the service control plane.'),
  dmns: oneOrMany(names('Nodes of decision master nodes.')),
  ains: record(closed({ zone: opt(text('Availability container (default: one for all).')) }), {
    description: 'Action implementation nodes.',
  }),
  cells: opt(
    record(closed({ dmns: oneOrMany(names('Of `dmns`.')), ains: oneOrMany(names('Of `ains`.')) }), {
      minProperties: 1,
      description:
        'Cells, which never exchange packets of networks (default: one, "main", with all nodes). The first one serves new domains.',
    }),
  ),
  networks: record(
    closed({
      gateway: name('Node of its gateway, which is on the network of the hub with its client VNI.'),
      prefixes: Type.Array(Type.String(), { minItems: 1, description: 'Addresses of its resources, "192.168.1.0/24".' }),
      hosts: opt(oneOrMany(names('Nodes of its hosts.'))),
      names: opt(
        closed({
          server: name('One of its hosts, which runs BIND.'),
          zone: pattern('^[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?$', 'a domain name', 'Its zone, "b.example".'),
          records: zoneRecords('Records as in a zone file, "www A 192.168.1.1".'),
          reverse: opt(
            closed({
              zone: pattern('^[0-9a-f.]{1,80}\\.(in-addr|ip6)\\.arpa$', 'a zone of addresses', 'Such as "1.168.192.in-addr.arpa".'),
              records: zoneRecords('"1 PTR www.b.example."'),
            }),
          ),
          signed: opt(Type.Boolean({ description: 'BIND signs its zones (default false).' })),
        }),
      ),
      endpoint: opt(ipv4('One of its addresses: there its gateway answers for the names of all networks, with Unbound (DNS mode B).')),
      kind: opt(
        Type.Enum(['ivn', 'vpn', 'direct'], { description: 'How it arrives: a virtual network (default), by VPN, or by a direct link.' }),
      ),
      site: opt(
        closed({
          router: name(
            'Node of its own router, which speaks BGP to the gateway: through WireGuard (kind vpn), or over their link (direct).',
          ),
          address: ipv4('An address of the network for its gateway, whose ICMP errors come from it.'),
        }),
      ),
      vni: opt(
        closed({
          address: ipv4('Its address in the network, which is the gateway of hosts.'),
          standby: oneOrMany(
            names('Nodes beside `gateway` that the client VNI may move to; all are on the network of the hub, and on that of the hosts.'),
          ),
        }),
      ),
      security: opt(
        Type.Array(
          closed({
            protocol: Type.Enum(['tcp', 'udp', 'icmp']),
            ports: opt(Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), { minItems: 1 })),
          }),
          {
            description: 'What others may begin to send to the network (default: everything); answers to what it has sent come in always.',
          },
        ),
      ),
      link: opt(
        closed({
          hub: name('The hub that this end of a link is in.'),
          to: name(
            'The network that is its other end, in another hub: their gateways have a link, whose addresses are `prefixes` of both.',
          ),
        }),
      ),
      account: opt(text('Whose it is (default: the owner of the hub): others attach with the owner’s approval.')),
      shard: opt(oneOrMany(names('AINs that have a branch for it (default: chosen by shuffle sharding).'))),
    }),
    { description: 'Isolated networks. They cannot reach each other before they are attached.' },
  ),
  'shard-size': opt(positive('K: AINs of each network (default 2, or all if there are fewer).')),
  'shard-overlap': opt(Type.Integer({ minimum: 0, description: 'L: AINs that two networks share at most (default 1).' })),
  scale: opt(
    closed({
      fewest: positive('AINs of each cell that serve at least: the first ones of the file. Others wait.'),
      load: positive('Packets a second of an AIN, on average over its cell, beyond which more of them serve.'),
      'ains-per-dmn': opt(positive('DMNs of a cell serve in this ratio (default: all of them).')),
      calm: opt(duration('After so long that fewer could carry the load with a quarter to spare, one fewer serves (default 2s).')),
    }),
  ),
  actions: opt(
    Type.Integer({
      minimum: 16,
      maximum: 10_000_000,
      description: 'Flows that an AIN remembers (default 131072): the least used ones go first.',
    }),
  ),
  idle: opt(duration('An action that is not used for so long is forgotten (default 60s).')),
  verify: opt(duration('T: an action is asked for again after so long (default 60s).')),
  silence: opt(duration('A node that the control plane has not heard of for so long is lost (default 600ms).')),
  'miss-rate': opt(positive('Packets a second of one network that an AIN asks DMNs about; more are dropped (default 20000).')),
  segment: opt(
    Type.Integer({ minimum: 16, maximum: 1400, description: 'Bytes of an action beyond which it goes in segments (default 1024).' }),
  ),
  setup: opt(
    Type.Array(closed({ operation: text('Operation of the control plane.'), params: opt(record(Type.Unknown())) }), {
      description: 'Operations of the hub’s owner before traffic starts, in their order.',
    }),
  ),
});
export type HubFile = Described<typeof hubSchema>;

export const ROLES = ['control', 'dmn', 'ain', 'gateway', 'router', 'host'] as const;
export type Role = (typeof ROLES)[number];

export interface NodeInfo {
  readonly name: string;
  readonly role: Role;
  /** Where others of the hub reach it; of a host, its address in its own network. */
  readonly address: string;
  /** Of gateways, routers and hosts. */
  readonly network: string | null;
}

export interface Dmn {
  readonly name: string;
  readonly number: number;
  readonly address: string;
  readonly cell: string;
}

/** What a name server has: "b.example", and zones of addresses; with lines of their files, without those of the zones themselves. */
export interface NamesServed {
  readonly zones: readonly { readonly zone: string; readonly records: readonly string[] }[];
  readonly isSigned: boolean;
}

/** A zone, also one of addresses, and the address that its name server has in its own network. */
export interface Zone {
  readonly zone: string;
  readonly network: string;
  readonly server: string;
}

interface SiteEnd {
  readonly name: string;
  readonly device: string;
  readonly address: string;
}

/** An on-premises network, and how its router and its gateway reach each other. */
export interface Site {
  readonly network: string;
  readonly number: number;
  readonly isVpn: boolean;
  readonly prefixes: readonly string[];
  /** Nodes, with what they have on the link between them. */
  readonly gateway: SiteEnd;
  readonly router: SiteEnd;
  /** The gateway's own in the network. */
  readonly address: string;
}

/** A cell in one of the sizes that it may have. */
export interface CellSize {
  readonly cell: string;
  /** Nodes of the cell that serve, and those that wait. */
  readonly ains: readonly string[];
  readonly standby: readonly string[];
  /** By network, AINs of the cell with its branches. */
  readonly shards: Readonly<Record<string, readonly string[]>>;
}

/** Node counts by load (R1-23). `sizes` of each cell: the smallest first. */
export interface Scale {
  readonly load: number;
  readonly calmMs: number;
  readonly sizes: readonly CellSize[];
}

/** Where a client VNI is while it is at this node: on the device of the network of its hosts, with an address there. */
export interface VniPlace {
  readonly mac: string;
  readonly lan: string;
  /** "10.1.0.254/24" */
  readonly address: string;
}

/** A gateway's device on a link between hubs, and the other one's address there. */
export interface LinkEnd {
  readonly device: string;
  readonly neighbour: string;
}

export interface SecurityRule {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly ports?: readonly number[];
}

export interface AgentConfig {
  readonly self: NodeInfo;
  readonly nodes: readonly NodeInfo[];
  readonly ains: readonly Ain[];
  readonly dmns: readonly Dmn[];
  /** Names, in the order of the file. */
  readonly cells: readonly string[];
  readonly networks: readonly Network[];
  /** Device on the network of the hub; null: it is not on it. */
  readonly device: string | null;
  /** Of a host: the address of its gateway. */
  readonly gateway: string | null;
  /** Of a host that is its network's name server. */
  readonly nameServer: NamesServed | null;
  /** Of a gateway: an address of its network, that its own packets come from; null: it has none. */
  readonly source: string | null;
  /** Of a gateway or a router of an on-premises network. */
  readonly site: Site | null;
  /** Of a gateway whose client VNI may move, or may come. */
  readonly vni: VniPlace | null;
  /** Of a gateway: what others may begin to send to its network; null: everything. */
  readonly security: readonly SecurityRule[] | null;
  /** Of a gateway that is one end of a link between hubs. */
  readonly link: LinkEnd | null;
  readonly zones: readonly Zone[];
  /** Of the gateway that is the hub's DNS endpoint: where it answers. */
  readonly endpoint: string | null;
  /** Nodes that do not serve at the beginning. */
  readonly standby: readonly string[];
  /** null: all nodes serve. */
  readonly scale: Scale | null;
  readonly actions: number;
  readonly idleMs: number;
  readonly verifyMs: number;
  readonly silenceMs: number;
  readonly missRate: number;
  readonly segmentBytes: number;
  readonly setup: readonly { readonly operation: string; readonly params: Readonly<Record<string, unknown>> }[];
}

/** TCP port of the control plane's channel. */
export const CONTROL_PORT = 7800;
