/**
 * What the etcd of a controller holds: keys, and what is under them (R2 section 5). Names and addresses have no slash, so that a part of a
 * key never looks like two.
 */
import { Type } from 'typebox';
import { nullable } from '../../src/core/config/parts.ts';
import type { Described } from '../../src/core/readonly.ts';
import { just, under, type Range } from '../lib/etcd/client.ts';

/** What the others may do with what a network exports to them: begin connections, or only answer those that it began (R2-8). */
export const access = Type.Enum(['all', 'replies']);
export type Access = 'all' | 'replies';

/** Rows may be another network's owner's: they are held against what they must be. */
const ipv4 = Type.String({ pattern: '^(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}$' });
const mac = Type.String({ pattern: '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' });
const vnid = Type.Integer({ minimum: 1, maximum: 0xffffff });
const prefixes = Type.Array(Type.String({ pattern: '^[0-9a-fA-F:.]{2,39}/[0-9]{1,3}$' }));

const place = Type.Object({ name: Type.String(), address: ipv4 });

/** What an endpoint serves as a backend of a balancer (R2 section 3.7). */
const service = Type.Object({
  /** Of the balancer, and of those of peers that it stands in for: the endpoint sends from them, too. */
  addresses: Type.Array(ipv4, { minItems: 1 }),
  /** Of TCP, where it is asked whether it lives. */
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  /** Of what comes to the endpoint. */
  capacityBps: Type.Number({ exclusiveMinimum: 0 }),
});
export type Service = Described<typeof service>;

/** Endpoint meta-service, for a host: an endpoint that is there, or was there before and is now on the host with the address `via`. */
export const localEndpoint = Type.Object({
  vnid,
  addresses: Type.Array(Type.String()),
  mac,
  via: nullable(ipv4),
  /** What is behind it: it sends for these, too. */
  prefixes,
  services: Type.Array(service),
});
export type LocalEndpoint = Described<typeof localEndpoint>;

/** Introduction of a host to the controllers of peers: it carries endpoints of the network. Signed by the network's controller. */
export const membership = Type.Object({
  host: Type.String({ maxLength: 64 }),
  network: Type.String({ maxLength: 64 }),
  controller: Type.String({ maxLength: 64 }),
  untilMs: Type.Number(),
  signature: Type.String({ maxLength: 128 }),
});
export type Membership = Described<typeof membership>;

/** By whom packets to a peer go: by nobody else than the two hosts, or by the pool of gateways, which knows all networks. */
export const via = Type.Enum(['direct', 'gateways']);
export type Via = 'direct' | 'gateways';

/** Peering service: whom endpoints of a network may reach, how, and whom to ask (R2-5). */
export const peering = Type.Object({ vnid, controller: place, via });
export type PeeringRow = Described<typeof peering>;

/** Gateways that a network's packets may go by. Packets of one that is lost go by the others until it is back. */
export const pool = Type.Object({ members: Type.Array(Type.Object({ ...place.properties, isThere: Type.Boolean() })) });
export type Pool = Described<typeof pool>;

/** What a network's owner agrees to, for the controller of the peer. Both must. `set`: what is published for it. */
export const consent = Type.Object({ vnid, controller: place });
export type Consent = Described<typeof consent>;

/** What becomes of an introduction. */
export const admission = Type.Union([
  Type.Object({ set: Type.String(), access, untilMs: Type.Number() }),
  Type.Object({ refused: Type.Enum(['forged', 'expired', 'not agreed']) }),
]);
export type Admission = Described<typeof admission>;

/** Destination service: what the addresses of a set are in, which does not grow with them, and prefixes behind routers. */
export const summary = Type.Object({
  prefixes,
  routes: prefixes,
  /** Grows after rows have changed that hosts must follow before it is acknowledged. */
  version: Type.Integer(),
});
export type Summary = Described<typeof summary>;

/** Destination and forwarding service: what an address is, and where. */
export const destination = Type.Object({
  endpoint: Type.String(),
  vnid,
  mac,
  /** Host, and its address on the underlay. */
  host: Type.String(),
  via: ipv4,
});
export type Destination = Described<typeof destination>;

/** Load-balancer service: an address of several endpoints. Each takes a share of new connections, and keeps those that it has. */
export const balanced = Type.Object({
  balancer: Type.String(),
  /** Those that live. `weight`: of new connections; 0 where it has no capacity to spare. */
  backends: Type.Array(Type.Object({ ...destination.properties, weight: Type.Integer({ minimum: 0, maximum: 100 }) })),
  /** Balancer of a peer that connections go to that these can not take. */
  overflow: nullable(Type.Object({ address: ipv4, weight: Type.Integer({ minimum: 0, maximum: 100 }) })),
});
export type Balanced = Described<typeof balanced>;

/** What is at an address. */
export const target = Type.Union([destination, balanced]);
export type Target = Destination | Balanced;
export const isBalanced = (to: Target | null): to is Balanced => to !== null && 'balancer' in to;

/** What a host says of a backend that is on it. */
export const load = Type.Object({ isAlive: Type.Boolean(), loadBps: Type.Number({ minimum: 0 }) });
export type Load = Described<typeof load>;

