/** Header fields of a captured Ethernet frame, read in place. */
import type { Packet } from './reader.ts';

export interface Headers {
  /** MAC addresses as 48-bit numbers: cheap map keys. */
  sourceMac: number;
  destinationMac: number;
  etherType: number;
  /** IPv4 or IPv6 next protocol; -1 if not IP. */
  protocol: number;
  /** IPv4 addresses as 32-bit numbers; 0 otherwise. */
  sourceIp: number;
  destinationIp: number;
  /** TCP or UDP ports; -1 where there are none (other protocols, later fragments, short captures). */
  sourcePort: number;
  destinationPort: number;
}

export const emptyHeaders = (): Headers => ({
  sourceMac: 0,
  destinationMac: 0,
  etherType: -1,
  protocol: -1,
  sourceIp: 0,
  destinationIp: 0,
  sourcePort: -1,
  destinationPort: -1,
});

const TCP = 6;
const UDP = 17;
const DLT_ETHERNET = 1;

/** Fills `into`; false if the frame is too short or not Ethernet. */
export function readHeaders(packet: Packet, into: Headers): boolean {
  const { data: b, offset: o, captured } = packet;
  if (captured < 14 || packet.linkType !== DLT_ETHERNET) return false;
  into.destinationMac = mac(b, o);
  into.sourceMac = mac(b, o + 6);
  let at = o + 12;
  let etherType = (b[at]! << 8) | b[at + 1]!;
  const end = o + captured;
  while ((etherType === 0x8100 || etherType === 0x88a8) && at + 6 <= end) {
    at += 4;
    etherType = (b[at]! << 8) | b[at + 1]!;
  }
  into.etherType = etherType;
  into.protocol = into.sourcePort = into.destinationPort = -1;
  into.sourceIp = into.destinationIp = 0;
  at += 2;
  if (etherType === 0x0800 && at + 20 <= end) {
    into.protocol = b[at + 9]!;
    into.sourceIp = ip(b, at + 12);
    into.destinationIp = ip(b, at + 16);
    const firstFragment = (((b[at + 6]! << 8) | b[at + 7]!) & 0x1fff) === 0;
    if (firstFragment) ports(b, at + (b[at]! & 15) * 4, end, into);
  } else if (etherType === 0x86dd && at + 40 <= end) {
    into.protocol = b[at + 6]!;
    ports(b, at + 40, end, into);
  }
  return true;
}

function ports(b: Buffer, at: number, end: number, into: Headers): void {
  if ((into.protocol !== TCP && into.protocol !== UDP) || at + 4 > end) return;
  into.sourcePort = (b[at]! << 8) | b[at + 1]!;
  into.destinationPort = (b[at + 2]! << 8) | b[at + 3]!;
}

const mac = (b: Buffer, o: number): number =>
  ((b[o]! << 8) | b[o + 1]!) * 0x100000000 + (((b[o + 2]! << 24) | (b[o + 3]! << 16) | (b[o + 4]! << 8) | b[o + 5]!) >>> 0);
const ip = (b: Buffer, o: number): number => ((b[o]! << 24) | (b[o + 1]! << 16) | (b[o + 2]! << 8) | b[o + 3]!) >>> 0;

export const macToNumber = (text: string): number => Number.parseInt(text.replaceAll(':', ''), 16);
export const ipToText = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
