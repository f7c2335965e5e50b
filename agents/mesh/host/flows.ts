/**
 * The programmable packet switcher as OpenFlow flows (R2 section 2). The six inputs of the design meet in two steps, so that a host has a
 * flow for each of its endpoints and one for each destination, not one for each pair. Pure.
 *
 *   table 0  from whom: an endpoint sends as itself only, and its network's identifier is its packets' metadata; from the tunnel, the
 *            identifier is its key. ARP and neighbour discovery are answered here.
 *   table 1  where to, by network and address: the destination's MAC address, its network's identifier and its host. What is not known
 *            goes to the on-host controller.
 *   table 2  to a peer that may only be answered: replies to what it began pass.
 *   table 3  to an endpoint here: connections that such a peer begins are remembered.
 *   table 4  to the endpoint's port.
 *   table 5  answers to neighbour solicitations, whose fields a switch sets only in what is an advertisement already.
 */
import type { Action, Flow, Match } from '../../lib/openflow/index.ts';
import type { DestinationItem, EndpointItem, Item, MovedItem, RepliesItem } from './items.ts';

/** Port of the switch that packets leave by to any host. */
export const TUNNEL = 'mesh0';
/** What endpoints take for their router, and for every neighbour. */
export const ROUTER_MAC = '02:6d:65:73:68:01';
const TABLE = { from: 0, to: 1, reply: 2, arrive: 3, deliver: 4, advertise: 5 } as const;
const PRIORITY = { own: 20, usual: 10, else: 1 } as const;
/** Where destinations are. */
export const DESTINATIONS_TABLE = TABLE.to;
export const MISS_METER = 1;
/** Of destinations, with their number: told apart from those of misses, whose cookie is the network's identifier. */
export const DESTINATION_COOKIE = 0x1_0000_0000;
/** Of neighbour solicitations. */
export const SOLICITATION_COOKIE = 0x2_0000_0000;

/** `host`: its name, and whether its switch changes fields of neighbour discovery, which that of the kernel does not. */
export function flowsOf(item: Item, host: { readonly name: string; readonly advertises: boolean }): Flow[] {
  switch (item.kind) {
    case 'endpoint':
      return endpointFlows(item, host.advertises);
    case 'moved':
      return movedFlows(item);
    case 'replies':
      return repliesFlows(item);
    case 'destination':
      return destinationFlows(item, host.name);
  }
}

const isV6 = (address: string): boolean => address.includes(':');
/** A zone of conntrack has 16 bits; the peers of two networks of a host that share one would have to have the same addresses too. */
const zoneOf = (vnid: number): number => (vnid % 0xffff) + 1;

function endpointFlows({ vnid, port, mac, addresses, prefixes }: EndpointItem, advertises: boolean): Flow[] {
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
    ...prefixes.map((ipSrc) => from(PRIORITY.usual, { ipSrc }, { metadata: vnid, goto: TABLE.to })),
    from(PRIORITY.usual, { arp: { operation: 1 } }, { actions: ARP_ANSWER }),
    ...(addresses.some(isV6)
      ? [from(PRIORITY.usual + 1, { neighbour: { kind: 'solicitation' } }, advertises ? NEIGHBOUR_ANSWER : SOLICITATION)]
      : []),
    { table: TABLE.from, priority: PRIORITY.usual, match: { inPort: TUNNEL, tunnelId: vnid }, metadata: vnid, goto: TABLE.arrive },
    {
      table: TABLE.to,
      priority: PRIORITY.else,
      match: { metadata: vnid },
      cookie: vnid,
      meter: MISS_METER,
      actions: [{ to: 'controller' }],
    },
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

function destinationFlows({ vnid, address, to, access, number }: DestinationItem, here: string): Flow[] {
  const match = { metadata: vnid, ipDst: address };
  const own = { table: TABLE.to, priority: PRIORITY.usual, cookie: DESTINATION_COOKIE + number, match };
  if (!to) return [own];
  const way =
    to.host === here
      ? { actions: addressed(to.mac), metadata: to.vnid, goto: TABLE.arrive }
      : { actions: [...addressed(to.mac), ...intoTunnel(to.vnid, to.via)] };
  if (access === 'all') return [{ ...own, ...way }];
  return [
    { ...own, actions: [{ track: { zone: zoneOf(vnid), table: TABLE.reply } }] },
    { table: TABLE.reply, priority: PRIORITY.usual, match: { ...match, connection: { state: '+trk+rpl' } }, ...way },
  ];
}

const addressed = (mac: string): Action[] => [
  { set: 'ethSrc', value: ROUTER_MAC },
  { set: 'ethDst', value: mac },
];

/** `isBack`: it came by the tunnel. */
const intoTunnel = (vnid: number, via: string, isBack = false): Action[] => [
  { set: 'tunnelId', value: vnid },
  { set: 'tunnelDst', value: via },
  isBack ? { to: 'inPort' } : { output: TUNNEL },
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
  ...(advertises ? [ADVERTISE] : []),
];
