/**
 * Messages between servers, authenticated with HMAC-SHA-256 under the provider's key (R4-15).
 *
 *   0  u16 magic   2  u8 version   3  u8 kind   4  u8 length of the server name   5  u8 –   6  u16 entries
 *   8  u64 nonce   16  u64 sequence   24  server name, then entries, then 16 bytes of HMAC
 *
 * Feedback: nonce as the addressee challenged it; each entry: 6 receiver MAC, 6 sender MAC, u16 –, u48 bit/s, u16 senders,
 * u16 hold in ms. Challenge: a fresh nonce, the sequence of the message that it answers, no entries.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { macText, writeMac } from '../lib/mac.ts';

/** An explicit rate for one (sender, receiver) pair. */
export interface Feedback {
  /** vNIC that receives too much. */
  readonly receiver: string;
  /** vNIC, on the addressed server, that is to be limited. */
  readonly sender: string;
  readonly rateBps: number;
  /** Senders that share the receiver (R4-10). */
  readonly senders: number;
  /** The rate stands this long; then the limiter rises in silence. */
  readonly holdMs: number;
}

export interface Message {
  readonly kind: 'feedback' | 'challenge';
  /** Server that sends it. */
  readonly server: string;
  readonly nonce: bigint;
  readonly sequence: bigint;
  readonly entries: readonly Feedback[];
}

const MAGIC = 0x676b;
const VERSION = 2;
const KINDS = ['feedback', 'challenge'] as const;
const FIXED_BYTES = 24;
const ENTRY_BYTES = 24;
const TAG_BYTES = 16;
/** So that a message fits one frame of 1500 bytes with a server name of 64. */
export const MAX_ENTRIES = 54;
/** Holds are u16. */
const MAX_HOLD_MS = 0xffff;

const tag = (body: Buffer, key: Buffer): Buffer => createHmac('sha256', key).update(body).digest().subarray(0, TAG_BYTES);

export function encodeMessage(message: Message, key: Buffer): Buffer {
  const name = Buffer.from(message.server);
  const body = Buffer.alloc(FIXED_BYTES + name.length + message.entries.length * ENTRY_BYTES);
  body.writeUInt16BE(MAGIC, 0);
  body.writeUInt8(VERSION, 2);
  body.writeUInt8(KINDS.indexOf(message.kind), 3);
  body.writeUInt8(name.length, 4);
  body.writeUInt16BE(message.entries.length, 6);
  body.writeBigUInt64BE(message.nonce, 8);
  body.writeBigUInt64BE(message.sequence, 16);
  name.copy(body, FIXED_BYTES);
  message.entries.forEach((entry, i) => {
    const at = FIXED_BYTES + name.length + i * ENTRY_BYTES;
    writeMac(body, at, entry.receiver);
    writeMac(body, at + 6, entry.sender);
    body.writeUIntBE(Math.round(entry.rateBps), at + 14, 6);
    body.writeUInt16BE(Math.min(entry.senders, 0xffff), at + 20);
    body.writeUInt16BE(Math.min(Math.round(entry.holdMs), MAX_HOLD_MS), at + 22);
  });
  return Buffer.concat([body, tag(body, key)]);
}

/** undefined: not an authentic message. */
export function decodeMessage(datagram: Buffer, key: Buffer): Message | undefined {
  if (datagram.length < FIXED_BYTES + TAG_BYTES || datagram.readUInt16BE(0) !== MAGIC || datagram.readUInt8(2) !== VERSION)
    return undefined;
  const kind = KINDS[datagram.readUInt8(3)];
  const nameBytes = datagram.readUInt8(4);
  const count = datagram.readUInt16BE(6);
  if (kind === undefined || datagram.length !== FIXED_BYTES + nameBytes + count * ENTRY_BYTES + TAG_BYTES) return undefined;
  const body = datagram.subarray(0, datagram.length - TAG_BYTES);
  if (!timingSafeEqual(tag(body, key), datagram.subarray(body.length))) return undefined;
  const entriesAt = FIXED_BYTES + nameBytes;
  return {
    kind,
    server: body.toString('utf8', FIXED_BYTES, entriesAt),
    nonce: body.readBigUInt64BE(8),
    sequence: body.readBigUInt64BE(16),
    entries: Array.from({ length: count }, (_, i): Feedback => {
      const at = entriesAt + i * ENTRY_BYTES;
      return {
        receiver: macText(body, at),
        sender: macText(body, at + 6),
        rateBps: body.readUIntBE(at + 14, 6),
        senders: body.readUInt16BE(at + 20),
        holdMs: body.readUInt16BE(at + 22),
      };
    }),
  };
}
