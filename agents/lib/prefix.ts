/** IPv4 and IPv6 addresses and prefixes as numbers: parsed, compared, mapped one to one, and looked up by longest match. Pure. */
import { isIP } from 'node:net';
import { ipBytes } from './bytes.ts';

export type Family = 4 | 6;
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}
/** `value` has no bits beyond `length`. */
export interface Prefix extends Address {
  readonly length: number;
}

export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);
const hostBits = ({ family, length }: Prefix): bigint => BigInt(bitsOf(family) - length);

export const addressFromBytes = (b: Buffer): Address => ({
  family: b.length === 4 ? 4 : 6,
  value: b.length === 4 ? BigInt(b.readUInt32BE(0)) : (b.readBigUInt64BE(0) << 64n) | b.readBigUInt64BE(8),
});

export function addressBytes({ family, value }: Address): Buffer {
  const b = Buffer.alloc(family === 4 ? 4 : 16);
  if (family === 4) b.writeUInt32BE(Number(value));
  else {
    b.writeBigUInt64BE(value >> 64n, 0);
    b.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8);
  }
  return b;
}

/** undefined: the text is no address. */
export const parseAddress = (text: string): Address | undefined => (isIP(text) === 0 ? undefined : addressFromBytes(ipBytes(text)));

/** RFC 5952 for IPv6. */
export function formatAddress(address: Address): string {
  const b = addressBytes(address);
  if (address.family === 4) return b.join('.');
  const words = Array.from({ length: 8 }, (_, i) => b.readUInt16BE(2 * i));
  let [best, most] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (words[i + run] === 0) run += 1;
    if (run > most) [best, most] = [i, run];
  }
  const hex = (part: readonly number[]): string => part.map((w) => w.toString(16)).join(':');
  return best < 0 ? hex(words) : `${hex(words.slice(0, best))}::${hex(words.slice(best + most))}`;
}

/** "192.168.1.0/24"; without a length, one address. undefined: it is none, or has bits beyond its length. */
export function parsePrefix(text: string): Prefix | undefined {
  const [head = '', bits, ...rest] = text.split('/');
  const address = parseAddress(head);
  if (!address || rest.length > 0 || (bits !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(bits))) return undefined;
  const length = bits === undefined ? bitsOf(address.family) : Number(bits);
  if (length > bitsOf(address.family)) return undefined;
  const prefix = { ...address, length };
  return network(prefix, length).value === prefix.value ? prefix : undefined;
}

/** Of a text that was checked before. */
export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(`"${text}" is no prefix`);
  return prefix;
}

export const formatPrefix = (prefix: Prefix): string => `${formatAddress(prefix)}/${prefix.length}`;

/** The prefix of a length that an address is in. */
export function network({ family, value }: Address, length: number): Prefix {
  const host = BigInt(bitsOf(family) - length);
  return { family, value: (value >> host) << host, length };
}

export const contains = (prefix: Prefix, address: Address): boolean =>
  prefix.family === address.family && prefix.value >> hostBits(prefix) === address.value >> hostBits(prefix);

export const isSame = (a: Prefix, b: Prefix): boolean => a.family === b.family && a.length === b.length && a.value === b.value;

/** What two prefixes have in common: the longer one, or nothing. */
export function overlap(a: Prefix, b: Prefix): Prefix | undefined {
  const [wide, narrow] = a.length <= b.length ? [a, b] : [b, a];
  return contains(wide, narrow) ? narrow : undefined;
}

/** The address at the same place of another prefix of the same length. */
export const mapped = (address: Address, from: Prefix, to: Prefix): Address => ({
  family: to.family,
  value: to.value | (address.value - from.value),
});

/** Longest-prefix match. */
export class PrefixTable<T> {
  /** By family and length, the longest first. */
  readonly #lengths: { readonly family: Family; readonly length: number; readonly entries: Map<bigint, { prefix: Prefix; value: T }> }[] =
    [];

  set(prefix: Prefix, value: T): void {
    let own = this.#lengths.find((l) => l.family === prefix.family && l.length === prefix.length);
    if (!own) {
      this.#lengths.push((own = { family: prefix.family, length: prefix.length, entries: new Map() }));
      this.#lengths.sort((a, b) => b.length - a.length);
    }
    own.entries.set(prefix.value, { prefix, value });
  }

  /** What is there for exactly this prefix. */
  get(prefix: Prefix): T | undefined {
    return this.#entriesOf(prefix)?.get(prefix.value)?.value;
  }

  delete(prefix: Prefix): void {
    this.#entriesOf(prefix)?.delete(prefix.value);
  }

  #entriesOf({ family, length }: Prefix): Map<bigint, { prefix: Prefix; value: T }> | undefined {
    return this.#lengths.find((l) => l.family === family && l.length === length)?.entries;
  }

  find(address: Address): { readonly prefix: Prefix; readonly value: T } | undefined {
    for (const { family, length, entries } of this.#lengths) {
      if (family !== address.family) continue;
      const found = entries.get(network(address, length).value);
      if (found) return found;
    }
    return undefined;
  }

  *[Symbol.iterator](): Generator<{ readonly prefix: Prefix; readonly value: T }> {
    for (const { entries } of this.#lengths) yield* entries.values();
  }
}
