/**
 * The programmable packet switcher as OpenFlow flows (R2 section 2). The six inputs of the design meet in two steps, so that a host has a
 * flow for each of its endpoints and one for each destination, not one for each pair. Pure.
 */
import type { Action, Flow, Match } from '../../lib/openflow/index.ts';
import type { DestinationItem, EndpointItem, GatewayItem, Item, MovedItem, RepliesItem } from './items.ts';
import { balancedFlows, poolFlows, REMEMBERING } from './shares.ts';
import {
  asking,
  DESTINATION_COOKIE,
  HEALTH_COOKIE,
  intoTunnel,
  MISS_METER,
  PRIORITY,
  ROUTER_ADDRESS,
  ROUTER_MAC,
  SOLICITATION_COOKIE,
  TABLE,
  TUNNEL,
  wayTo,
  type HostTraits,
} from './tables.ts';

export function flowsOf(item: Item, host: HostTraits): Flow[] {
  switch (item.kind) {
    case 'endpoint':
      return endpointFlows(item, host.advertises);
    case 'moved':
      return movedFlows(item);
    case 'replies':
      return repliesFlows(item);
    case 'destination':
      return destinationFlows(item, host);
    case 'balanced':
      return balancedFlows(item, host);
    case 'pool':
      return poolFlows(item);
    case 'gateway':
      return gatewayFlows(item);
  }
}

/** Hosts that its packets go to. */
export function hostsOf(item: Item): string[] {
  switch (item.kind) {
    case 'moved':
      return [item.via];
    case 'destination':
      return item.to ? [item.to.via] : [];
    case 'balanced':
      return item.ways.map((w) => w.to.via);
    case 'pool':
      return item.members.filter((m) => m.isThere).map((m) => m.address);
    default:
      return [];
  }
}

const isV6 = (address: string): boolean => address.includes(':');
/** A zone of conntrack has 16 bits; the peers of two networks of a host that share one would have to have the same addresses too. */
const zoneOf = (vnid: number): number => (vnid % 0xffff) + 1;

function endpointFlows({ vnid, port, mac, addresses, prefixes, serves }: EndpointItem, advertises: boolean): Flow[] {
  const from = (priority: number, match: Match, rest: Partial<Flow>): Flow => ({
    table: TABLE.from,
    priority,
    match: { inPort: port, ethSrc: mac, ...match },
    ...rest,
  });
  return [
    ...addresses.flatMap((address): Flow[] =>
      isV6(address)
        ? [
            from(PRIORITY.usual, { ipSrc: address }, { metadata: vnid, goto: TABLE.to }),
            // Its own address it may look for, to be sure that nobody else has it.
            from(PRIORITY.own, { neighbour: { kind: 'solicitation', target: address } }, {}),
          ]
        : [
            from(PRIORITY.usual, { ipSrc: address }, { metadata: vnid, goto: TABLE.to }),
            from(PRIORITY.own, { arp: { operation: 1, targetIp: address } }, {}),
          ],
    ),
    ...[...prefixes, ...serves].map((ipSrc) => from(PRIORITY.usual, { ipSrc }, { metadata: vnid, goto: TABLE.to })),
    ...serves.map((ipSrc) =>
      from(
        PRIORITY.own,
        { ipSrc, ipDst: ROUTER_ADDRESS, protocol: 'tcp' },
        { cookie: HEALTH_COOKIE, meter: MISS_METER, actions: [{ to: 'controller' }] },
      ),
    ),
    from(PRIORITY.usual, { arp: { operation: 1 } }, { actions: ARP_ANSWER }),
    ...(addresses.some(isV6)
      ? [from(PRIORITY.usual + 1, { neighbour: { kind: 'solicitation' } }, advertises ? NEIGHBOUR_ANSWER : SOLICITATION)]
      : []),
    { table: TABLE.from, priority: PRIORITY.usual, match: { inPort: TUNNEL, tunnelId: vnid }, metadata: vnid, goto: TABLE.arrive },
    missFlow(vnid),
    { table: TABLE.arrive, priority: PRIORITY.else, match: { metadata: vnid }, goto: TABLE.deliver },
    { table: TABLE.deliver, priority: PRIORITY.usual, match: { metadata: vnid, ethDst: mac }, actions: [{ output: port }] },
  ];
}