/** What a router of a network has learned. */
export const learned = Type.Object({ prefixes });

export type Learned = Described<typeof learned>;

/** Routes that a network exports to a peer, for the controller of that: they are compared there (R2 section 3.5). */
export const offered = Type.Object({ vnid, prefixes });

/** Whose route to a prefix a network uses, and why. */
export const winner = Type.Object({ network: Type.String(), rule: Type.Enum(['only', 'local', 'preference', 'identifier']) });
export type WinnerRow = Described<typeof winner>;

/** Set of all that a network has, for itself. */
export const OWN_SET = 'own';

/** A prefix as part of a key. */
const inKey = (prefix: string): string => prefix.replace('/', '_');
export const prefixInKey = (part: string): string => part.replace('_', '/');

export const KEYS = {
  state: (network: string) => `/state/${network}`,
  stateEndpoint: (network: string, endpoint: string) => `/state-endpoints/${network}/${endpoint}`,
  grants: (host: string) => `/grants/${host}`,
  readable: (network: string) => `/readable/${network}`,
  endpoint: (host: string, network: string, endpoint: string) => `/endpoints/${host}/${network}/${endpoint}`,
  membership: (host: string, network: string) => `/members/${host}/${network}`,
  introduction: (host: string, network: string, peer: string) => `/introductions/${host}/${network}/${peer}`,
  admission: (host: string, network: string, peer: string) => `/admissions/${host}/${network}/${peer}`,
  /** Version of a network's sets that a host follows; of no network: the revision of what is placed on it. */
  applied: (host: string, network = '') => `/applied/${host}/${network}`,
  /** Of a backend, for the balancer with this address. */
  load: (host: string, network: string, endpoint: string, balancer: string) => `/loads/${host}/${network}/${endpoint}/${balancer}`,
  gateway: (gateway: string) => `/gateways/${gateway}`,
  pool: (network: string) => `/pools/${network}`,
  peering: (network: string, peer: string) => `/peerings/${network}/${peer}`,
  consent: (controller: string, to: string, from: string) => `/consents/${controller}/${to}/${from}`,
  summary: (network: string, set: string) => `/sets/${network}/${set}/summary`,
  learned: (network: string, endpoint: string) => `/learned/${network}/${endpoint}`,
  offer: (controller: string, to: string, from: string) => `/offers/${controller}/${to}/${from}`,
  winner: (network: string, prefix: string) => `/winners/${network}/${inKey(prefix)}`,
  route: (network: string, set: string, prefix: string) => `/sets/${network}/${set}/route/${inKey(prefix)}`,
  destination: (network: string, set: string, address: string) => `/sets/${network}/${set}/at/${address}`,
} as const;

export const RANGES = {
  state: under('/state/'),
  stateEndpoints: under('/state-endpoints/'),
  grants: under('/grants/'),
  readable: under('/readable/'),
  introductions: under('/introductions/'),
  applied: under('/applied/'),
  loads: under('/loads/'),
  gateways: under('/gateways/'),
  pools: under('/pools/'),
  endpoints: under('/endpoints/'),
  memberships: under('/members/'),
  admissions: under('/admissions/'),
  peerings: under('/peerings/'),
  consents: under('/consents/'),
  sets: under('/sets/'),
  learned: under('/learned/'),
  offers: under('/offers/'),
  winners: under('/winners/'),
  learnedBy: (network: string, endpoint: string) => just(KEYS.learned(network, endpoint)),
  offersFor: (controller: string) => under(`/offers/${controller}/`),
  winnersOf: (network: string) => under(`/winners/${network}/`),
  endpointsOf: (host: string) => under(`/endpoints/${host}/`),
  membershipsOf: (host: string) => under(`/members/${host}/`),
  introductionsOf: (host: string) => under(`/introductions/${host}/`),
  admissionsOf: (host: string) => under(`/admissions/${host}/`),
  appliedOf: (host: string) => under(`/applied/${host}/`),
  loadsOf: (host: string) => under(`/loads/${host}/`),
  gateway: (gateway: string) => just(KEYS.gateway(gateway)),
  pool: (network: string) => just(KEYS.pool(network)),
  peeringsOf: (network: string) => under(`/peerings/${network}/`),
  consentsFor: (controller: string) => under(`/consents/${controller}/`),
  set: (network: string, set: string) => under(`/sets/${network}/${set}/`),
} satisfies Readonly<Record<string, Range | ((...names: string[]) => Range)>>;

/** "/peerings/A/B": "peerings", "A", "B". */
export const partsOf = (key: string): string[] => key.split('/').slice(1);

/** Roles of an etcd: who may read or write what. */
export const ROLES = {
  host: (host: string) => `host/${host}`,
  gateway: (gateway: string) => `gateway/${gateway}`,
  network: (network: string) => `network/${network}`,
  /** Of hosts that carry endpoints of a peer: the sets that it may read. */
  peer: (network: string) => `peer/${network}`,
  controller: (controller: string) => `controller/${controller}`,
  router: (network: string, endpoint: string) => `router/${network}/${endpoint}`,
} as const;
