/**
 * The uplink's HTB tree and the steering into it, as tc and nft lines. Pure.
 *
 *   1:      root            unknown senders -> 1:2
 *   1:1     the link
 *   1:2       leaf          whatever is not a vNIC's (kept small)
 *   1:10…     one per vNIC  rate = minimum, ceil = maximum (or the link)
 *               leaf        destinations that are not congested
 *               leaves      one dynamic limiter per congested remote vNIC, ceil = explicit rate
 *
 * nftables sets skb->priority by (source, destination) MAC on egress, which HTB takes as the class: one hash
 * lookup, however many limiters there are.
 */
import { burstBytes } from '../../src/fabric/shaping.ts';
import type { Vnic } from './config.ts';

const FRAME_BYTES = 1514;
export const NFT_TABLE = 'gatekeeper';
export const PAIR_SET = 'pairs';
const STRAY_BPS = 1_000_000;
/**
 * Packets per leaf. Userspace Open vSwitch sends through one packet socket whose buffer counts what is queued
 * here: leaves must overflow long before the socket does, or one tenant's backlog drops another's packets.
 */
const LEAF_PACKETS = 24;
/**
 * The tree is this much slower than the link. At exactly its rate a queue that ever builds up behind the tree, in
 * the NIC or the switch, would never drain, and its overflow would hit every tenant alike.
 */
const LINK_HEADROOM = 0.005;
/** Leaves borrow everything from their vNIC, whose own rate is the guarantee. */
const LEAF_RATE_BPS = 8000;

const hex = (minor: number): string => `1:${minor.toString(16)}`;

/** Short: the bursts of all senders of a vNIC meet in the queue of one switch port. */
const BURST_MS = 1;

const rateArguments = (rateBps: number, ceilBps: number): string => {
  const b = burstBytes(ceilBps, BURST_MS);
  return `rate ${Math.round(rateBps)}bit ceil ${Math.round(ceilBps)}bit burst ${b}b cburst ${b}b quantum ${FRAME_BYTES}`;
};

/** vNIC number `index` owns class 16+index*2 (inner) and the next one (its default leaf). */
export const vnicClass = (index: number): number => 0x10 + index * 2;
export const vnicLeaf = (index: number): number => vnicClass(index) + 1;
/** Limiters are numbered from here, above every vNIC class. */
export const FIRST_LIMITER = 0x1000;

export function treeLines(device: string, uplinkBps: number, vnics: readonly Vnic[]): string[] {
  const linkBps = uplinkBps * (1 - LINK_HEADROOM);
  return [
    `qdisc replace dev ${device} root handle 1: htb default 2`,
    `class add dev ${device} parent 1: classid 1:1 htb ${rateArguments(linkBps, linkBps)}`,
    ...leafLines(device, 1, 2, STRAY_BPS, STRAY_BPS),
    ...vnics.flatMap((vnic, i) => [
      `class add dev ${device} parent 1:1 classid ${hex(vnicClass(i))} htb ${rateArguments(vnic.minBps * (1 - LINK_HEADROOM), Math.min(vnic.maxBps ?? linkBps, linkBps))}`,
      ...leafLines(device, vnicClass(i), vnicLeaf(i), LEAF_RATE_BPS, Math.min(vnic.maxBps ?? linkBps, linkBps)),
    ]),
  ];
}

function leafLines(device: string, parent: number, minor: number, rateBps: number, ceilBps: number): string[] {
  return [
    `class add dev ${device} parent ${hex(parent)} classid ${hex(minor)} htb ${rateArguments(rateBps, ceilBps)}`,
    `qdisc add dev ${device} parent ${hex(minor)} handle ${minor.toString(16)}: pfifo limit ${LEAF_PACKETS}`,
  ];
}

export const addLimiter = (device: string, vnicIndex: number, minor: number, rateBps: number): string[] => leafLines(device, vnicClass(vnicIndex), minor, LEAF_RATE_BPS, rateBps);
export const changeLimiter = (device: string, vnicIndex: number, minor: number, rateBps: number): string =>
  `class change dev ${device} parent ${hex(vnicClass(vnicIndex))} classid ${hex(minor)} htb ${rateArguments(LEAF_RATE_BPS, rateBps)}`;
export const removeLimiter = (device: string, minor: number): string => `class del dev ${device} classid ${hex(minor)}`;
export const removeTree = (device: string): string => `qdisc del dev ${device} root`;

export function steeringTable(device: string, vnics: readonly Vnic[], counterTimeoutMs: number): string {
  const elements = vnics.map((vnic, i) => `${vnic.mac} : ${hex(vnicLeaf(i))}`).join(', ');
  return `table netdev ${NFT_TABLE} {
  map vnics { typeof ether saddr : meta priority; ${elements ? `elements = { ${elements} }` : ''}
  }
  map limiters { typeof ether saddr . ether daddr : meta priority; size 4096;
  }
  set ${PAIR_SET} { typeof ether daddr . ether saddr; size 4096; flags dynamic,timeout; timeout ${counterTimeoutMs}ms; counter;
  }
  chain egress { type filter hook egress device "${device}" priority 0; policy accept;
    meta priority set ether saddr map @vnics
    meta priority set ether saddr . ether daddr map @limiters
  }
  chain ingress { type filter hook ingress device "${device}" priority 0; policy accept;
    update @${PAIR_SET} { ether daddr . ether saddr counter }
  }
}
`;
}

export const steer = (sender: string, receiver: string, minor: number): string => `add element netdev ${NFT_TABLE} limiters { ${sender} . ${receiver} : ${hex(minor)} }`;
export const unsteer = (sender: string, receiver: string): string => `delete element netdev ${NFT_TABLE} limiters { ${sender} . ${receiver} }`;

/** OpenFlow: a vNIC may only send as itself, and nobody but the fabric may send as another. */
export const antiSpoofFlows = (uplink: string, vnics: readonly Vnic[]): string[] => [
  `priority=10,in_port=${uplink},actions=NORMAL`,
  ...vnics.flatMap((vnic) => [`priority=10,in_port=${vnic.port},dl_src=${vnic.mac},actions=NORMAL`, `priority=5,in_port=${vnic.port},actions=drop`]),
  'priority=0,actions=drop',
];
