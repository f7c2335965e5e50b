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
/** Short: the bursts of all senders of a vNIC meet in the queue of one switch port. */
const BURST_MS = 1;

export const classId = (minor: number): string => `1:${minor.toString(16)}`;

/** Every vNIC of a server has a slot: two classes of the tree. */
export const MAX_VNICS = 1024;
export const vnicClass = (slot: number): number => 0x10 + slot * 2;
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

const rateArguments = (rateBps: number, ceilBps: number): string => {
  const b = burstBytes(ceilBps, BURST_MS);
  return `rate ${Math.round(rateBps)}bit ceil ${Math.round(ceilBps)}bit burst ${b}b cburst ${b}b quantum ${FRAME_BYTES}`;
};
const usable = (uplink: Uplink): number => uplink.rateBps * (1 - LINK_HEADROOM);
const classLine = (verb: 'add' | 'change', { device }: Uplink, parent: number, minor: number, rateBps: number, ceilBps: number): string =>
  `class ${verb} dev ${device} parent ${classId(parent)} classid ${classId(minor)} htb ${rateArguments(rateBps, ceilBps)}`;
const leafLines = (uplink: Uplink, parent: number, minor: number, rateBps: number, ceilBps: number): string[] => [
  classLine('add', uplink, parent, minor, rateBps, ceilBps),
  `qdisc add dev ${uplink.device} parent ${classId(minor)} handle ${minor.toString(16)}: pfifo limit ${LEAF_PACKETS}`,
];

/** Replaces whatever tree is there; the first line fails where there is none, which is no matter. */
export const treeLines = (uplink: Uplink): string[] => [
  `qdisc del dev ${uplink.device} root`,
  `qdisc add dev ${uplink.device} root handle 1: htb default 2`,
  `class add dev ${uplink.device} parent 1: classid 1:1 htb ${rateArguments(usable(uplink), usable(uplink))}`,
  ...leafLines(uplink, 1, 2, STRAY_BPS, STRAY_BPS),
];
export const removeTree = (uplink: Uplink): string[] => [`qdisc del dev ${uplink.device} root`];

/** A vNIC's two classes: added, or changed in place without touching what is queued. */
export function vnicLines(verb: 'add' | 'change', uplink: Uplink, slot: number, { minBps, maxBps }: Contract): string[] {
  const ceilBps = Math.min(maxBps ?? usable(uplink), usable(uplink));
  const inner = classLine(verb, uplink, 1, vnicClass(slot), minBps * (1 - LINK_HEADROOM), ceilBps);
  if (verb === 'add') return [inner, ...leafLines(uplink, vnicClass(slot), vnicLeaf(slot), LEAF_RATE_BPS, ceilBps)];
  return [inner, classLine(verb, uplink, vnicClass(slot), vnicLeaf(slot), LEAF_RATE_BPS, ceilBps)];
}
export const removeVnic = ({ device }: Uplink, slot: number): string[] => [vnicLeaf(slot), vnicClass(slot)].map((minor) => `class del dev ${device} classid ${classId(minor)}`);

export const addLimiter = (uplink: Uplink, slot: number, minor: number, rateBps: number): string[] => leafLines(uplink, vnicClass(slot), minor, LEAF_RATE_BPS, rateBps);
export const changeLimiter = (uplink: Uplink, slot: number, minor: number, rateBps: number): string => classLine('change', uplink, vnicClass(slot), minor, LEAF_RATE_BPS, rateBps);
export const removeLimiter = ({ device }: Uplink, minor: number): string => `class del dev ${device} classid ${classId(minor)}`;
