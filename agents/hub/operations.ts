/** What a hub's nodes may be asked for: parameters, and how they are checked (R1 section 5). */
import { Type, type TSchema } from 'typebox';
import { closed, ipv4, opt, pattern, record, text } from '../../src/core/config/parts.ts';
import { parseAddress, parsePrefix, type Address } from '../lib/prefix.ts';
import { probeOperation } from '../lib/probing/rows.ts';
import { refuse } from '../lib/params.ts';
import type { Role } from './config.ts';

const prefix = pattern('^[0-9a-fA-F:.]{2,39}(/[0-9]{1,3})?$', 'a prefix such as "192.168.1.0/24"', 'Addresses.');
const network = text('Isolated network.');
const domain = text('Routing domain.');
const port = Type.Integer({ minimum: 1, maximum: 65_535 });
const vth = text('Hub.');
const pair = Type.Array(vth, { minItems: 2, maxItems: 2, uniqueItems: true });
const mapping = closed({ real: prefix, as: prefix, viewers: opt(Type.Array(text('Networks that see it so (default: all).'))) });
const route = closed({ domain: opt(domain), prefix, to: opt(text('Isolated network; absent: packets are dropped.')) });

/** RFC 1035: labels of 1 to 63 bytes, 253 in all. */
const LABEL = '[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const DOMAIN_NAME = `^(?=.{1,253}$)${LABEL}(\\.${LABEL})*$`;
const domainName = pattern(DOMAIN_NAME, 'a domain name', 'Without a dot at its end.');
const managed = closed({ name: domainName, type: Type.Enum(['A', 'AAAA']), value: text('An address of the network.') });

/** `stop`: no more. */
const listing = closed({ networks: Type.Array(network, { minItems: 1 }), stop: opt(Type.Boolean()) });

export const CONTROL_OPERATIONS = {
  /** Another one, beside "hub", which is there from the beginning. */
  CreateVTH: closed({ vth }),
  /** Each hub's packets go through the other one's ends of their links (R1-46). `domains`, by hub: needed where one has several. */
  LinkVTHs: closed({ vths: pair, domains: opt(record(domain)) }),
  UnlinkVTHs: closed({ vths: pair }),
  /** `vth`: its hub, needed where there are several; `cell`: that serves it (default: the first one). */
  CreateVTHRoutingDomain: closed({ domain, vth: opt(vth), cell: opt(text('Cell.')) }),
  /** A stage of a migration: cells with weight 1 serve the domain, each alone; one that serves none keeps nothing (R1-20). */
  SetCellWeights: closed({ domain: opt(domain), weights: record(Type.Integer({ minimum: 0, maximum: 1 }), { minProperties: 1 }) }),
  /** Without `domain`, the hub's only one. With an overlap that nothing resolves, the answer says which, and nothing passes. */
  AttachIsolatedNetwork: closed({
    network,
    domain: opt(domain),
    /** Domains that get routes to it (default: its own). */
    propagates: opt(Type.Array(domain)),
    mappings: opt(Type.Array(mapping)),
  }),
  /** Its client VNI, with its addresses and rules, goes to another of its gateways (R1-53). */
  MoveVNI: closed({ network, to: text('Node.') }),
  DetachIsolatedNetwork: closed({ network }),
  /** These accounts, and no others, may ask to attach networks of theirs (R1-49). */
  ShareVTHWithAccounts: closed({ accounts: Type.Array(text('Account.')) }),
  /** Of a network of another account. Rejected, it is not attached. */
  ApproveAttachment: closed({ network }),
  RejectAttachment: closed({ network }),
  /** Routes and prefixes; complete when all nodes follow it. */
  ModifyVTHConfig: closed({
    addRoutes: opt(Type.Array(route)),
    removeRoutes: opt(Type.Array(closed({ domain: opt(domain), prefix }))),
    addPrefixes: opt(Type.Array(closed({ network, prefix }))),
    removePrefixes: opt(Type.Array(closed({ network, prefix }))),
  }),
  DescribeVTHConfig: closed({}),
  DetectAddressOverlaps: closed({ networks: opt(Type.Array(network)) }),
  /** From now on the hub resolves overlaps itself, with addresses of the pool. */
  AutomateOverlappingAddressHandling: closed({ pool: Type.Array(prefix, { minItems: 1 }) }),
  /** The hub's own proposal for what is pending; not in use before it is approved. */
  ProposeTranslationMapping: closed({ network, pool: Type.Array(prefix, { minItems: 1 }) }),
  ApproveTranslationMapping: closed({ network }),
  /** The client's own. */
  SupplyTranslationMapping: closed({ network, mappings: Type.Array(mapping, { minItems: 1 }) }),
  ShowTranslationMappingsInUse: closed({}),
  /** Mode A: answers of these networks' name servers to each other have addresses that who asks reaches. */
  ShareDNSInfo: listing,
  /** Mode C: answers of all other networks' name servers have addresses that these networks reach. */
  InterceptDNSResponsesAtVTH: listing,
  /** R1-47: members of a group; none: there is no such group any more. */
  SetMulticastGroup: closed({
    address: text('Address of the group, which nobody has.'),
    domain: opt(domain),
    members: Type.Array(closed({ network, address: text('Address of a host there.') })),
  }),
  /** R1-50: sources that a network's packets to another one have; without `source`, their own again. */
  SetSourcePolicy: closed({
    network,
    to: network,
    source: opt(
      closed({ addresses: prefix, ports: Type.Array(port, { minItems: 2, maxItems: 2, description: 'The first and the last one.' }) }),
    ),
  }),
  /** Mode B: where networks can ask for all names. */
  'GetVTH-DNS-Settings': closed({}),
  /** Records that the hub itself holds (R1-44); of those to be removed, all with the name. */
  ModifyManagedDNS: closed({ network, add: opt(Type.Array(managed)), remove: opt(Type.Array(domainName)) }),
} as const;

