/**
 * Feedback message: an explicit rate for one (sender, receiver) pair. Authenticated with HMAC-SHA-256 under
 * the provider's key, and numbered, so that a forged or replayed one changes nothing and is counted (R4-15).
 *
 *   0  u16 magic   2  u8 version   3  u8 length of the server name   4  u16 senders   6  u16 reserved
 *   8  u64 sequence (of the sending server)      16  u64 rate, bit/s
 *  24  6 receiver MAC   30  6 sender MAC   36  server name   36+n  16 truncated HMAC
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { macText } from '../lib/mac.ts';

export interface Feedback {
  /** Server that sends it. */
  readonly server: string;
  readonly sequence: bigint;
  /** vNIC that receives too much. */
  readonly receiver: string;
  /** vNIC, on the addressed server, that is to be limited. */
  readonly sender: string;
  readonly rateBps: number;
  readonly senders: number;
}

const MAGIC = 0x676b;
const VERSION = 1;
const FIXED_BYTES = 36;
const TAG_BYTES = 16;

const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
const tag = (body: Buffer, key: Buffer): Buffer => createHmac('sha256', key).update(body).digest().subarray(0, TAG_BYTES);

export function encodeFeedback(message: Feedback, key: Buffer): Buffer {
  const name = Buffer.from(message.server);
  const body = Buffer.alloc(FIXED_BYTES + name.length);
  body.writeUInt16BE(MAGIC, 0);
  body.writeUInt8(VERSION, 2);
  body.writeUInt8(name.length, 3);
  body.writeUInt16BE(Math.min(message.senders, 0xffff), 4);
  body.writeBigUInt64BE(message.sequence, 8);
  body.writeBigUInt64BE(BigInt(Math.round(message.rateBps)), 16);
  macBytes(message.receiver).copy(body, 24);
  macBytes(message.sender).copy(body, 30);
  name.copy(body, FIXED_BYTES);
  return Buffer.concat([body, tag(body, key)]);
}

/** undefined: not an authentic message. */
export function decodeFeedback(datagram: Buffer, key: Buffer): Feedback | undefined {
  if (datagram.length < FIXED_BYTES + TAG_BYTES || datagram.readUInt16BE(0) !== MAGIC || datagram.readUInt8(2) !== VERSION) return undefined;
  const nameBytes = datagram.readUInt8(3);
  if (datagram.length !== FIXED_BYTES + nameBytes + TAG_BYTES) return undefined;
  const body = datagram.subarray(0, FIXED_BYTES + nameBytes);
  if (!timingSafeEqual(tag(body, key), datagram.subarray(FIXED_BYTES + nameBytes))) return undefined;
  return {
    server: body.toString('utf8', FIXED_BYTES), sequence: body.readBigUInt64BE(8), receiver: macText(body, 24), sender: macText(body, 30),
    rateBps: Number(body.readBigUInt64BE(16)), senders: body.readUInt16BE(4),
  };
}

/** Rejects what is not newer than the last message of the same server. */
export class ReplayGuard {
  readonly #last = new Map<string, bigint>();

  accept(message: Feedback): boolean {
    const last = this.#last.get(message.server);
    if (last !== undefined && message.sequence <= last) return false;
    this.#last.set(message.server, message.sequence);
    return true;
  }
}
