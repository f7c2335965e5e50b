/** UDP datagrams in whole IP packets: their data, and the packet with other data. Pure. */
import { putLength, transportOf, transportSum, UDP } from '../../lib/ip.ts';

const HEADER = 8;
const SUM_AT = 6;

/** Bytes before the UDP header. undefined: it is no whole datagram, or a damaged one. */
function headerBytes(packet: Buffer): number | undefined {
  const transport = transportOf(packet, UDP);
  if (!transport || transport.at + HEADER > transport.end) return undefined;
  const length = packet.readUInt16BE(transport.at + 4);
  if (length < HEADER || transport.at + length > transport.end) return undefined;
  const isSummed = packet.readUInt16BE(transport.at + SUM_AT) !== 0;
  const isIntact = !isSummed || transportSum(packet, { at: transport.at, end: transport.at + length }, UDP) === 0;
  return isIntact ? transport.at : undefined;
}

export function dataOf(packet: Buffer): Buffer | undefined {
  const at = headerBytes(packet);
  return at === undefined ? undefined : packet.subarray(at + HEADER, at + packet.readUInt16BE(at + 4));
}

/** A packet that `dataOf` has data of. */
export function withData(packet: Buffer, data: Buffer): Buffer {
  const at = headerBytes(packet);
  if (at === undefined) throw new Error('no whole datagram');
  const made = Buffer.concat([packet.subarray(0, at + HEADER), data]);
  const transport = { at, end: made.length };
  made.writeUInt16BE(HEADER + data.length, at + 4);
  made.writeUInt16BE(0, at + SUM_AT);
  putLength(made, transport);
  // 0 would say that there is none.
  made.writeUInt16BE(transportSum(made, transport, UDP) || 0xffff, at + SUM_AT);
  return made;
}
