/**
 * The uplink's HTB tree, as tc lines. Pure.
 *
 *   1:      root            unknown senders -> 1:2
 *   1:1     the link
 *   1:2       leaf          whatever is not a vNIC's (kept small)
 *   1:10…     one per vNIC  rate = minimum, ceil = maximum (or the link)
 *               leaf        destinations that are not congested
 *               leaves      one dynamic limiter per congested remote vNIC, ceil = explicit rate
 */
import { burstBytes } from '../../src/fabric/shaping.ts';

const FRAME_BYTES = 1514;
const STRAY_BPS = 1_000_000;
/**
 * Depth of a leaf's queue, in time at its rate. Userspace Open vSwitch sends through one packet socket whose buffer
 * (some 90 frames) counts what is queued here: leaves must overflow before the socket does, or one tenant's backlog
 * drops another's packets. So what a vNIC is sure of, not what it may borrow, sets the depth of its leaves, and the
 * n-th limiter of a vNIC has an n-th of it.
 */
const QUEUE_MS = 12;
const LEAST_PACKETS = 2;
/** A vNIC with a small guarantee may have the whole link when it is idle, and its TCP needs a queue for that. */
const LEAST_VNIC_PACKETS = 12;
const MOST_PACKETS = 1000;
const queuePackets = (rateBps: number, least: number): number =>
  Math.round(Math.min(MOST_PACKETS, Math.max(least, (rateBps * QUEUE_MS) / 8000 / FRAME_BYTES)));
/** At most, for the n-th limiter of a vNIC. */
export const mostLimiterPackets = (minBps: number, n: number): number =>
  Math.max(LEAST_PACKETS, Math.round(queuePackets(minBps, LEAST_VNIC_PACKETS) / n));
export const limiterPackets = (rateBps: number, most: number): number => Math.min(queuePackets(rateBps, LEAST_PACKETS), most);

/**
 * The tree is this much slower than the link. At exactly its rate a queue that ever builds up behind the tree, in
 * the NIC or the switch, would never drain, and its overflow would hit every tenant alike.
 */
const LINK_HEADROOM = 0.005;
/** Leaves borrow everything from their vNIC, whose own rate is the guarantee. */
const LEAF_RATE_BPS = 8000;
/** Short: the bursts of all senders of a vNIC meet in the queue of one switch port. */
const BURST_MS = 1;

export const classId = (minor: number): string => `1:${minor.toString(16)}`;

/** Every vNIC of a server has a slot: two classes of the tree. */
export const MAX_VNICS = 1024;
const vnicClass = (slot: number): number => 0x10 + slot * 2;
export const vnicLeaf = (slot: number): number => vnicClass(slot) + 1;
/** Limiters are numbered from here, above every vNIC's classes. */
export const FIRST_LIMITER = 0x1000;

export interface Contract {
  readonly minBps: number;
  readonly maxBps: number | null;
}

export interface Uplink {
  readonly device: string;
  readonly rateBps: number;
}

/**
 * Limiters slower than a frame per BURST_MS get a burst of a part of a frame. HTB lets a frame go while there is any
 * credit, so the rate is kept, and the second frame comes after the part of the interval that the burst leaves. With a
 * part of its own each, a hundred senders that are limited in the same period do not send in step for ever after.
 */
const limiterBurst = (rateBps: number, part: number): number =>
  (rateBps * BURST_MS) / 8000 >= FRAME_BYTES ? burstBytes(rateBps, BURST_MS) : Math.max(1, Math.round(part * FRAME_BYTES));

const rateArguments = (rateBps: number, ceilBps: number, burst = burstBytes(ceilBps, BURST_MS)): string =>
  `rate ${Math.round(rateBps)}bit ceil ${Math.round(ceilBps)}bit burst ${burst}b cburst ${burst}b quantum ${FRAME_BYTES}`;
const usable = (uplink: Uplink): number => uplink.rateBps * (1 - LINK_HEADROOM);
const classLine = (
  verb: 'add' | 'change',
  { device }: Uplink,
  parent: number,
  minor: number,
  rateBps: number,
  ceilBps: number,
  burst?: number,
): string =>
  `class ${verb} dev ${device} parent ${classId(parent)} classid ${classId(minor)} htb ${rateArguments(rateBps, ceilBps, burst)}`;
const queueLine = (verb: 'add' | 'change', { device }: Uplink, minor: number, packets: number): string =>
  `qdisc ${verb} dev ${device} parent ${classId(minor)} handle ${minor.toString(16)}: pfifo limit ${packets}`;
const leafLines = (uplink: Uplink, parent: number, minor: number, ceilBps: number, packets: number): string[] => [
  classLine('add', uplink, parent, minor, Math.min(LEAF_RATE_BPS, ceilBps), ceilBps),
  queueLine('add', uplink, minor, packets),
];

export const treeLines = (uplink: Uplink): string[] => [
  `qdisc add dev ${uplink.device} root handle 1: htb default 2`,
  `class add dev ${uplink.device} parent 1: classid 1:1 htb ${rateArguments(usable(uplink), usable(uplink))}`,
  ...leafLines(uplink, 1, 2, STRAY_BPS, LEAST_PACKETS),
];
export const removeTree = (uplink: Uplink): string[] => [`qdisc del dev ${uplink.device} root`];

/** A vNIC's two classes: added, or changed in place without touching what is queued. */
export function vnicLines(verb: 'add' | 'change', uplink: Uplink, slot: number, { minBps, maxBps }: Contract): string[] {
  const ceilBps = Math.min(maxBps ?? usable(uplink), usable(uplink));
  const inner = classLine(verb, uplink, 1, vnicClass(slot), minBps * (1 - LINK_HEADROOM), ceilBps);
  const packets = queuePackets(minBps, LEAST_VNIC_PACKETS);
  if (verb === 'add') return [inner, ...leafLines(uplink, vnicClass(slot), vnicLeaf(slot), ceilBps, packets)];
  return [
    inner,
    classLine(verb, uplink, vnicClass(slot), vnicLeaf(slot), LEAF_RATE_BPS, ceilBps),
    queueLine(verb, uplink, vnicLeaf(slot), packets),
  ];
}
export const removeVnic = ({ device }: Uplink, slot: number): string[] =>
  [vnicLeaf(slot), vnicClass(slot)].map((minor) => `class del dev ${device} classid ${classId(minor)}`);

export interface LimiterSettings {
  readonly rateBps: number;
  /** Depth of its queue. */
  readonly packets: number;
  /** Between 0 and 1, at random, for good. */
  readonly part: number;
}

export const addLimiter = (uplink: Uplink, slot: number, minor: number, settings: LimiterSettings): string[] => [
  limiterLine('add', uplink, slot, minor, settings),
  queueLine('add', uplink, minor, settings.packets),
];
export function changeLimiter(uplink: Uplink, slot: number, minor: number, before: LimiterSettings, after: LimiterSettings): string[] {
  const line = limiterLine('change', uplink, slot, minor, after);
  return before.packets === after.packets ? [line] : [line, queueLine('change', uplink, minor, after.packets)];
}
const limiterLine = (verb: 'add' | 'change', uplink: Uplink, slot: number, minor: number, { rateBps, part }: LimiterSettings): string =>
  classLine(verb, uplink, vnicClass(slot), minor, Math.min(LEAF_RATE_BPS, rateBps), rateBps, limiterBurst(rateBps, part));
export const removeLimiter = ({ device }: Uplink, minor: number): string => `class del dev ${device} classid ${classId(minor)}`;
