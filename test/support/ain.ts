/** The fast path of an AIN in this machine's kernel: crafted packets, what an action makes of them, and what they say. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Flow, Op } from '../../agents/hub/decision/wire.ts';
import { branchMac } from '../../agents/hub/model.ts';
import { startFastPath } from '../../agents/hub/nodes/ain.ts';
import type { CommandHelper, TestRun } from '../../agents/lib/commandhelper.ts';
import { macBytes } from '../../agents/lib/bytes.ts';
import { addressBytes, parseAddress, type Address } from '../../agents/lib/prefix.ts';
import { BUILD_DIR } from '../../src/core/paths.ts';

export const [OK, SHOT, REDIRECT] = [0, 2, 7];
export const [ICMP, TCP, UDP, ICMPV6, FRAGMENT] = [1, 6, 17, 58, 44];
export const GATEWAY = '02:00:00:00:00:0a';
export const OTHER = '02:00:00:00:00:0b';
export const PEER = '02:00:00:00:0a:02';
export const BRANCH = branchMac(1, 1);
export const FAR = branchMac(1, 2);
export const address = (text: string): Address => parseAddress(text)!;

/** Of the Internet (RFC 1071), over 16-bit words. */
export function sum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return total;
}
const SUM_AT: Readonly<Record<number, number>> = { [TCP]: 16, [UDP]: 6, [ICMPV6]: 2, [ICMP]: 2 };

export interface Sent {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly ttl?: number;
  /** Offset of a fragment in bytes, and whether there are more. */
  readonly offset?: number;
  readonly more?: boolean;
  /** UDP without a checksum. */
  readonly noSum?: boolean;
  /** Of a UDP datagram. */
  readonly data?: Buffer;
  readonly to?: string;
  readonly from?: string;
}

export const pseudo = (source: Buffer, destination: Buffer, protocol: number, length: number): Buffer =>
  Buffer.concat([source, destination, Buffer.from([0, 0, length >> 8, length & 0xff, 0, 0, 0, protocol])]);

export function frameOf(sent: Sent): Buffer {
  const { protocol, ttl = 64, offset = 0, more = false, noSum = false, data, to = BRANCH, from = GATEWAY } = sent;
  const [source, destination] = [addressBytes(address(sent.source)), addressBytes(address(sent.destination))];
  const isV4 = source.length === 4;
  const carried = data ? Buffer.concat([Buffer.alloc(8), data]) : Buffer.alloc(48, 7);
  if (offset === 0) {
    carried.writeUInt16BE(sent.sourcePort ?? 0, 0);
    carried.writeUInt16BE(sent.destinationPort ?? 0, 2);
    if (protocol === UDP) carried.writeUInt16BE(carried.length, 4);
    if (protocol === ICMP) carried.set([8, 0, 0, 0, 0x12, 0x34], 0);
    if (protocol === ICMPV6) carried.set([128, 0, 0, 0, 0x12, 0x34], 0);
    const at = SUM_AT[protocol] as number;
    carried.writeUInt16BE(0, at);
    const over = protocol === ICMP ? [carried] : [pseudo(source, destination, protocol, carried.length), carried];
    if (!noSum) carried.writeUInt16BE(~sum(...over) & 0xffff, at);
  }
  const isFragment = offset > 0 || more;
  let header: Buffer;
  if (isV4) {
    const length = 20 + carried.length;
    header = Buffer.concat([Buffer.from([0x45, 0, length >> 8, length & 0xff, 0, 9, 0, 0, ttl, protocol, 0, 0]), source, destination]);
    header.writeUInt16BE((more ? 0x2000 : 0) | (offset / 8), 6);
    header.writeUInt16BE(~sum(header) & 0xffff, 10);
  } else {
    const fragment = isFragment ? Buffer.from([protocol, 0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, 0, 5]) : Buffer.alloc(0);
    const length = fragment.length + carried.length;
    header = Buffer.concat([
      Buffer.from([0x60, 0, 0, 0, length >> 8, length & 0xff, isFragment ? FRAGMENT : protocol, ttl]),
      source,
      destination,
      fragment,
    ]);
  }
  return Buffer.concat([macBytes(to), macBytes(from), Buffer.from(isV4 ? [8, 0] : [0x86, 0xdd]), header, carried]);
}

