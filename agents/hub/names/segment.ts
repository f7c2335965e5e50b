/** TCP segments in whole IP packets: their data, and the packet with as much other data. Pure. */
import { TCP, transportOf, transportSum } from './ip.ts';

const HEADER = 20;
const SUM_AT = 16;
const FLAGS = { syn: 0x02, reset: 0x04 } as const;

export interface Segment {
  /** Of the first byte of its data, or of what opens the connection. */
  readonly sequence: number;
  readonly opens: boolean;
  readonly resets: boolean;
  readonly data: Buffer;
}

/** undefined: it is no whole segment. */
export function segmentOf(packet: Buffer): Segment | undefined {
  const transport = transportOf(packet, TCP);
  if (!transport || transport.at + HEADER > transport.end) return undefined;
  const { at, end } = transport;
  const [header, flags] = [(packet[at + 12]! >> 4) * 4, packet[at + 13]!];
  if (header < HEADER || at + header > end) return undefined;
  return {
    sequence: packet.readUInt32BE(at + 4),
    opens: (flags & FLAGS.syn) !== 0,
    resets: (flags & FLAGS.reset) !== 0,
    data: packet.subarray(at + header, end),
  };
}

/** A packet that `segmentOf` has a segment of. */
export function withSegmentData(packet: Buffer, data: Buffer): Buffer {
  const transport = transportOf(packet, TCP);
  if (!transport) throw new Error('no whole segment');
  const made = Buffer.from(packet);
  data.copy(made, transport.end - data.length);
  made.writeUInt16BE(0, transport.at + SUM_AT);
  made.writeUInt16BE(transportSum(made, transport, TCP), transport.at + SUM_AT);
  return made;
}
