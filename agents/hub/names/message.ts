/** DNS messages (RFC 1035): addresses in an answer become what its asker sees, in place. Pure. */
import { addressBytes, addressFromBytes, type Address } from '../../lib/prefix.ts';
import { HEADER_BYTES, Malformed, parse, passName, type Parsed, type Resource } from './parse.ts';
import { renamed } from './rename.ts';
import { addressOfName } from './reverse.ts';

const [A, AAAA, OPT, RRSIG, NSEC, NSEC3, SVCB, HTTPS] = [1, 28, 41, 46, 47, 50, 64, 65];
/** EDNS (RFC 6891), and its option that pads a message (RFC 7830). */
const [OPT_BYTES, PADDING, OPTION_BYTES, UDP_BYTES] = [11, 12, 4, 1232];
/** Of service bindings (RFC 9460): hints of addresses, and their bytes. */
const HINTS: ReadonlyMap<number, number> = new Map([
  [4, 4],
  [6, 16],
]);
const FLAGS = { response: 0x8000, truncated: 0x0200, authentic: 0x0020 } as const;
const SERVER_FAILURE = 2;
/** What signs records, or says which there are. */
const SIGNATURES: ReadonlySet<number> = new Set([RRSIG, NSEC, NSEC3]);

/** What an address of an answer is for its asker: itself, another one, or nothing that can be told. */
export type Seen = 'same' | 'ambiguous' | Address;

export type Outcome =
  /** No address in it changes: it passes as it is, byte for byte. */
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly message: Buffer }
  /** An address of it cannot be told, or its signatures cannot be taken out. */
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'malformed' };

/** Names are asked again so soon: a mapping may change. */
export const TTL_SECONDS = 30;

/** Where addresses are in the data of a record, and their bytes. */
function addressesOf(m: Buffer, { type, dataAt, end }: Resource): readonly (readonly [number, number])[] {
  if (type === A || type === AAAA) {
    const size = type === A ? 4 : 16;
    if (end - dataAt !== size) throw new Malformed();
    return [[dataAt, size]];
  }
  if (type !== SVCB && type !== HTTPS) return [];
  const found: [number, number][] = [];
  let at = passName(m, dataAt + 2, []);
  while (at < end) {
    if (at + 4 > end) throw new Malformed();
    const [key, length] = [m.readUInt16BE(at), m.readUInt16BE(at + 2)];
    const size = HINTS.get(key);
    at += 4;
    if (at + length > end || (size !== undefined && length % size !== 0)) throw new Malformed();
    if (size !== undefined) for (let a = at; a < at + length; a += size) found.push([a, size]);
    at += length;
  }
  return found;
}

/**
 * An answer as its asker must see it. Records that change live `ttlSeconds` at most. Signatures of what changes are taken out, and
 * nothing says any more that the answer is authentic: it is no bogus one, but one without signatures. An answer for the name of an
 * address that the asker sees otherwise changes as a whole.
 */
export function translateAnswer(message: Buffer, seen: (address: Address) => Seen, ttlSeconds: number): Outcome {
  try {
    if (message.length < HEADER_BYTES) return { kind: 'malformed' };
    if (!isResponse(message)) return { kind: 'same' };
    const parsed = parse(message);
    const asked = addressAsked(message);
    const name = asked ? seen(asked) : 'same';
    if (name === 'ambiguous') return { kind: 'ambiguous' };
    const changed = Buffer.from(message);
    const types = new Set<number>();
    for (const resource of parsed.resources) {
      let isChanged = name !== 'same' && resource.type !== OPT;
      for (const [at, size] of addressesOf(message, resource)) {
        const is = seen(addressFromBytes(message.subarray(at, at + size)));
        if (is === 'ambiguous') return { kind: 'ambiguous' };
        if (is === 'same') continue;
        addressBytes(is).copy(changed, at);
        types.add(resource.type);
        isChanged = true;
      }
      if (isChanged) changed.writeUInt32BE(Math.min(message.readUInt32BE(resource.ttlAt), ttlSeconds), resource.ttlAt);
    }
    if (types.size === 0 && name === 'same') return { kind: 'same' };
    changed.writeUInt16BE(message.readUInt16BE(2) & ~FLAGS.authentic, 2);
    const isOfChanged = (r: Resource): boolean => r.type === RRSIG && r.end - r.dataAt >= 2 && types.has(message.readUInt16BE(r.dataAt));
    const signatures = parsed.resources.filter((r) => (name === 'same' ? isOfChanged(r) : SIGNATURES.has(r.type)));
    const outcome = without(changed, parsed, signatures);
    return outcome.kind === 'changed' && name !== 'same' ? { kind: 'changed', message: renamed(outcome.message, name) } : outcome;
  } catch (error) {
    if (error instanceof Malformed || error instanceof RangeError) return { kind: 'malformed' };
    throw error;
  }
}