/** What a frame says, and whether its checksums are right. */
export function read(frame: Buffer) {
  const isV4 = frame.readUInt16BE(12) === 0x0800;
  const ip = frame.subarray(14);
  const size = isV4 ? 4 : 16;
  const at = isV4 ? 12 : 8;
  const [source, destination] = [ip.subarray(at, at + size), ip.subarray(at + size, at + 2 * size)];
  let [protocol, header, offset] = isV4 ? [ip[9]!, 20, ip.readUInt16BE(6) & 0x1fff] : [ip[6]!, 40, 0];
  if (protocol === FRAGMENT) [protocol, header, offset] = [ip[40]!, 48, ip.readUInt16BE(42) & 0xfff8];
  const carried = Buffer.from(ip.subarray(header));
  const over = protocol === ICMP ? [carried] : [pseudo(source, destination, protocol, carried.length), carried];
  const sums = [!isV4 || sum(ip.subarray(0, 20)) === 0xffff, offset > 0 || sum(...over) === 0xffff];
  // What is compared beside it is all but the checksum.
  if (offset === 0) carried.writeUInt16BE(0, SUM_AT[protocol]);
  return {
    to: frame.toString('hex', 0, 6),
    source: source.equals(addressBytes(address(isV4 ? '12.7.1.1' : '2001:db8:7::1'))) ? 'translated' : source.toString('hex'),
    destination: destination.toString('hex'),
    ports: [carried.readUInt16BE(0), carried.readUInt16BE(2)],
    ttl: isV4 ? ip[8]! : ip[7]!,
    sums,
    carried,
  };
}

export const flowOf = ({ source, destination, protocol, sourcePort = 0, destinationPort = 0, offset = 0 }: Sent): Flow => ({
  network: 1,
  family: address(source).family,
  protocol,
  isFragment: offset > 0,
  ...(protocol === ICMP || protocol === ICMPV6
    ? { sourcePort: 0x1234, destinationPort: protocol === ICMP ? 0x0800 : 0x8000 }
    : offset > 0
      ? { sourcePort: 0, destinationPort: 0 }
      : { sourcePort, destinationPort }),
  source: address(source),
  destination: address(destination),
});
/** An action as a DMN would send it. */
export const install = (path: CommandHelper, flow: Buffer, ops: Buffer): Promise<string> =>
  path.ask('action', flow.toString('hex'), ops.toString('hex'));
export const run = (path: CommandHelper, frame: Buffer, count = 1): Promise<TestRun> => path.testRun(['run', count], frame);

export const VALID = { op: 'valid', domain: 1, generation: 5 } as const satisfies Op;
export const OUTPUT = { to: OTHER, from: FAR, network: 2 };
export const TO: Op = { op: 'output', ...OUTPUT };
export const COPY = (source: string, destination: string): Op => ({
  op: 'replica',
  ...OUTPUT,
  source: address(source),
  destination: address(destination),
});

const skip = existsSync(join(BUILD_DIR, 'ain')) ? false : 'not built: lab/setup.sh --with-hub';
export const rig = (title: string, work: (path: CommandHelper) => Promise<void>): void =>
  (skip ? test.skip : test)(title, async () => {
    // A network namespace of its own: it makes a tap.
    const path = await startFastPath(BUILD_DIR, 1000, ['unshare', '--net']);
    try {
      await path.ask('settings', 1, 'ab'.repeat(32), 7802, 60_000, 60_000, 100_000, 10_000);
      await path.ask('branch', BRANCH, 1, GATEWAY);
      await path.ask('branch', FAR, 2, OTHER);
      await path.ask('peer', PEER);
      await path.ask('domain', 1, 5);
      await work(path);
    } finally {
      await path.stop();
    }
  });

export const V4 = { source: '192.168.1.1', destination: '172.16.5.5' };
export const V6 = { source: '2001:db8::1', destination: '2001:db8:5::5' };
