/** Captures of a lab with PoPs, packet by packet: what was carried in what (R3 section 2). */
import { join } from 'node:path';
import { readCapture } from '../../../src/capture/reader.ts';
import { ipToText } from '../../../src/capture/headers.ts';
import { defectOf } from '../../../src/evidence/captures.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';

/** native/forward.h and forward.bpf.c */
const GUE_PORT = 6080;
const HOP_WORDS = 5;
const [ETHERNET, IPV4, UDP, GRE, GUE] = [14, 20, 8, 4, 4];
const PROTOCOL = { icmp: 1, ipip: 4, tcp: 6, udp: 17, gre: 47 } as const;

export interface Inner {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** 0 where it has none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of IPv4: tells a packet from the next of its flow. */
  readonly id: number;
  /** TCP. */
  readonly flags: number;
  /** Everything that was captured of it, but for TTL and the header's checksum, which routers change. */
  readonly bytes: Buffer;
}

export interface SeenPacket {
  readonly atUs: number;
  /** plain: as clients and servers send it. hop: to a server of the same PoP. gre, gue: between PoPs. */
  readonly kind: 'plain' | 'hop' | 'gre' | 'gue';
  /** Of the outer header. */
  readonly from: string | null;
  readonly to: string | null;
  /** Of a hop: where the packet goes if it is not served there; null: nowhere. */
  readonly secondary: string | null;
  /** Of a hop: new connections go to the secondary. */
  readonly away: boolean;
  readonly inner: Inner;
}

/** "source:port destination:port protocol", of the packet that a client sent. */
export const flowOf = ({ source, sourcePort, destination, destinationPort, protocol }: Inner): string =>
  `${source}:${sourcePort} ${destination}:${destinationPort} ${protocol}`;
/** The same packet at two places. */
export const identityOf = (inner: Inner): string =>
  `${flowOf(inner)} ${inner.id} ${inner.bytes.length > 40 ? inner.bytes.readUInt32BE(24) : 0}`;

const seen = new WeakMap<CellEvidence, Map<string, readonly SeenPacket[]>>();

/** Packets of a capture point, in the order of time from the start of a phase; undefined: the capture shows nothing, or not all. */
export function packetsAt(evidence: CellEvidence, at: string, phaseStartUs: number): readonly SeenPacket[] | undefined {
  let captures = seen.get(evidence);
  if (!captures) seen.set(evidence, (captures = new Map<string, readonly SeenPacket[]>()));
  const key = `${at} ${phaseStartUs}`;
  const known = captures.get(key);
  if (known) return known;
  // One that does not show all packets proves nothing.
  const record = evidence.captures.find((c) => c.at === at);
  if (!record || defectOf(record) !== undefined) return undefined;
  const aheadUs = record.clock.offsetNs / 1000;
  const packets: SeenPacket[] = [];
  readCapture(join(evidence.folder, record.file), ({ data, offset, captured, seconds, nanoseconds }) => {
    const packet = dissect(data.subarray(offset, offset + captured));
    if (packet) packets.push({ ...packet, atUs: seconds * 1e6 + nanoseconds / 1000 - aheadUs - phaseStartUs });
  });
  if (packets.length === 0) return undefined;
  captures.set(key, packets);
  return packets;
}

/** Of one Ethernet frame; undefined: no IPv4, or malformed. */
export function dissect(frame: Buffer): Omit<SeenPacket, 'atUs'> | undefined {
  if (frame.length < ETHERNET + IPV4 || frame.readUInt16BE(12) !== 0x0800) return undefined;
  const seen = opened(frame.subarray(ETHERNET));
  return seen && isSound(seen.carried) ? { ...seen.outer, inner: innerOf(seen.carried) } : undefined;
}

/** A whole header, and a length that covers it: attackers send what they like. */
const isSound = (ip: Buffer): boolean => ip.length >= IPV4 && (ip[0]! & 0x0f) * 4 >= IPV4 && ip.readUInt16BE(2) >= IPV4;

/** What a packet carries: another one, or itself. */
function opened(ip: Buffer): { outer: Omit<SeenPacket, 'atUs' | 'inner'>; carried: Buffer } | undefined {
  const protocol = ip[9];
  const [from, to] = [ipToText(ip.readUInt32BE(12)), ipToText(ip.readUInt32BE(16))];
  const none = { secondary: null, away: false } as const;
  if (protocol === PROTOCOL.gre && ip.length >= IPV4 + GRE + IPV4 && ip.readUInt16BE(IPV4 + 2) === 0x0800)
    return { outer: { kind: 'gre', from, to, ...none }, carried: ip.subarray(IPV4 + GRE) };
  if (
    protocol === PROTOCOL.udp &&
    ip.length >= IPV4 + UDP + GUE + IPV4 &&
    ip.readUInt16BE(IPV4 + 2) === GUE_PORT &&
    ip[IPV4 + UDP + 1] === PROTOCOL.ipip
  ) {
    const words = ip[IPV4 + UDP]! & 0x1f;
    const data = IPV4 + UDP + GUE;
    if (words === 0) return { outer: { kind: 'gue', from, to, ...none }, carried: ip.subarray(data) };
    if (words !== HOP_WORDS || ip.length < data + 4 * words + IPV4) return undefined;
    const [flags, target] = [ip[data + 1]!, ip.readUInt32BE(data + 4)];
    return {
      outer: { kind: 'hop', from, to, secondary: target === 0 ? null : ipToText(target), away: (flags & 1) !== 0 },
      carried: ip.subarray(data + 4 * words),
    };
  }
  return { outer: { kind: 'plain', from: null, to: null, ...none }, carried: ip };
}

function innerOf(ip: Buffer): Inner {
  const protocol = ip[9]!;
  const header = (ip[0]! & 0x0f) * 4;
  const hasPorts = (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp) && ip.length >= header + 4;
  const bytes = Buffer.from(ip.subarray(0, Math.min(ip.length, ip.readUInt16BE(2))));
  bytes.fill(0, 8, 9);
  bytes.fill(0, 10, 12);
  // An offloaded checksum is filled in later, by whoever sends the packet on a wire.
  if (protocol === PROTOCOL.tcp && bytes.length >= header + 18) bytes.fill(0, header + 16, header + 18);
  if (protocol === PROTOCOL.udp && bytes.length >= header + 8) bytes.fill(0, header + 6, header + 8);
  return {
    source: ipToText(ip.readUInt32BE(12)),
    destination: ipToText(ip.readUInt32BE(16)),
    protocol,
    sourcePort: hasPorts ? ip.readUInt16BE(header) : 0,
    destinationPort: hasPorts ? ip.readUInt16BE(header + 2) : 0,
    id: ip.readUInt16BE(4),
    flags: protocol === PROTOCOL.tcp && ip.length >= header + 14 ? ip[header + 13]! : 0,
    bytes,
  };
}
