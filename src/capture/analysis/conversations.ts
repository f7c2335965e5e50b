/** Who talked with whom in a capture, how much, and when. Pure but for reading the file. */
import { formatRate } from '../../core/units.ts';
import { ARP, DLT_ETHERNET, etherTypeAt, IPV4, IPV6, transportOfIpv4 } from '../headers.ts';
import { readCapture, type Packet } from '../reader.ts';

export interface Conversation {
  /** "10.0.0.1:5201", or an address where there are no ports. */
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  packets: number;
  bytes: number;
  /** Epoch seconds. */
  readonly firstS: number;
  lastS: number;
}

export interface CaptureSummary {
  readonly packets: number;
  readonly bytes: number;
  /** Epoch seconds of the first packet, and seconds to the last. */
  readonly startS: number;
  readonly seconds: number;
  readonly truncated: boolean;
  /** One for each direction, the largest first. */
  readonly conversations: readonly Conversation[];
  /** Bytes on the wire by interval. */
  readonly intervalS: number;
  readonly intervalBytes: readonly number[];
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  0: 'ip options',
  1: 'icmp',
  4: 'ipip',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  58: 'icmpv6',
  132: 'sctp',
};
const HAS_PORTS: ReadonlySet<number> = new Set([6, 17, 132]);

export interface Ends {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  /** Where the packet's network layer, and what it carries, begin in its data; null: not IP. */
  readonly networkAt: number;
  readonly transportAt: number | null;
}

const ipv4 = (b: Buffer, at: number): string => `${b[at]}.${b[at + 1]}.${b[at + 2]}.${b[at + 3]}`;
const addresses = new Map<string, string>();

/** In the shortest form (RFC 5952), as URLs have it. */
function ipv6(b: Buffer, at: number): string {
  const bytes = b.toString('latin1', at, at + 16);
  let text = addresses.get(bytes);
  if (text === undefined) {
    const groups = Array.from({ length: 8 }, (_, i) => b.readUInt16BE(at + i * 2).toString(16)).join(':');
    addresses.set(bytes, (text = new URL(`http://[${groups}]`).hostname.slice(1, -1)));
  }
  return text;
}
const mac = (b: Buffer, at: number): string => b.toString('hex', at, at + 6).replaceAll(/(..)(?=.)/g, '$1:');

/** null: too short, or not Ethernet. */
export function endsOf({ data: b, offset, captured, linkType }: Packet): Ends | null {
  const end = offset + captured;
  if (linkType !== DLT_ETHERNET || captured < 14) return null;
  const typeAt = etherTypeAt(b, offset, end);
  const type = b.readUInt16BE(typeAt);
  const at = typeAt + 2;
  const link = (protocol: string): Ends => ({ from: mac(b, offset + 6), to: mac(b, offset), protocol, networkAt: at, transportAt: null });
  if (type === IPV4 && at + 20 <= end)
    return network(b, at, end, b[at + 9] as number, ipv4(b, at + 12), ipv4(b, at + 16), transportOfIpv4(b, at));
  if (type === IPV6 && at + 40 <= end) return network(b, at, end, b[at + 6] as number, ipv6(b, at + 8), ipv6(b, at + 24), at + 40);
  return link(type === ARP ? 'arp' : `0x${type.toString(16).padStart(4, '0')}`);
}

/** `number`: of the protocol. `transportAt` null: a later fragment, which carries no ports. */
function network(b: Buffer, at: number, end: number, number: number, from: string, to: string, transportAt: number | null): Ends {
  const protocol = PROTOCOLS[number] ?? `ip ${number}`;
  if (transportAt === null || !HAS_PORTS.has(number) || transportAt + 4 > end) return { from, to, protocol, networkAt: at, transportAt };
  const bracketed = (address: string, port: number): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
  return {
    from: bracketed(from, b.readUInt16BE(transportAt)),
    to: bracketed(to, b.readUInt16BE(transportAt + 2)),
    protocol,
    networkAt: at,
    transportAt,
  };
}

/** Of its bytes on the wire, from its first packet to its last. */
export const describeMeanRate = ({ bytes, firstS, lastS }: Conversation): string =>
  lastS > firstS ? formatRate((bytes * 8) / (lastS - firstS)) : '–';

export const timeOf = ({ seconds, nanoseconds }: Packet): number => seconds + nanoseconds / 1e9;

/** `intervalS`: width of the intervals that rates are given for. CAPTURE_MALFORMED. */
export function summarizeCapture(path: string, intervalS: number): CaptureSummary {
  const conversations = new Map<string, Conversation>();
  const intervalBytes: number[] = [];
  let [packets, bytes, startS, lastS] = [0, 0, NaN, NaN];
  const { truncated } = readCapture(path, (packet) => {
    const atS = timeOf(packet);
    if (packets === 0) startS = atS;
    lastS = Number.isNaN(lastS) ? atS : Math.max(lastS, atS);
    packets += 1;
    bytes += packet.length;
    const interval = Math.max(0, Math.floor((atS - startS) / intervalS));
    intervalBytes[interval] = (intervalBytes[interval] ?? 0) + packet.length;
    const ends = endsOf(packet);
    if (!ends) return;
    const key = `${ends.protocol} ${ends.from} ${ends.to}`;
    const known = conversations.get(key);
    if (known) {
      known.packets += 1;
      known.bytes += packet.length;
      known.lastS = atS;
    } else
      conversations.set(key, {
        from: ends.from,
        to: ends.to,
        protocol: ends.protocol,
        packets: 1,
        bytes: packet.length,
        firstS: atS,
        lastS: atS,
      });
  });
  return {
    packets,
    bytes,
    startS,
    seconds: packets === 0 ? 0 : lastS - startS,
    truncated,
    intervalS,
    conversations: [...conversations.values()].sort((a, b) => b.bytes - a.bytes),
    intervalBytes: Array.from(intervalBytes, (n: number | undefined) => n ?? 0),
  };
}
