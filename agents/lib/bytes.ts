/** Numbers and addresses as bytes in network order. */
import { isIPv6 } from 'node:net';

export function u16(value: number): Buffer {
  const b = Buffer.alloc(2);
  b.writeUInt16BE(value);
  return b;
}

export function u32(value: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(value);
  return b;
}

export function u64(value: number | bigint): Buffer {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(BigInt(value));
  return b;
}

export const zeros = (length: number): Buffer => Buffer.alloc(length);

/** To a multiple of eight bytes. */
export const padded = (b: Buffer): Buffer => Buffer.concat([b, zeros((8 - (b.length % 8)) % 8)]);

/** "02:00:00:00:00:01" */
export const macBytes = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');

const ipv4Bytes = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

function ipv6Bytes(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const words = (part: string): number[] =>
    part === ''
      ? []
      : part
          .split(':')
          .flatMap((word) =>
            word.includes('.') ? [ipv4Bytes(word).readUInt16BE(0), ipv4Bytes(word).readUInt16BE(2)] : [Number.parseInt(word, 16)],
          );
  const [before, after] = [words(head), tail === undefined ? [] : words(tail)];
  return Buffer.concat([...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after].map(u16));
}

/** IPv4 or IPv6, whichever it is. */
export const ipBytes = (text: string): Buffer => (isIPv6(text) ? ipv6Bytes(text) : ipv4Bytes(text));

/** "10.0.0.0/8": address and mask; no mask where the prefix is the whole address. */
export function prefixBytes(text: string): { value: Buffer; mask?: Buffer } {
  const [address = '', bits] = text.split('/');
  const value = ipBytes(address);
  const length = bits === undefined ? value.length * 8 : Number(bits);
  if (length === value.length * 8) return { value };
  const mask = Buffer.from(value.map((_, i) => (0xff00 >> Math.min(8, Math.max(0, length - i * 8))) & 0xff));
  return { value: Buffer.from(value.map((byte, i) => byte & (mask[i] as number))), mask };
}
