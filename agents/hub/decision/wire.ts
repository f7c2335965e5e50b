/** What AINs and DMNs say to each other, byte by byte (native/ain.c has the same). Pure but for the clockless HMAC. */
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import { addressBytes, addressFromBytes, type Address, type Family } from '../../lib/prefix.ts';
import { macBytes } from '../../lib/bytes.ts';
import { derivedKey } from '../../lib/secret.ts';

/** UDP port of DMNs, and of AINs. */
export const DMN_PORT = 7801;
export const AIN_PORT = 7802;

/** answer: an action and its packet in one. */
export const MESSAGES = { query: 1, action: 2, packet: 3, probe: 4, probed: 5, answer: 6 } as const;
export const HEADER_BYTES = 24;
const TAG_BYTES = 16;
/** native/action.h: struct flow. */
export const FLOW_BYTES = 44;
const MAGIC = 0x48;
/** Longer actions go in segments: each has the flow, the length of the whole, and its place. */
export const SEGMENT_BYTES = 1024;

/** Key of a cell's data, from the secret of its run. A KeyObject: with a Buffer every message costs five times as much. */
export const dataKey = (secret: string, cell: string): KeyObject => createSecretKey(derivedKey(secret, `hub data ${cell}`));

export interface Header {
  readonly type: number;
  readonly tries: number;
  readonly sender: number;
  readonly session: bigint;
  readonly number: bigint;
}

const tagOf = (key: KeyObject, message: Buffer): Buffer => createHmac('sha256', key).update(message).digest().subarray(0, TAG_BYTES);

export function seal(key: KeyObject, { type, tries, sender, session, number }: Header, ...payload: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = MAGIC;
  header[1] = type;
  header[2] = tries;
  header.writeUInt32BE(sender, 4);
  header.writeBigUInt64BE(session, 8);
  header.writeBigUInt64BE(number, 16);
  const message = Buffer.concat([header, ...payload]);
  return Buffer.concat([message, tagOf(key, message)]);
}

/** undefined: it is no message of the cell. */
export function unseal(key: KeyObject, message: Buffer): { header: Header; payload: Buffer } | undefined {
  const end = message.length - TAG_BYTES;
  if (end < HEADER_BYTES || message[0] !== MAGIC) return undefined;
  if (!timingSafeEqual(tagOf(key, message.subarray(0, end)), message.subarray(end))) return undefined;
  return {
    header: {
      type: message[1] as number,
      tries: message[2] as number,
      sender: message.readUInt32BE(4),
      session: message.readBigUInt64BE(8),
      number: message.readBigUInt64BE(16),
    },
    payload: message.subarray(HEADER_BYTES, end),
  };
}

export interface Flow {
  readonly network: number;
  readonly family: Family;
  readonly protocol: number;
  readonly isFragment: boolean;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly source: Address;
  readonly destination: Address;
}

export function writeFlow(flow: Flow): Buffer {
  const b = Buffer.alloc(FLOW_BYTES);
  b.writeUInt32LE(flow.network, 0);
  b[4] = flow.family;
  b[5] = flow.protocol;
  b[6] = flow.isFragment ? 1 : 0;
  b.writeUInt16BE(flow.sourcePort, 8);
  b.writeUInt16BE(flow.destinationPort, 10);
  addressBytes(flow.source).copy(b, 12);
  addressBytes(flow.destination).copy(b, 28);
  return b;
}

/** struct flow: its first word is in the order of the AIN's processor, which is little-endian. undefined: it is none. */
export function readFlow(b: Buffer): Flow | undefined {
  const family = b[4];
  if (b.length < FLOW_BYTES || (family !== 4 && family !== 6)) return undefined;
  const size = family === 4 ? 4 : 16;
  return {
    network: b.readUInt32LE(0),
    family,
    protocol: b[5] as number,
    isFragment: b[6] === 1,
    sourcePort: b.readUInt16BE(8),
    destinationPort: b.readUInt16BE(10),
    source: addressFromBytes(b.subarray(12, 12 + size)),
    destination: addressFromBytes(b.subarray(28, 28 + size)),
  };
}

export interface Output {
  readonly to: string;
  readonly from: string;
  /** Number of the network that it is delivered to; 0: another AIN delivers it. */
  readonly network: number;
}

