/** TCP segments without data, as a host asks a machine on it with whether it listens (RFC 9293). Pure. */
import { ipBytes, macBytes, u16 } from '../../lib/bytes.ts';
import { putLength, TCP, transportOf, transportSum } from '../../lib/ip.ts';
import { formatAddress, addressFromBytes } from '../../lib/prefix.ts';

const [ETHERNET, HEADER, SEGMENT] = [14, 20, 20];
const IPV4 = 0x0800;

/** Over IPv4. */
export interface Segment {
  readonly ethSrc: string;
  readonly ethDst: string;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: number;
}

export function segmentFrame(s: Segment): Buffer {
  const packet = Buffer.alloc(HEADER + SEGMENT);
  packet.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, TCP]);
  packet.set([...ipBytes(s.source), ...ipBytes(s.destination)], 12);
  const at = { at: HEADER, end: packet.length };
  putLength(packet, at);
  packet.writeUInt16BE(s.sourcePort, HEADER);
  packet.writeUInt16BE(s.destinationPort, HEADER + 2);
  packet.writeUInt32BE(s.sequence, HEADER + 4);
  packet.writeUInt32BE(s.acknowledged, HEADER + 8);
  packet.set([(SEGMENT / 4) << 4, s.flags, 0xff, 0xff], HEADER + 12);
  packet.writeUInt16BE(transportSum(packet, at, TCP), HEADER + 16);
  return Buffer.concat([macBytes(s.ethDst), macBytes(s.ethSrc), u16(IPV4), packet]);
}

/** undefined: it is none. */
export function segmentOf(frame: Buffer): Omit<Segment, 'ethSrc' | 'ethDst'> | undefined {
  if (frame.length < ETHERNET || frame.readUInt16BE(12) !== IPV4) return undefined;
  const packet = frame.subarray(ETHERNET);
  const found = transportOf(packet, TCP);
  if (!found || found.end - found.at < SEGMENT) return undefined;
  const address = (from: number): string => formatAddress(addressFromBytes(packet.subarray(from, from + 4)));
  return {
    source: address(12),
    destination: address(16),
    sourcePort: packet.readUInt16BE(found.at),
    destinationPort: packet.readUInt16BE(found.at + 2),
    sequence: packet.readUInt32BE(found.at + 4),
    acknowledged: packet.readUInt32BE(found.at + 8),
    flags: packet.readUInt8(found.at + 13),
  };
}
