/** Frames that no flow answers: whom they are for, and answers of the on-host controller. Pure. */
import { macBytes } from '../../lib/bytes.ts';
import { transportSum } from '../../lib/ip.ts';
import { addressFromBytes, type Address } from '../../lib/prefix.ts';

const [IPV4, IPV6] = [0x0800, 0x86dd];

const [ETHERNET, HEADER, ADVERTISEMENT] = [14, 40, 136];
/** RFC 4861: solicited, and in place of what was known; an option of eight bytes with the address. */
const [FLAGS, TARGET_OPTION, MESSAGE_BYTES] = [0x60, [2, 1], 32];

/** The answer to a neighbour solicitation, for whatever it asks: this MAC address. undefined: it is none. */
export function advertisementFor(frame: Buffer, mac: string): Buffer | undefined {
  if (frame.length < ETHERNET + HEADER + 24) return undefined;
  const [from, target] = [frame.subarray(ETHERNET + 8, ETHERNET + 24), frame.subarray(ETHERNET + HEADER + 8, ETHERNET + HEADER + 24)];
  const own = macBytes(mac);
  const message = Buffer.concat([Buffer.from([ADVERTISEMENT, 0, 0, 0, FLAGS, 0, 0, 0]), target, Buffer.from(TARGET_OPTION), own]);
  const head = Buffer.from(frame.subarray(ETHERNET, ETHERNET + 8));
  head.writeUInt16BE(MESSAGE_BYTES, 4);
  head.writeUInt8(255, 7);
  const packet = Buffer.concat([head, target, from, message]);
  packet.writeUInt16BE(transportSum(packet, { at: HEADER, end: packet.length }, head.readUInt8(6)), HEADER + 2);
  return Buffer.concat([frame.subarray(6, 12), own, frame.subarray(12, 14), packet]);
}

/** undefined: it is no IP packet, or less than a header of it. */
export function destinationOf(frame: Buffer): Address | undefined {
  if (frame.length < 34) return undefined;
  switch (frame.readUInt16BE(12)) {
    case IPV4:
      return addressFromBytes(frame.subarray(30, 34));
    case IPV6:
      return frame.length < 54 ? undefined : addressFromBytes(frame.subarray(38, 54));
    default:
      return undefined;
  }
}
