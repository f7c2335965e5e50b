/** What a hub knows: networks, domains, attachments, routes and translation mappings, as its store has them (R1 sections 2 and 3). */
import { Type } from 'typebox';
import { nullable } from '../../src/core/config/parts.ts';
import type { Described } from '../../src/core/readonly.ts';

const prefix = Type.String();

/** An isolated network, and where it meets the hub. */
const network = Type.Object({
  name: Type.String(),
  /** From 1: what AINs know it by. */
  number: Type.Integer({ minimum: 1, maximum: 1023 }),
  kind: Type.Enum(['ivn', 'vpn', 'direct', 'link']),
  /** One end of a link between hubs: the hub that it is an end in, the network at its other end, and what both have between them. */
  link: nullable(Type.Object({ hub: Type.String(), other: Type.String(), transit: prefix })),
  /** Addresses of its resources; of a link's end also those that are reached through it. */
  prefixes: Type.Array(prefix),
  /** MAC address of its client VNI, which is at its gateway. */
  gateway: Type.String(),
  /** Node that a client VNI is at that may move; null: it is its gateway's own device. */
  at: nullable(Type.String()),
  /** Whose it is; null: the hub's owner's. */
  account: nullable(Type.String()),
  /** AINs that have a branch for it: its shard, by name. */
  shard: Type.Array(Type.String()),
  /** Prefixes that its own router announces by BGP: others are not reached; null: it has none, all are. */
  learned: nullable(Type.Array(prefix)),
  /** Address of the hub's DNS endpoint, which is in this network of the hub's own; null: it is another network. */
  endpoint: nullable(Type.String()),
});
export type Network = Described<typeof network>;

/** The hub that is there from the beginning. */
export const FIRST_HUB = 'hub';

/** Number of the domain of networks that are in none. Its generation is the metadata's version. */
export const UNATTACHED = 0;

const domain = Type.Object({
  name: Type.String(),
  number: Type.Integer({ minimum: 1, maximum: 255 }),
  /** The hub that it is a domain of: it shares no route with domains of others. */
  hub: Type.String(),
  /** Cells with weight 1: each of them forwards its networks' packets alone. */
  cells: Type.Array(Type.String(), { minItems: 1 }),
  /** Version of the last change that concerned it: actions that follow from an earlier one rule no more. */
  generation: Type.Integer({ minimum: 1 }),
});
export type Domain = Described<typeof domain>;

/** A network's traffic is routed by the domain that it is associated with; the domains that it propagates to have routes to it. */
const attachment = Type.Object({
  network: Type.String(),
  domain: Type.String(),
  propagates: Type.Array(Type.String()),
  /** unapproved: it waits for the owner of the hub; pending: for a mapping. Nothing passes. */
  state: Type.Enum(['unapproved', 'pending', 'attached']),
});
export type Attachment = Described<typeof attachment>;

/** A route that somebody has declared. `to` null: packets are dropped. */
const route = Type.Object({ domain: Type.String(), prefix, to: nullable(Type.String()) });
export type Route = Described<typeof route>;

/** Addresses of a network as others see them: `real` and `as` are of one length, address by address. */
const mapping = Type.Object({
  network: Type.String(),
  real: prefix,
  as: prefix,
  /** Networks that see it so; null: all. */
  viewers: nullable(Type.Array(Type.String())),
  origin: Type.Enum(['client', 'service']),
  /** Not in use before it is approved. */
  approved: Type.Boolean(),
  /** Milliseconds since the epoch when it was generated. */
  atMs: Type.Number(),
});
export type Mapping = Described<typeof mapping>;

/** What a network sends to another one comes from these addresses and ports (R1-50), and that one sees nothing else of it. */
const policy = Type.Object({
  network: Type.String(),
  to: Type.String(),
  addresses: prefix,
  firstPort: Type.Integer({ minimum: 1, maximum: 65_535 }),
  lastPort: Type.Integer({ minimum: 1, maximum: 65_535 }),
});
export type Policy = Described<typeof policy>;

/** Packets of networks of a domain to the address of a group are copied to each of its members. */
const group = Type.Object({
  domain: Type.String(),
  address: Type.String(),
  /** Addresses as their networks have them. */
  members: Type.Array(Type.Object({ network: Type.String(), address: Type.String() })),
});
export type Group = Described<typeof group>;
/** What an AIN has room for (native/action.h: MAX_REPLICAS). */
export const MOST_MEMBERS = 32;

/** A record of the managed DNS service. An address is one of the network's own. */
const record = Type.Object({ network: Type.String(), name: Type.String(), type: Type.Enum(['A', 'AAAA']), value: Type.String() });
export type ManagedRecord = Described<typeof record>;

export const metadata = Type.Object({
  /** Grows with every change. */
  version: Type.Integer({ minimum: 0 }),
  hubs: Type.Array(Type.String()),
  networks: Type.Array(network),
  domains: Type.Array(domain),
  attachments: Type.Array(attachment),
  routes: Type.Array(route),
  mappings: Type.Array(mapping),
  /** Addresses that the hub may give to networks that overlap; empty: it resolves no overlap by itself. */
  pool: Type.Array(prefix),
  /** Accounts that may ask to attach networks of theirs. */
  accounts: Type.Array(Type.String()),
  /** Networks that get answers of each other's name servers translated. */
  shares: Type.Array(Type.String()),
  /** Networks that get answers of all other networks' name servers translated. */
  intercepts: Type.Array(Type.String()),
  records: Type.Array(record),
  groups: Type.Array(group),
  policies: Type.Array(policy),
  /** AINs that the control plane cannot reach: nothing is sent to them. */
  lost: Type.Array(Type.String()),
  /** AINs and DMNs that wait for more load. */
  standby: Type.Array(Type.String()),
  /** Operations of the owner's that are done, of those that the configuration begins with. */
  setup: Type.Integer({ minimum: 0 }),
});
export type Metadata = Described<typeof metadata>;

export const EMPTY: Metadata = {
  version: 0,
  hubs: [FIRST_HUB],
  networks: [],
  domains: [],
  attachments: [],
  routes: [],
  mappings: [],
  pool: [],
  accounts: [],
  shares: [],
  intercepts: [],
  records: [],
  groups: [],
  policies: [],
  lost: [],
  standby: [],
  setup: 0,
};

/** An action implementation node, as those that decide know it. */
export interface Ain {
  readonly name: string;
  readonly number: number;
  /** Availability container. */
  readonly zone: string;
  readonly cell: string;
  /** Address of its device on the hub's network. */
  readonly mac: string;
}

/** Address of a client VNI that may move: "vni", and the number of its network. */
export const vniMac = (network: number): string =>
  ['02:76:6e:69', ...[network >> 8, network & 0xff].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');

/** Addresses of branches begin so: "hu" (native/ain.c). */
const BRANCHES = '02:68:75';

/** Address of a network's branch at an AIN. */
export const branchMac = (ain: number, network: number): string =>
  [BRANCHES, ...[ain, network >> 8, network & 0xff].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');

export const isBranch = (mac: string): boolean => mac.startsWith(BRANCHES);
/** Number of the AIN that a branch is at. */
export const ainOfBranch = (mac: string): number => Number.parseInt(mac.slice(BRANCHES.length + 1, BRANCHES.length + 3), 16);