export const HOST_OPERATIONS = {
  Probe: probeOperation,
  /** Name servers of the host, the first one first. */
  SetIsolatedNetworkDNSServer: closed({ servers: Type.Array(ipv4('Address.'), { minItems: 1, maxItems: 3 }) }),
  /** Asks for a name, and the beacon at every address of the answer who it is. */
  Resolve: closed({
    name: domainName,
    type: opt(Type.Enum(['A', 'AAAA', 'MX', 'SRV', 'HTTPS', 'PTR'], { description: 'Default A; the only one of getent and c-ares.' })),
    server: opt(text('Address of the name server (dig, delv).')),
    tool: opt(
      Type.Enum(['dig', 'delv', 'getent', 'c-ares'], {
        description: 'delv validates by the key of the zone’s own server; getent and c-ares ask the servers that the host was given.',
      }),
    ),
    dnssec: opt(Type.Boolean({ description: 'Asks for signatures (dig).' })),
    tcp: opt(Type.Boolean({ description: 'By TCP (dig).' })),
  }),
} as const;

export const AIN_OPERATIONS = {
  /** Forgets all actions: any of them can be had again. */
  Flush: closed({}),
  /** An injected fault: what the control plane tells it changes nothing, until it is off again. */
  IgnoreControl: closed({ on: Type.Boolean() }),
  /** What it counts of each network. */
  GetMetrics: closed({}),
} as const;

export const GATEWAY_OPERATIONS = {
  /** Those that the hub has given it, as its kernel has them. */
  GetRoutes: closed({}),
} as const;

export const ROUTER_OPERATIONS = {
  /** By BGP, of its network's prefixes: these, and no others. */
  AnnounceRoutes: closed({ prefixes: Type.Array(prefix) }),
  /** Those that it has learned by BGP, as its kernel has them. */
  GetRoutes: closed({}),
} as const;

export const OPERATIONS: Partial<Record<Role, Readonly<Record<string, TSchema>>>> = {
  control: CONTROL_OPERATIONS,
  host: HOST_OPERATIONS,
  ain: AIN_OPERATIONS,
  gateway: GATEWAY_OPERATIONS,
  router: ROUTER_OPERATIONS,
};

/** The prefix in its usual form, or a refusal: InvalidRequest. */
export const checkedPrefix = (value: string): string =>
  parsePrefix(value) ? value : refuse('InvalidRequest', `"${value}" is no prefix: an address with no bits beyond its length`);

/** The address, or a refusal: InvalidRequest. */
export const checkedAddress = (value: string): Address => parseAddress(value) ?? refuse('InvalidRequest', `"${value}" is no address`);
