/** UDP datagrams in whole IP packets: their data, and the packet with other data. Pure. */

const [UDP, UDP_HEADER, IP4_HEADER, IP6_HEADER] = [17, 8, 20, 40];

/** Bytes before the UDP header. undefined: it is no whole datagram. */
function headerBytes(packet: Buffer): number | undefined {
  const at =
    packet.length >= IP4_HEADER && packet[0] === 0x45 ? IP4_HEADER : packet[0] !== undefined && packet[0] >> 4 === 6 ? IP6_HEADER : 0;
  if (at === 0 || packet.length < at + UDP_HEADER || packet[at === IP4_HEADER ? 9 : 6] !== UDP) return undefined;
  // More fragments, or an offset.
  if (at === IP4_HEADER && packet.readUInt16BE(6) & 0x3fff) return undefined;
  const length = packet.readUInt16BE(at + 4);
  return length >= UDP_HEADER && at + length <= packet.length ? at : undefined;
}

export function dataOf(packet: Buffer): Buffer | undefined {
  const at = headerBytes(packet);
  return at === undefined ? undefined : packet.subarray(at + UDP_HEADER, at + packet.readUInt16BE(at + 4));
}

/** Ones' complement sum of 16-bit words (RFC 1071). */
function sum(b: Buffer, start = 0): number {
  let total = start;
  for (let i = 0; i + 1 < b.length; i += 2) total += b.readUInt16BE(i);
  if (b.length % 2 === 1) total += (b[b.length - 1] as number) << 8;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** A packet that `dataOf` has data of. */
export function withData(packet: Buffer, data: Buffer): Buffer {
  const at = headerBytes(packet);
  if (at === undefined) throw new Error('no whole datagram');
  const made = Buffer.concat([packet.subarray(0, at + UDP_HEADER), data]);
  const length = UDP_HEADER + data.length;
  made.writeUInt16BE(length, at + 4);
  made.writeUInt16BE(0, at + 6);
  if (at === IP4_HEADER) {
    made.writeUInt16BE(at + length, 2);
    made.writeUInt16BE(0, 10);
    made.writeUInt16BE(0xffff - sum(made.subarray(0, IP4_HEADER)), 10);
  } else made.writeUInt16BE(length, 4);
  const addresses = at === IP4_HEADER ? made.subarray(12, 20) : made.subarray(8, 40);
  // 0 would say that there is none.
  made.writeUInt16BE(0xffff - sum(made.subarray(at), sum(addresses, UDP + length)) || 0xffff, at + 6);
  return made;
}
