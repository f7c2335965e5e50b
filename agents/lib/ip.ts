/** Whole IP packets: where their transport headers are, and the sums over them. Pure. */

const [IP4_HEADER, IP6_HEADER] = [20, 40];
export const [TCP, UDP] = [6, 17];
/** RFC 9293. */
export const TCP_FLAG = { syn: 0x02, reset: 0x04, ack: 0x10, urgent: 0x20 } as const;
/** SYN, and no answer to one. */
export const opensConnection = (flags: number): boolean => (flags & (TCP_FLAG.syn | TCP_FLAG.ack)) === TCP_FLAG.syn;

export interface Transport {
  /** Of the header, and of what follows the packet. */
  readonly at: number;
  readonly end: number;
}

/** undefined: it is no whole packet of that protocol, or one with options before it. */
export function transportOf(packet: Buffer, protocol: number): Transport | undefined {
  const version = packet[0] === undefined ? 0 : packet[0] >> 4;
  if (version === 4) {
    if (packet.length < IP4_HEADER || packet[0] !== 0x45 || packet[9] !== protocol) return undefined;
    // More fragments, or an offset.
    if (packet.readUInt16BE(6) & 0x3fff) return undefined;
    const end = packet.readUInt16BE(2);
    return end >= IP4_HEADER && end <= packet.length ? { at: IP4_HEADER, end } : undefined;
  }
  if (version !== 6 || packet.length < IP6_HEADER || packet[6] !== protocol) return undefined;
  const end = IP6_HEADER + packet.readUInt16BE(4);
  return end <= packet.length ? { at: IP6_HEADER, end } : undefined;
}

/** Ones' complement sum of 16-bit words (RFC 1071). */
export function sum(b: Buffer, start = 0): number {
  let total = start;
  for (let i = 0; i + 1 < b.length; i += 2) total += b.readUInt16BE(i);
  if (b.length % 2 === 1) total += (b[b.length - 1] as number) << 8;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** Of a packet whose own sum, `sumAt` bytes into its transport header, is 0. */
export function transportSum(packet: Buffer, { at, end }: Transport, protocol: number): number {
  const addresses = at === IP4_HEADER ? packet.subarray(12, 20) : packet.subarray(8, 40);
  return 0xffff - sum(packet.subarray(at, end), sum(addresses, protocol + end - at));
}

/** The packet is that long now. */
export function putLength(packet: Buffer, { at, end }: Transport): void {
  if (at === IP6_HEADER) {
    packet.writeUInt16BE(end - at, 4);
    return;
  }
  packet.writeUInt16BE(end, 2);
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(0xffff - sum(packet.subarray(0, IP4_HEADER)), 10);
}
