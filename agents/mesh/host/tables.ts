/**
 * Tables of a switcher, and what flows of several kinds have in common. Pure.
 *
 *   from       from whom: an endpoint sends as itself only, and its network's identifier is its packets' metadata; from the tunnel, the
 *              identifier is its key. ARP and neighbour discovery are answered here.
 *   to         where to, by network and address: the destination's MAC address, its network's identifier and its host. What is not known
 *              goes to the on-host controller, or to a gateway.
 *   reply      to a peer that may only be answered: replies to what it began pass.
 *   gateways   to the gateway of a slot that connections are hashed to.
 *   chosen     to a balancer: connections that have their backend; learned by `remember`.
 *   remember   the backend that was chosen for a connection is its backend from then on.
 *   backends   to a balancer's backend: that of the connection, or that of its slot.
 *   arrive     to an endpoint here: connections that such a peer begins are remembered.
 *   deliver    to the endpoint's port.
 *   advertise  answers to neighbour solicitations, whose fields a switch sets only in what is an advertisement already.
 */
import type { Action, Flow } from '../../lib/openflow/index.ts';
import type { Destination } from '../rows.ts';

export const TABLE = {
  from: 0,
  to: 1,
  reply: 2,
  gateways: 3,
  chosen: 4,
  remember: 5,
  backends: 6,
  arrive: 7,
  deliver: 8,
  advertise: 9,
} as const;
/** asked: prefixes that the on-host controller knows whom to ask about. pool: what gateways know. */
export const PRIORITY = { own: 20, usual: 10, asked: 5, pool: 2, else: 1 } as const;

/** Port of the switch that packets leave by to any host. */
export const TUNNEL = 'mesh0';
/** What endpoints take for their router, and for every neighbour. */
export const ROUTER_MAC = '02:6d:65:73:68:01';
export const ROUTER_ADDRESS = '169.254.1.1';

export const MISS_METER = 1;
/** Of flows of destinations, with their number: told apart from those of misses, whose cookie is the network's identifier. */
export const DESTINATION_COOKIE = 0x1_0000_0000;
/** Of neighbour solicitations. */
export const SOLICITATION_COOKIE = 0x2_0000_0000;
/** Of answers to questions whether a backend lives. */
export const HEALTH_COOKIE = 0x3_0000_0000;

/** `advertises`: its switch changes fields of neighbour discovery, which that of the kernel does not. */
export interface HostTraits {
  readonly name: string;
  readonly advertises: boolean;
  /** Whatever comes to it comes by the tunnel. */
  readonly isGateway: boolean;
}

/** To a packet of this network that nothing is known of. */
export const asking = (vnid: number): Pick<Flow, 'cookie' | 'meter' | 'actions'> => ({
  cookie: vnid,
  meter: MISS_METER,
  actions: [{ to: 'controller' }],
});

export const wayTo = (to: Destination, { name, isGateway }: HostTraits): Pick<Flow, 'actions' | 'metadata' | 'goto'> =>
  to.host === name
    ? { actions: addressed(to.mac), metadata: to.vnid, goto: TABLE.arrive }
    : { actions: [...addressed(to.mac), ...intoTunnel(to.vnid, to.via, isGateway)] };

const addressed = (mac: string): Action[] => [
  { set: 'ethSrc', value: ROUTER_MAC },
  { set: 'ethDst', value: mac },
];

/** `isBack`: it came by the tunnel. */
export const intoTunnel = (vnid: number, via: string, isBack = false): Action[] => [
  { set: 'tunnelId', value: vnid },
  { set: 'tunnelDst', value: via },
  isBack ? { to: 'inPort' } : { output: TUNNEL },
];