/** What an AIN can be told to do with the packets of a flow. */
export type Op =
  | { readonly op: 'hop' }
  | { readonly op: 'source' | 'destination'; readonly address: Address }
  | { readonly op: 'source-port' | 'destination-port'; readonly port: number }
  | ({ readonly op: 'output' } & Output)
  /** A copy beside the output, with addresses of its own. */
  | ({ readonly op: 'replica'; readonly source: Address; readonly destination: Address } & Output)
  | { readonly op: 'drop'; readonly reason: 'no-route' | 'denied' }
  /**
   * Every packet of the flow is an answer of a name server to hosts of the network `asker`, and is asked for: the action is for those that
   * come back, and for answers whose addresses are known. One that changes may be remembered for `ttlSeconds`.
   */
  | { readonly op: 'ask'; readonly asker: number; readonly ttlSeconds: number }
  /** The asker sees an address in answers as another one; `generation`: by the metadata of that version, and no later one. */
  | { readonly op: 'sees'; readonly address: Address; readonly as: Address; readonly generation: number }
  | { readonly op: 'valid'; readonly domain: number; readonly generation: number };

const OPS: Record<Op['op'], number> = {
  hop: 1,
  source: 2,
  destination: 3,
  'source-port': 4,
  'destination-port': 5,
  output: 6,
  replica: 7,
  drop: 8,
  valid: 9,
  ask: 10,
  sees: 11,
};
const REASONS = { 'no-route': 0, denied: 1 } as const;

function words(...values: readonly number[]): Buffer {
  const b = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => b.writeUInt32BE(value, 4 * i));
  return b;
}

function operand(op: Op): Buffer {
  switch (op.op) {
    case 'hop':
      return Buffer.alloc(0);
    case 'ask':
      return words(op.asker, op.ttlSeconds);
    case 'sees':
      return Buffer.concat([
        Buffer.from([op.address.value === op.as.value ? 1 : 0]),
        words(op.generation),
        addressBytes(op.address),
        addressBytes(op.as),
      ]);
    case 'source':
    case 'destination':
      return addressBytes(op.address);
    case 'source-port':
    case 'destination-port':
      return Buffer.from([op.port >> 8, op.port & 0xff]);
    case 'output':
    case 'replica': {
      const addresses = op.op === 'replica' ? [addressBytes(op.source), addressBytes(op.destination)] : [];
      return Buffer.concat([macBytes(op.to), macBytes(op.from), words(op.network), ...addresses]);
    }
    case 'drop':
      return Buffer.from([REASONS[op.reason]]);
    case 'valid':
      return words(op.domain, op.generation);
  }
}

export const encodeOps = (ops: readonly Op[]): Buffer =>
  Buffer.concat(
    ops.map((op) => {
      const bytes = operand(op);
      return Buffer.concat([Buffer.from([OPS[op.op], bytes.length]), bytes]);
    }),
  );

/**
 * Payloads of the messages that carry an action, or a packet: one, or its segments in their order. No message is longer than a packet may
 * be: fragments have no ports, and processors that messages are spread over would let them overtake each other.
 */
export function segmented(flow: Buffer, whole: Buffer, segmentBytes = SEGMENT_BYTES): Buffer[] {
  const payloads: Buffer[] = [];
  for (let offset = 0; offset < whole.length; offset += segmentBytes) {
    const place = Buffer.alloc(4);
    place.writeUInt16BE(whole.length, 0);
    place.writeUInt16BE(offset, 2);
    payloads.push(Buffer.concat([flow, place, whole.subarray(offset, offset + segmentBytes)]));
  }
  return payloads;
}

/** Of an Ethernet frame's 1500 bytes, without what is around a payload. */
const WHOLE_BYTES = 1400;

/** Payload of one message that carries a short action and its packet. undefined: they go in messages of their own. */
export function together(flow: Buffer, ops: Buffer, packet: Buffer, segmentBytes = SEGMENT_BYTES): Buffer | undefined {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(ops.length);
  const whole = Buffer.concat([flow, length, ops, packet]);
  return ops.length <= segmentBytes && whole.length <= WHOLE_BYTES ? whole : undefined;
}
