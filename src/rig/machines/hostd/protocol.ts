/**
 * What netrig and its process on a remote machine (hostd) say to each other over one SSH channel: many commands at
 * once, their streams as bytes. Written here because JSON-RPC libraries carry no streams, and because sshd allows some
 * ten channels a connection only (MaxSessions).
 *
 * A frame: payload bytes (u32), kind (u8), id (u32) of the command or call that it belongs to, payload.
 */
import { constants } from 'node:os';
import { Type, type TSchema } from 'typebox';
import { nullable, opt, record } from '../../../core/config/parts.ts';
import type { Described } from '../../../core/readonly.ts';
import { labRecord } from '../../labs/journal.ts';
import { stepHost } from '../../labs/steps.ts';
import { lease } from '../../leases/lease.ts';

export const KIND = {
  /**
   * To hostd: {method, params}; {argv, env}; bytes; nothing; a signal's name, after "-" for the whole group; path and
   * content; path; nothing; nothing.
   */
  call: 1,
  spawn: 2,
  stdin: 3,
  stdinEnd: 4,
  signal: 5,
  put: 6,
  get: 7,
  ping: 8,
  cancel: 9,
  /** From hostd: any value; {code, message, hint}; bytes; bytes; Exit; bytes of a file. */
  result: 11,
  error: 12,
  stdout: 13,
  stderr: 14,
  exit: 15,
  data: 16,
} as const;

export interface Frame {
  readonly kind: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** Methods of Machine that hostd does as they are called, and what they answer; parameters and answers are JSON. */
export const METHODS = {
  claim: Type.Null(),
  apply: Type.Object({
    failed: nullable(
      Type.Object({
        step: Type.Object({ title: Type.String(), host: stepHost, argv: Type.Array(Type.String()) }),
        status: Type.Number(),
        output: Type.String(),
      }),
    ),
    error: nullable(Type.String()),
  }),
  release: Type.Null(),
  labs: Type.Array(labRecord),
  /** Nanoseconds, as text. */
  clockNs: Type.String({ pattern: '^[0-9]+$' }),
  acquire: Type.String(),
  resume: Type.Null(),
  renew: Type.Null(),
  unlease: Type.Null(),
  lease: nullable(lease),
  hasImage: Type.Boolean(),
  importImage: Type.Null(),
  engineVersion: nullable(Type.String()),
} as const satisfies Record<string, TSchema>;
export type Method = keyof typeof METHODS;
export type Answer<M extends Method> = Described<(typeof METHODS)[M]>;

/** Payloads of frames. */
export const callRequest = Type.Object({ method: Type.Enum(Object.keys(METHODS) as Method[]), params: Type.Array(Type.Unknown()) });
export const spawnRequest = Type.Object({
  argv: Type.Array(Type.String()),
  env: opt(record(Type.String())),
  container: opt(Type.String()),
});
export const exitMessage = Type.Object({ code: nullable(Type.Number()), signal: nullable(Type.String()) });
export const remoteError = Type.Object({ code: Type.String(), message: Type.String(), hint: opt(Type.String()) });
export type RemoteError = Described<typeof remoteError>;
export const isSignal = (text: string): text is NodeJS.Signals => Object.hasOwn(constants.signals, text);

/** hostd hears from its client at least this often, and ends after the silence of several. */
export const PING_MS = 5000;
export const SILENCE_MS = 30_000;

const HEAD_BYTES = 9;
/** Larger contents travel in several frames, so that a capture's transfer does not hold up an agent's heartbeat. */
export const CHUNK_BYTES = 256 * 1024;

export function encode(kind: number, id: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(body.length, 0);
  head.writeUInt8(kind, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

/** Path and content in one payload. */
export function encodeFile(path: string, content: Buffer): Buffer {
  const name = Buffer.from(path);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(name.length);
  return Buffer.concat([length, name, content]);
}

export function decodeFile(payload: Buffer): { path: string; content: Buffer } {
  const end = 4 + payload.readUInt32BE(0);
  return { path: payload.toString('utf8', 4, end), content: payload.subarray(end) };
}

/** Calls `onFrame` for every whole frame of a byte stream. */
export function frameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let size = 0;
  let wanted = HEAD_BYTES;
  return (chunk) => {
    parts.push(chunk);
    size += chunk.length;
    if (size < wanted) return;
    const all = parts.length === 1 ? chunk : Buffer.concat(parts);
    let at = 0;
    for (;;) {
      const left = all.length - at;
      const length = left < HEAD_BYTES ? 0 : all.readUInt32BE(at);
      wanted = HEAD_BYTES + length;
      if (left < wanted) break;
      onFrame({ kind: all.readUInt8(at + 4), id: all.readUInt32BE(at + 5), payload: all.subarray(at + HEAD_BYTES, at + wanted) });
      at += wanted;
    }
    parts = at < all.length ? [all.subarray(at)] : [];
    size = all.length - at;
  };
}