/** To a peer that comes by the tunnel, back into it. */
function movedFlows({ vnid, mac, via }: MovedItem): Flow[] {
  return [
    { table: TABLE.from, priority: PRIORITY.usual, match: { inPort: TUNNEL, tunnelId: vnid }, metadata: vnid, goto: TABLE.arrive },
    { table: TABLE.arrive, priority: PRIORITY.else, match: { metadata: vnid }, goto: TABLE.deliver },
    { table: TABLE.deliver, priority: PRIORITY.usual, match: { metadata: vnid, ethDst: mac }, actions: intoTunnel(vnid, via, true) },
  ];
}

function repliesFlows({ vnid, prefixes }: RepliesItem): Flow[] {
  return prefixes.map((ipSrc): Flow => ({
    table: TABLE.arrive,
    priority: PRIORITY.usual,
    match: { metadata: vnid, ipSrc },
    actions: [{ track: { zone: zoneOf(vnid), commit: true, table: TABLE.deliver } }],
  }));
}

function destinationFlows({ vnid, address, to, access, number }: DestinationItem, host: HostTraits): Flow[] {
  const match = { metadata: vnid, ipDst: address };
  const own = { table: TABLE.to, priority: PRIORITY.usual, cookie: DESTINATION_COOKIE + number, match };
  // A gateway does not see both directions, so that it can not tell replies.
  if (!to || (access === 'replies' && host.isGateway)) return [own];
  if (access === 'all') return [{ ...own, ...wayTo(to, host) }];
  return [
    { ...own, actions: [{ track: { zone: zoneOf(vnid), table: TABLE.reply } }] },
    { table: TABLE.reply, priority: PRIORITY.usual, match: { ...match, connection: { state: '+trk+rpl' } }, ...wayTo(to, host) },
  ];
}

const missFlow = (vnid: number): Flow => ({ table: TABLE.to, priority: PRIORITY.else, match: { metadata: vnid }, ...asking(vnid) });

/** From endpoints of the network anywhere. */
const gatewayFlows = ({ vnid }: GatewayItem): Flow[] => [
  { table: TABLE.from, priority: PRIORITY.usual, match: { inPort: TUNNEL, tunnelId: vnid }, metadata: vnid, goto: TABLE.to },
  missFlow(vnid),
];

/** Whoever is asked for is reached by the router. */
const ARP_ANSWER: readonly Action[] = [
  { copy: 'ethSrc', into: 'ethDst' },
  { set: 'ethSrc', value: ROUTER_MAC },
  { set: 'arpOperation', value: 2 },
  { copy: 'arpTargetIp', into: 'reg0' },
  { copy: 'arpSenderIp', into: 'arpTargetIp' },
  { copy: 'reg0', into: 'arpSenderIp' },
  { copy: 'arpSenderMac', into: 'arpTargetMac' },
  { set: 'arpSenderMac', value: ROUTER_MAC },
  { to: 'inPort' },
];

/** RFC 4861: solicited, and in place of what was known. */
const ADVERTISEMENT_FLAGS = 0x6000_0000;
const [ADVERTISEMENT, TARGET_ADDRESS] = [136, 2];
/** The on-host controller answers. */
const SOLICITATION: Pick<Flow, 'actions' | 'cookie'> = { cookie: SOLICITATION_COOKIE, actions: [{ to: 'controller' }] };
const NEIGHBOUR_ANSWER: Pick<Flow, 'actions' | 'goto'> = {
  actions: [
    { copy: 'ethSrc', into: 'ethDst' },
    { set: 'ethSrc', value: ROUTER_MAC },
    { copy: 'ipv6Src', into: 'ipv6Dst' },
    { copy: 'ndTarget', into: 'ipv6Src' },
    { set: 'icmpv6Type', value: ADVERTISEMENT },
  ],
  goto: TABLE.advertise,
};
const ADVERTISE: Flow = {
  table: TABLE.advertise,
  priority: PRIORITY.usual,
  match: { neighbour: { kind: 'advertisement' } },
  actions: [
    { set: 'ndReserved', value: ADVERTISEMENT_FLAGS },
    { set: 'ndOption', value: TARGET_ADDRESS },
    { set: 'ndTargetMac', value: ROUTER_MAC },
    { to: 'inPort' },
  ],
};

/** Of a switch without any endpoint: nothing passes. */
export const nothing = (advertises: boolean): Flow[] => [
  ...Object.values(TABLE).map((table): Flow => ({ table, priority: 0, match: {} })),
  ...REMEMBERING,
  ...(advertises ? [ADVERTISE] : []),
];
