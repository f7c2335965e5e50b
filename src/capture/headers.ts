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
export const [IPV4, IPV6, ARP] = [0x0800, 0x86dd, 0x0806];
export const DLT_ETHERNET = 1;

const uint16 = (b: Buffer, o: number): number => (b[o]! << 8) | b[o + 1]!;

/** Where an Ethernet frame has its EtherType, behind VLAN tags. */
export function etherTypeAt(b: Buffer, frame: number, end: number): number {
  let at = frame + 12;
  for (let type = uint16(b, at); (type === 0x8100 || type === 0x88a8) && at + 6 <= end; type = uint16(b, at)) at += 4;
  return at;
}

/** Where what an IPv4 packet carries begins; null: a later fragment, which has no ports. */
export const transportOfIpv4 = (b: Buffer, at: number): number | null =>
  (uint16(b, at + 6) & 0x1fff) === 0 ? at + (b[at]! & 15) * 4 : null;

/** Fills `into`; false if the frame is too short or not Ethernet. */
export function readHeaders(packet: Packet, into: Headers): boolean {
  const { data: b, offset: o, captured } = packet;
  if (captured < 14 || packet.linkType !== DLT_ETHERNET) return false;
  into.destinationMac = mac(b, o);
  into.sourceMac = mac(b, o + 6);
  const end = o + captured;
  const typeAt = etherTypeAt(b, o, end);
  const etherType = (into.etherType = uint16(b, typeAt));
  into.protocol = into.sourcePort = into.destinationPort = -1;
  into.sourceIp = into.destinationIp = 0;
  const at = typeAt + 2;
  if (etherType === IPV4 && at + 20 <= end) {
    into.protocol = b[at + 9]!;
    into.sourceIp = ip(b, at + 12);
    into.destinationIp = ip(b, at + 16);
    const transport = transportOfIpv4(b, at);
    if (transport !== null) ports(b, transport, end, into);
  } else if (etherType === IPV6 && at + 40 <= end) {
    into.protocol = b[at + 6]!;
    ports(b, at + 40, end, into);
  }
  return true;
}

function ports(b: Buffer, at: number, end: number, into: Headers): void {
  if ((into.protocol !== TCP && into.protocol !== UDP) || at + 4 > end) return;
  into.sourcePort = uint16(b, at);
  into.destinationPort = uint16(b, at + 2);
}

const mac = (b: Buffer, o: number): number =>
  ((b[o]! << 8) | b[o + 1]!) * 0x100000000 + (((b[o + 2]! << 24) | (b[o + 3]! << 16) | (b[o + 4]! << 8) | b[o + 5]!) >>> 0);
const ip = (b: Buffer, o: number): number => ((b[o]! << 24) | (b[o + 1]! << 16) | (b[o + 2]! << 8) | b[o + 3]!) >>> 0;

export const macToNumber = (text: string): number => Number.parseInt(text.replaceAll(':', ''), 16);
export const ipToText = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
