/** Captures of a lab with a mesh, frame by frame: what is in tunnels, and what is not. */
import { frameReader, type Timed } from '../../lib/frames.ts';
import { opensConnection } from '../../lib/ip.ts';
import { addressFromBytes, formatAddress } from '../../lib/prefix.ts';

const [ETHERNET, UDP_BYTES, VXLAN_BYTES] = [14, 8, 8];
const [IPV4, IPV6] = [0x0800, 0x86dd];
const [TCP, UDP, ICMP, ICMPV6] = [6, 17, 1, 58];
/** RFC 7348. */
const VXLAN_PORT = 4789;

/** An IP packet. */
export interface SeenPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** 0: it has none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** It begins a connection of TCP: SYN, and no answer to one. */
  readonly begins: boolean;
  /** The same wherever the packet is seen, and of no other one near it: what is in its headers, sequence numbers among them. */
  readonly identity: string;
  /** Of IP. */
  readonly bytes: number;
}

interface Seen extends SeenPacket {
  /** In a tunnel: its key, and the packet in it. */
  readonly inner: (SeenPacket & { readonly vnid: number }) | null;
}

/** undefined: no IP packet, or less than its headers. */
export function dissect(frame: Buffer): Seen | undefined {
  const outer = packetOf(frame);
  if (!outer) return undefined;
  const { packet, carried } = outer;
  const isTunnel = packet.protocol === UDP && packet.destinationPort === VXLAN_PORT && carried.length >= UDP_BYTES + VXLAN_BYTES;
  const inside = isTunnel ? packetOf(carried.subarray(UDP_BYTES + VXLAN_BYTES)) : undefined;
  return { ...packet, inner: inside ? { ...inside.packet, vnid: carried.readUIntBE(UDP_BYTES + 4, 3) } : null };
}

export type SeenFrame = Timed<Seen>;

export const framesAt = frameReader(dissect);

interface Read {
  readonly packet: SeenPacket;
  readonly carried: Buffer;
}

function packetOf(frame: Buffer): Read | undefined {
  if (frame.length < ETHERNET + 20) return undefined;
  const ip = frame.subarray(ETHERNET);
  const type = frame.readUInt16BE(12);
  if (type === IPV4) {
    const header = (ip.readUInt8(0) & 0x0f) * 4;
    if (header < 20 || ip.length < header) return undefined;
    const carried = (ip.readUInt16BE(6) & 0x1fff) === 0 ? ip.subarray(header) : Buffer.alloc(0);
    const [source, destination] = [ip.subarray(12, 16).join('.'), ip.subarray(16, 20).join('.')];
    return {
      packet: { source, destination, bytes: ip.readUInt16BE(2), ...transport(ip.readUInt8(9), carried, ip.toString('hex', 4, 6)) },
      carried,
    };
  }
  if (type !== IPV6 || ip.length < 40) return undefined;
  const address = (from: number): string => formatAddress(addressFromBytes(ip.subarray(from, from + 16)));
  const carried = ip.subarray(40);
  return {
    packet: { source: address(8), destination: address(24), bytes: 40 + ip.readUInt16BE(4), ...transport(ip.readUInt8(6), carried, '') },
    carried,
  };
}

function transport(protocol: number, carried: Buffer, identification: string) {
  const hasPorts = (protocol === UDP || protocol === TCP) && carried.length >= UDP_BYTES;
  const [sourcePort, destinationPort] = hasPorts ? [carried.readUInt16BE(0), carried.readUInt16BE(2)] : [0, 0];
  // TCP: sequence numbers, flags and window; UDP: length and checksum; ICMP: its whole header.
  const told = protocol === TCP ? carried.toString('hex', 4, 16) : carried.toString('hex', hasPorts ? 4 : 0, 8);
  const isTold = hasPorts || protocol === ICMP || protocol === ICMPV6;
  return {
    protocol,
    sourcePort,
    destinationPort,
    begins: protocol === TCP && carried.length >= 14 && opensConnection(carried.readUInt8(13)),
    identity: [protocol, identification, sourcePort, destinationPort, isTold ? told : ''].join(' '),
  };
}
