/** What the kernel, or the network, would refuse: said before anything is built. Pure. */
import { isIPv4, isIPv6 } from 'node:net';
import type { Path, Problem } from '../core/config/problems.ts';
import { SWITCH_DEVICE } from '../core/devices.ts';
import { formatRate, parseDurationUs, parseFraction, parseRateBps, parseSizeBytes, splitQuantity } from '../core/units.ts';
import type { ImpairmentFile } from './schema.ts';

/** IFNAMSIZ less its NUL. */
const MAX_DEVICE = 15;
/** Directories beside those of interfaces in /proc/sys/net/ipv4/conf. */
const TAKEN_DEVICES = ['lo', 'all', 'default'];
/** RFC 8200, section 5. */
const MIN_MTU_V6 = 1280;

/** Below, a full frame takes more than a second and a half; above, no machine sends. */
const MIN_RATE_BPS = 8e3;
export const MAX_RATE_BPS = 400e9;
const MAX_DELAY_US = 60e6;
/** tc's limits have 32 bits. */
const MAX_QUEUE_BYTES = 2 ** 32 - 1;

export function deviceProblem(device: string, path: Path): Problem | null {
  if (device.length > MAX_DEVICE)
    return { path, message: `interface name "${device}" has ${device.length} characters; the kernel takes at most ${MAX_DEVICE}` };
  if (TAKEN_DEVICES.includes(device)) return { path, message: `"${device}" cannot name an interface`, hint: 'the kernel has a use for it' };
  return null;
}

/** The bridge of a switch node is one of its devices. */
export const switchDeviceProblem = (device: string, path: Path): Problem | null =>
  device === SWITCH_DEVICE ? { path, message: `"${device}" cannot name a port: the bridge itself is called so` } : null;

export interface Cidr {
  readonly family: 4 | 6;
  /** One text for one address, however it was written. */
  readonly address: string;
  readonly bits: number;
}

/** null: it is no address with a prefix length. */
export function parseCidr(text: string): Cidr | null {
  const [address = '', bits = '', more] = text.split('/');
  if (more !== undefined || !/^\d{1,3}$/.test(bits)) return null;
  if (isIPv4(address)) return Number(bits) <= 32 ? { family: 4, address, bits: Number(bits) } : null;
  if (!isIPv6(address) || Number(bits) > 128) return null;
  return { family: 6, address: new URL(`http://[${address}]`).hostname.slice(1, -1), bits: Number(bits) };
}

export function addressProblem(text: string, mtu: number, path: Path): Problem | null {
  const cidr = parseCidr(text);
  if (!cidr) return { path, message: `"${text}" is not an address with prefix length`, hint: 'e.g. 10.0.0.1/24 or 2001:db8::1/64' };
  const first = Number(cidr.address.split('.')[0]);
  const foreign =
    cidr.family === 4
      ? first === 0 || first === 127 || first >= 224
      : cidr.address === '::' || cidr.address === '::1' || /^ff/.test(cidr.address);
  if (foreign)
    return {
      path,
      message: `"${text}" cannot be the address of an interface`,
      hint: 'multicast, loopback and unspecified addresses are not',
    };
  if (cidr.family === 6 && mtu < MIN_MTU_V6) return { path, message: `IPv6 needs an MTU of at least ${MIN_MTU_V6}; this link has ${mtu}` };
  return null;
}

export function macProblem(mac: string, path: Path): Problem | null {
  if (parseInt(mac.slice(0, 2), 16) % 2 === 1)
    return { path, message: `"${mac}" is a multicast address`, hint: 'the first byte must be even' };
  return /[1-9a-f]/i.test(mac) ? null : { path, message: `"${mac}" is no address of an interface` };
}

export function rateProblem(text: string, path: Path): Problem | null {
  const bps = parseRateBps(text);
  if (bps >= MIN_RATE_BPS && bps <= MAX_RATE_BPS) return null;
  return { path, message: `a rate of ${text}: at least ${formatRate(MIN_RATE_BPS)}, at most ${formatRate(MAX_RATE_BPS)}` };
}

/** Of a link, and of what an event makes of one. */
export function changeProblems(
  { delay, jitter, loss }: { delay?: string | undefined; jitter?: string | undefined; loss?: string | undefined },
  path: Path,
): Problem[] {
  const problems: Problem[] = [];
  if (parseDurationUs(delay ?? '0s') + parseDurationUs(jitter ?? '0s') > MAX_DELAY_US)
    problems.push({ path: [...path, 'delay'], message: 'a delay of more than a minute' });
  if (parseFraction(loss ?? '0%') > 1) problems.push({ path: [...path, 'loss'], message: `a loss of ${loss}: at most 100%` });
  return problems;
}

/** Of one direction of a link. */
export function impairmentProblems({ rate, delay, jitter, loss, queue }: ImpairmentFile, path: Path): Problem[] {
  const problems: Problem[] = [];
  const add = (problem: Problem | null): void => {
    if (problem) problems.push(problem);
  };
  if (rate !== undefined && rate !== 'none') add(rateProblem(rate, [...path, 'rate']));
  const delayUs = parseDurationUs(delay ?? '0s');
  const jitterUs = parseDurationUs(jitter ?? '0s');
  problems.push(...changeProblems({ delay, jitter, loss }, path));
  if (jitterUs > delayUs)
    problems.push({
      path: [...path, 'jitter'],
      message: `a jitter of ${jitter} is more than the delay of ${delay ?? '0s'}: frames would arrive before they are sent`,
    });
  if (queue !== undefined) add(queueProblem(queue, [...path, 'queue']));
  return problems;
}

function queueProblem(queue: string, path: Path): Problem | null {
  const [value, unit] = splitQuantity(queue);
  if (value === 0) return { path, message: 'a queue of nothing lets no packet through' };
  const bytes = unit === 'packets' ? value * 1514 : /s$/.test(unit) ? 0 : parseSizeBytes(queue);
  return bytes > MAX_QUEUE_BYTES ? { path, message: `a queue of ${queue}: at most 4GB` } : null;
}

export interface Bridged {
  readonly node: string;
  readonly name: string;
  /** Its switch forwards between its ports by itself. */
  readonly bridged: boolean;
}

/** The first link that closes a ring of switches; null: there is none. A frame to all would go round for ever. */
export function ringOf<L extends { readonly ends: readonly [number, number] }>(
  interfaces: readonly Bridged[],
  links: readonly L[],
): L | null {
  const parent = new Map<string, string>();
  const find = (node: string): string => {
    let root = node;
    for (let up = parent.get(root); up !== undefined; up = parent.get(root)) root = up;
    if (root !== node) parent.set(node, root);
    return root;
  };
  for (const link of links) {
    const [a, b] = link.ends.map((i) => interfaces[i]) as [Bridged, Bridged];
    if (!a.bridged || !b.bridged) continue;
    const [from, to] = [find(a.node), find(b.node)];
    if (from === to) return link;
    parent.set(from, to);
  }
  return null;
}