/** Without records; names that point behind them point there still. */
function without(m: Buffer, { pointers }: Parsed, gone: readonly Resource[]): Outcome {
  const isIn = (at: number): boolean => gone.some((r) => at >= r.start && at < r.end);
  for (const at of pointers) {
    const target = m.readUInt16BE(at) & 0x3fff;
    if (isIn(at)) continue;
    if (isIn(target)) return { kind: 'ambiguous' };
    const removed = gone.filter((r) => r.end <= target).reduce((sum, r) => sum + r.end - r.start, 0);
    m.writeUInt16BE(0xc000 | (target - removed), at);
  }
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end, section } of gone) {
    parts.push(m.subarray(from, start));
    from = end;
    m.writeUInt16BE(m.readUInt16BE(4 + 2 * section) - 1, 4 + 2 * section);
  }
  return { kind: 'changed', message: Buffer.concat([...parts, m.subarray(from)]) };
}

/** The name that a message asks for, in small letters. undefined: it asks for none, or not for one alone. Pure. */
export function questionOf(m: Buffer): string | undefined {
  if (m.length < HEADER_BYTES || m.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  for (let at = HEADER_BYTES; ;) {
    const length = m[at];
    if (length === undefined || length > 63) return undefined;
    if (length === 0) return labels.join('.');
    labels.push(m.toString('latin1', at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
}

/** The address whose name a message asks for (a PTR question, mostly). */
export const addressAsked = (m: Buffer): Address | undefined => addressOfName(questionOf(m) ?? '');

export const isResponse = (m: Buffer): boolean => m.length >= HEADER_BYTES && (m.readUInt16BE(2) & FLAGS.response) !== 0;

/** What an asker gets for an answer that would mislead it: its question, and SERVFAIL. */
export function failure(message: Buffer): Buffer {
  const { questionsEnd } = parse(message);
  const failed = Buffer.from(message.subarray(0, questionsEnd));
  failed.writeUInt16BE((message.readUInt16BE(2) & ~(FLAGS.truncated | FLAGS.authentic | 0x0f)) | SERVER_FAILURE, 2);
  failed.fill(0, 6, HEADER_BYTES);
  return failed;
}

/** A message of that length, with nothing else in it. undefined: what is missing is less than an option takes. */
export function padded(message: Buffer, length: number): Buffer | undefined {
  const missing = length - message.length;
  if (missing === 0) return message;
  const opt = parse(message).resources.find((r) => r.type === OPT);
  if (opt && opt.end !== message.length) return undefined;
  const zeros = missing - OPTION_BYTES - (opt ? 0 : OPT_BYTES);
  if (zeros < 0) return undefined;
  const option = Buffer.alloc(OPTION_BYTES + zeros);
  option.writeUInt16BE(PADDING, 0);
  option.writeUInt16BE(zeros, 2);
  const record = Buffer.alloc(opt ? 0 : OPT_BYTES);
  if (!opt) {
    record.writeUInt16BE(OPT, 1);
    record.writeUInt16BE(UDP_BYTES, 3);
    record.writeUInt16BE(option.length, 9);
  }
  const made = Buffer.concat([message, record, option]);
  if (opt) made.writeUInt16BE(made.readUInt16BE(opt.dataAt - 2) + option.length, opt.dataAt - 2);
  else made.writeUInt16BE(made.readUInt16BE(10) + 1, 10);
  return made;
}
