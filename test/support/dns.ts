/** DNS messages, part by part, and how addresses in them are seen. */
import type { Seen } from '../../agents/hub/names/message.ts';
import { formatAddress, parseAddress, type Address } from '../../agents/lib/prefix.ts';

export const name = (text: string): Buffer =>
  Buffer.concat([...text.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])), Buffer.from([0])]);
export const u16 = (...values: readonly number[]): Buffer => Buffer.from(values.flatMap((v) => [v >> 8, v & 0xff]));
export const POINTER = u16(0xc00c);
export const record = (owner: Buffer, type: number, data: Buffer, ttl = 3600): Buffer =>
  Buffer.concat([owner, u16(type, 1, 0, ttl, data.length), data]);
export const QUESTION = Buffer.concat([name('www.c.example'), u16(1, 1)]);
/** Flags: an answer, authoritative, authentic. */
export const message = (answers: readonly Buffer[], more: readonly Buffer[] = [], flags = 0x8420): Buffer =>
  Buffer.concat([u16(0x1234, flags, 1, answers.length, 0, more.length), QUESTION, ...answers, ...more]);
export const bytes = (text: string): Buffer => Buffer.from(text.split('.').map(Number));
export const REAL = bytes('192.168.1.1');
export const A = record(POINTER, 1, REAL);

/** 192.168.1.x is seen as 12.7.1.x, fd00:: as fd01::. */
export const seen = (a: Address): Seen => {
  const text = formatAddress(a);
  if (text.startsWith('192.168.1.')) return parseAddress(text.replace('192.168', '12.7'))!;
  return text.startsWith('fd00::') ? parseAddress(text.replace('fd00', 'fd01'))! : 'same';
};
