/** Where parts of a DNS message are (RFC 1035). Names are passed over, and followed only with a bound: no loop holds anybody up. Pure. */

export const HEADER_BYTES = 12;
/** A name has 255 bytes at most. */
const MAX_LABELS = 127;
/** Types whose data may have compressed names (RFC 3597 section 4): bytes before the first name, and the number of names. */
const COMPRESSED: ReadonlyMap<number, readonly [number, number]> = new Map([
  [2, [0, 1]], // NS
  [5, [0, 1]], // CNAME
  [6, [0, 2]], // SOA
  [12, [0, 1]], // PTR
  [15, [2, 1]], // MX
  [17, [0, 2]], // RP
  [18, [2, 1]], // AFSDB
  [21, [2, 1]], // RT
  [33, [6, 1]], // SRV
  [39, [0, 1]], // DNAME
]);

export interface Resource {
  readonly start: number;
  readonly end: number;
  /** 1: answer, 2: authority, 3: additional. */
  readonly section: number;
  readonly type: number;
  readonly ttlAt: number;
  readonly dataAt: number;
}

export class Malformed extends Error {}

/** Where a name ends, and where in it a pointer is. It is not followed: what does not end with the message is none. */
export function passName(m: Buffer, from: number, pointers: number[]): number {
  let at = from;
  for (;;) {
    const length = m[at];
    if (length === undefined) throw new Malformed();
    if (length === 0) return at + 1;
    if (length >= 0xc0) {
      // It leads back (RFC 1035 section 4.1.4).
      if (at + 2 > m.length || (m.readUInt16BE(at) & 0x3fff) >= at) throw new Malformed();
      pointers.push(at);
      return at + 2;
    }
    if (length > 63 || at - from > 255) throw new Malformed();
    at += 1 + length;
  }
}

export interface Parsed {
  readonly questionsEnd: number;
  readonly resources: readonly Resource[];
  /** Where names begin, and where pointers in them are. */
  readonly names: readonly number[];
  readonly pointers: readonly number[];
}

export function parse(m: Buffer): Parsed {
  if (m.length < HEADER_BYTES) throw new Malformed();
  const names: number[] = [];
  const pointers: number[] = [];
  const pass = (from: number): number => {
    names.push(from);
    return passName(m, from, pointers);
  };
  let at = HEADER_BYTES;
  for (let i = m.readUInt16BE(4); i > 0; i--) at = pass(at) + 4;
  const questionsEnd = at;
  const resources: Resource[] = [];
  for (let section = 1; section <= 3; section++) {
    for (let i = m.readUInt16BE(4 + 2 * section); i > 0; i--) {
      const start = at;
      const fixed = pass(at);
      if (fixed + 10 > m.length) throw new Malformed();
      const [type, dataAt] = [m.readUInt16BE(fixed), fixed + 10];
      at = dataAt + m.readUInt16BE(fixed + 8);
      if (at > m.length) throw new Malformed();
      const [skip, count] = COMPRESSED.get(type) ?? [0, 0];
      let name = dataAt + skip;
      for (let n = 0; n < count; n++) {
        name = pass(name);
        if (name > at) throw new Malformed();
      }
      resources.push({ start, end: at, section, type, ttlAt: fixed + 4, dataAt });
    }
  }
  if (questionsEnd > m.length) throw new Malformed();
  return { questionsEnd, resources, names, pointers };
}

export interface Label {
  /** Of its length. */
  readonly at: number;
  /** In small letters. */
  readonly text: string;
  /** It is where its name is, not behind a pointer. */
  readonly isLiteral: boolean;
}

/** Labels of the name at `from`, the first one first. */
export function labelsAt(m: Buffer, from: number): Label[] {
  const labels: Label[] = [];
  let isLiteral = true;
  for (let at = from; m[at] !== 0;) {
    const length = m[at];
    if (length === undefined || labels.length > MAX_LABELS) throw new Malformed();
    if (length >= 0xc0) {
      const target = m.readUInt16BE(at) & 0x3fff;
      // Always further back: it comes to an end, also where what it leads to was never passed as a name.
      if (target >= at) throw new Malformed();
      [at, isLiteral] = [target, false];
    } else if (length > 63) throw new Malformed();
    else {
      labels.push({ at, text: m.toString('latin1', at + 1, at + 1 + length).toLowerCase(), isLiteral });
      at += 1 + length;
    }
  }
  return labels;
}
