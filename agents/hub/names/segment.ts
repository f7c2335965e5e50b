/** TCP segments in whole IP packets: their data, and the packet with as much other data. Pure. */
import { putLength, TCP, TCP_FLAG, transportOf, transportSum, type Transport } from '../../lib/ip.ts';

const HEADER = 20;
const SUM_AT = 16;
const FLAGS_AT = 13;

export interface Segment {
  /** Of the first byte of its data, or of what opens the connection. */
  readonly sequence: number;
  readonly opens: boolean;
  readonly data: Buffer;
}

/** undefined: it is no whole segment, a damaged one, or one with urgent data. */
export function segmentOf(packet: Buffer): Segment | undefined {
  const transport = transportOf(packet, TCP);
  if (!transport || transport.at + HEADER > transport.end) return undefined;
  const { at, end } = transport;
  const [header, flags] = [(packet[at + 12]! >> 4) * 4, packet[at + FLAGS_AT]!];
  if (header < HEADER || at + header > end || flags & TCP_FLAG.urgent || transportSum(packet, transport, TCP) !== 0) return undefined;
  return { sequence: packet.readUInt32BE(at + 4), opens: (flags & TCP_FLAG.syn) !== 0, data: packet.subarray(at + header, end) };
}

/** What ends the connection of a segment, in its place. */
export function asReset(packet: Buffer): Buffer {
  const transport = transportOf(packet, TCP);
  if (!transport) throw new Error('no whole segment');
  const end = transport.at + (packet[transport.at + 12]! >> 4) * 4;
  const made = Buffer.from(packet.subarray(0, end));
  made[transport.at + FLAGS_AT] = TCP_FLAG.reset;
  return summed(made, { at: transport.at, end });
}

/** A packet that `segmentOf` has a segment of. */
export function withSegmentData(packet: Buffer, data: Buffer): Buffer {
  const transport = transportOf(packet, TCP);
  if (!transport) throw new Error('no whole segment');
  const made = Buffer.from(packet);
  data.copy(made, transport.end - data.length);
  return summed(made, transport);
}

function summed(packet: Buffer, transport: Transport): Buffer {
  putLength(packet, transport);
  packet.writeUInt16BE(0, transport.at + SUM_AT);
  packet.writeUInt16BE(transportSum(packet, transport, TCP), transport.at + SUM_AT);
  return packet;
}
