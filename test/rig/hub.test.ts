/** The fast path of the hub's AINs in this machine's kernel, on crafted packets: what an action makes of them, and what is refused. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { encodeOps, writeFlow, type Flow, type Op } from '../../agents/hub/decision/wire.ts';
import { branchMac } from '../../agents/hub/model.ts';
import { startFastPath } from '../../agents/hub/nodes/ain.ts';
import type { CommandHelper, TestRun } from '../../agents/lib/commandhelper.ts';
import { macBytes } from '../../agents/lib/bytes.ts';
import { addressBytes, addressFromBytes, formatAddress, parseAddress, type Address } from '../../agents/lib/prefix.ts';
import { BUILD_DIR } from '../../src/core/paths.ts';

const [OK, SHOT, REDIRECT] = [0, 2, 7];
const [ICMP, TCP, UDP, ICMPV6, FRAGMENT] = [1, 6, 17, 58, 44];
const GATEWAY = '02:00:00:00:00:0a';
const OTHER = '02:00:00:00:00:0b';
const PEER = '02:00:00:00:0a:02';
const BRANCH = branchMac(1, 1);
const FAR = branchMac(1, 2);
const address = (text: string): Address => parseAddress(text)!;

/** Of the Internet (RFC 1071), over 16-bit words. */
function sum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return total;
}
const SUM_AT: Readonly<Record<number, number>> = { [TCP]: 16, [UDP]: 6, [ICMPV6]: 2, [ICMP]: 2 };

interface Sent {
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
  readonly to?: string;
  readonly from?: string;
}

const pseudo = (source: Buffer, destination: Buffer, protocol: number, length: number): Buffer =>
  Buffer.concat([source, destination, Buffer.from([0, 0, length >> 8, length & 0xff, 0, 0, 0, protocol])]);

function frameOf(sent: Sent): Buffer {
  const { protocol, ttl = 64, offset = 0, more = false, noSum = false, to = BRANCH, from = GATEWAY } = sent;
  const [source, destination] = [addressBytes(address(sent.source)), addressBytes(address(sent.destination))];
  const isV4 = source.length === 4;
  const carried = Buffer.alloc(48, 7);
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
    header = Buffer.concat([Buffer.from([0x45, 0, 0, 20 + carried.length, 0, 9, 0, 0, ttl, protocol, 0, 0]), source, destination]);
    header.writeUInt16BE((more ? 0x2000 : 0) | (offset / 8), 6);
    header.writeUInt16BE(~sum(header) & 0xffff, 10);
  } else {
    const fragment = isFragment ? Buffer.from([protocol, 0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, 0, 5]) : Buffer.alloc(0);
    const length = fragment.length + carried.length;
    header = Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, length, isFragment ? FRAGMENT : protocol, ttl]), source, destination, fragment]);
  }
  return Buffer.concat([macBytes(to), macBytes(from), Buffer.from(isV4 ? [8, 0] : [0x86, 0xdd]), header, carried]);
}

/** What a frame says, and whether its checksums are right. */
function read(frame: Buffer) {
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

const flowOf = ({ source, destination, protocol, sourcePort = 0, destinationPort = 0, offset = 0 }: Sent): Flow => ({
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
const install = (path: CommandHelper, flow: Buffer, ops: Buffer): Promise<string> =>
  path.ask('action', flow.toString('hex'), ops.toString('hex'));
const run = (path: CommandHelper, frame: Buffer, count = 1): Promise<TestRun> => path.testRun(['run', count], frame);

const VALID: Op = { op: 'valid', domain: 1, generation: 5 };
const OUTPUT = { to: OTHER, from: FAR, network: 2 };
const TO: Op = { op: 'output', ...OUTPUT };
const COPY = (source: string, destination: string): Op => ({
  op: 'replica',
  ...OUTPUT,
  source: address(source),
  destination: address(destination),
});

const skip = existsSync(join(BUILD_DIR, 'ain')) ? false : 'not built: lab/setup.sh --with-hub';
const rig = (title: string, work: (path: CommandHelper) => Promise<void>): void =>
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

const V4 = { source: '192.168.1.1', destination: '172.16.5.5' };
const V6 = { source: '2001:db8::1', destination: '2001:db8:5::5' };
const PORTS = { sourcePort: 40_000, destinationPort: 53 };

for (const [name, sent, translated] of [
  ['UDP', { ...V4, ...PORTS, protocol: UDP }, '12.7.1.1'],
  ['TCP', { ...V4, ...PORTS, protocol: TCP }, '12.7.1.1'],
  ['an echo', { ...V4, protocol: ICMP }, '12.7.1.1'],
  ['the first fragment', { ...V4, ...PORTS, protocol: UDP, more: true }, '12.7.1.1'],
  ['a later fragment', { ...V4, protocol: UDP, offset: 48 }, '12.7.1.1'],
  ['UDP over IPv6', { ...V6, ...PORTS, protocol: UDP }, '2001:db8:7::1'],
  ['TCP over IPv6', { ...V6, ...PORTS, protocol: TCP }, '2001:db8:7::1'],
  ['an echo over IPv6', { ...V6, protocol: ICMPV6 }, '2001:db8:7::1'],
  ['a later fragment over IPv6', { ...V6, protocol: UDP, offset: 48 }, '2001:db8:7::1'],
] as const satisfies readonly (readonly [string, Sent, string])[]) {
  rig(`R1-29 ${name}: the source is another, all checksums are right, one hop less, and nothing else changes`, async (path) => {
    const before = frameOf(sent);
    assert.deepEqual(read(before).sums, [true, true]);
    await install(path, writeFlow(flowOf(sent)), encodeOps([{ op: 'hop' }, { op: 'source', address: address(translated) }, TO, VALID]));
    const { action, frame } = await run(path, before);
    assert.equal(action, REDIRECT);
    const [was, is] = [read(before), read(frame)];
    assert.deepEqual(is, { ...was, to: OTHER.replaceAll(':', ''), source: 'translated', ttl: 63 });
  });
}

for (const [name, error, quoted, stand] of [
  ['IPv4', V4, { source: '172.16.5.5', destination: '192.168.1.77' }, '12.7.1.1'],
  ['IPv6', V6, { source: '2001:db8:5::5', destination: '2001:db8::77' }, '2001:db8:7::1'],
] as const) {
  rig(`an ICMP error over ${name}: what it quotes is what its receiver sent, and its checksums are right`, async (path) => {
    const isV4 = name === 'IPv4';
    const protocol = isV4 ? ICMP : ICMPV6;
    const [type, header] = isV4 ? [3, 20] : [1, 40];
    const inner = frameOf({ ...quoted, ...PORTS, protocol: UDP }).subarray(14);
    const outer = frameOf({ ...error, protocol }).subarray(0, 14 + header);
    const carried = Buffer.concat([Buffer.from([type, 1, 0, 0, 0, 0, 0, 0]), inner]);
    const [source, destination] = [addressBytes(address(error.source)), addressBytes(address(error.destination))];
    carried.writeUInt16BE(~sum(...(isV4 ? [carried] : [pseudo(source, destination, protocol, carried.length), carried])) & 0xffff, 2);
    if (isV4) {
      outer.writeUInt16BE(header + carried.length, 14 + 2);
      outer.writeUInt16BE(0, 14 + 10);
      outer.writeUInt16BE(~sum(outer.subarray(14)) & 0xffff, 14 + 10);
    } else outer.writeUInt16BE(carried.length, 14 + 4);
    const before = Buffer.concat([outer, carried]);
    assert.deepEqual(read(before).sums, [true, true]);
    const flow = { ...flowOf({ ...error, protocol }), sourcePort: 0, destinationPort: (type << 8) | 1 };
    await install(path, writeFlow(flow), encodeOps([{ op: 'hop' }, { op: 'source', address: address(stand) }, TO, VALID]));
    const { action, frame } = await run(path, before);
    assert.equal(action, REDIRECT);
    assert.deepEqual(read(frame).sums, [true, true]);
    const after = frame.subarray(14 + header + 8);
    const at = isV4 ? 12 : 8;
    const size = isV4 ? 4 : 16;
    const addressesOf = (ip: Buffer) =>
      [ip.subarray(at, at + size), ip.subarray(at + size, at + 2 * size)].map((b) => formatAddress(addressFromBytes(b)));
    assert.deepEqual(addressesOf(after), [quoted.source, isV4 ? '12.7.1.77' : '2001:db8:7::77']);
    if (isV4) assert.equal(sum(after.subarray(0, 20)), 0xffff);
    assert.ok(after.subarray(header).equals(inner.subarray(header)));
  });
}

for (const [family, sent, [firstSource, firstTo], [secondSource, secondTo], [source, to]] of [
  ['IPv4', V4, ['12.8.1.1', '10.0.0.1'], ['192.168.1.1', '10.0.0.2'], ['12.7.1.1', '10.0.0.3']],
  ['IPv6', V6, ['2001:db8:8::1', '2001:db8:9::1'], ['2001:db8::1', '2001:db8:9::2'], ['2001:db8:7::1', '2001:db8:9::3']],
] as const) {
  rig(`R1-47 copies over ${family}: after all of them the packet has the last addresses, and right checksums`, async (path) => {
    const packet = { ...sent, ...PORTS, protocol: UDP };
    const ops: Op[] = [
      { op: 'hop' },
      COPY(firstSource, firstTo),
      COPY(secondSource, secondTo),
      { op: 'source', address: address(source) },
      { op: 'destination', address: address(to) },
      TO,
      VALID,
    ];
    await install(path, writeFlow(flowOf(packet)), encodeOps(ops));
    const { action, frame } = await run(path, frameOf(packet));
    assert.equal(action, REDIRECT);
    const is = read(frame);
    assert.deepEqual([is.source, is.destination, is.sums], ['translated', addressBytes(address(to)).toString('hex'), [true, true]]);
    assert.equal((await path.counts('tally', 2))['out'], 3);
  });
}

rig('both addresses and both ports; UDP without a checksum stays without', async (path) => {
  const sent = { ...V4, ...PORTS, protocol: UDP, noSum: true };
  const ops: Op[] = [
    { op: 'hop' },
    { op: 'source', address: address('12.7.1.1') },
    { op: 'destination', address: address('10.0.0.9') },
    { op: 'source-port', port: 1 },
    { op: 'destination-port', port: 2 },
    TO,
    VALID,
  ];
  await install(path, writeFlow(flowOf(sent)), encodeOps(ops));
  const { frame } = await run(path, frameOf(sent));
  const { ports, destination } = read(frame);
  assert.deepEqual([ports, destination, frame.readUInt16BE(14 + 20 + 6)], [[1, 2], '0a000009', 0]);
  const summed = { ...sent, noSum: false };
  assert.deepEqual(read((await run(path, frameOf(summed))).frame).sums, [true, true]);
});

rig(
  'from anybody but its gateway a branch takes nothing; what another AIN hands over is delivered; the rest is the kernel’s',
  async (path) => {
    const sent = { ...V4, ...PORTS, protocol: UDP };
    await install(path, writeFlow(flowOf(sent)), encodeOps([{ op: 'hop' }, TO, VALID]));
    assert.equal((await run(path, frameOf({ ...sent, from: OTHER }))).action, SHOT);
    assert.equal((await run(path, frameOf({ ...sent, to: '02:00:00:00:00:ff' }))).action, OK);
    const handed = await run(path, frameOf({ ...sent, to: FAR, from: PEER }));
    assert.equal(handed.action, REDIRECT);
    assert.equal(handed.frame.toString('hex', 0, 12), (OTHER + FAR).replaceAll(':', ''));
    const { strangers } = await path.counts('tally', 1);
    const { out } = await path.counts('tally', 2);
    assert.deepEqual([strangers, out], [1, 1]);
  },
);

rig('an action of older metadata, a hop too many, and a drop with its reason', async (path) => {
  const sent = { ...V4, ...PORTS, protocol: UDP };
  const flow = writeFlow(flowOf(sent));
  await install(path, flow, encodeOps([{ op: 'hop' }, TO, VALID]));
  assert.equal((await run(path, frameOf({ ...sent, ttl: 1 }))).action, SHOT);
  await path.ask('domain', 1, 6);
  const missed = await run(path, frameOf(sent));
  assert.equal(missed.action, REDIRECT);
  assert.ok(missed.frame.equals(frameOf(sent)), 'it goes to a DMN as it came');
  for (const reason of ['no-route', 'denied'] as const) {
    await install(
      path,
      flow,
      encodeOps([
        { op: 'drop', reason },
        { ...VALID, generation: 6 },
      ]),
    );
    assert.equal((await run(path, frameOf(sent))).action, SHOT);
  }
  const { misses, expired, noRoute, denied } = await path.counts('tally', 1);
  assert.deepEqual([misses, expired, noRoute, denied], [1, 1, 1, 1]);
});

rig('R1-42 an action that is to be asked for is executed on no packet from outside: each goes to a DMN as it came', async (path) => {
  const sent = { ...V4, ...PORTS, protocol: UDP };
  await install(path, writeFlow(flowOf(sent)), encodeOps([{ op: 'hop' }, TO, { op: 'ask' }, VALID]));
  for (let i = 0; i < 2; i++) assert.ok((await run(path, frameOf(sent))).frame.equals(frameOf(sent)));
  const { hits, misses, out } = await path.counts('tally', 1);
  assert.deepEqual([hits, misses, out], [0, 2, 0]);
});

rig('a flood of new flows of one network is bounded, and takes nothing from another', async (path) => {
  await path.ask('settings', 1, 'ab'.repeat(32), 7802, 60_000, 60_000, 1, 10);
  await run(path, frameOf({ ...V4, ...PORTS, protocol: UDP }), 100);
  const { misses, shed } = await path.counts('tally', 1);
  assert.ok((misses ?? 0) <= 12 && (misses ?? 0) + (shed ?? 0) === 100, `${misses} asked, ${shed} dropped`);
  assert.equal((await run(path, frameOf({ ...V4, ...PORTS, protocol: UDP, to: FAR, from: OTHER }))).action, REDIRECT);
});

rig('what an AIN does not know, or may not do, is no action', async (path) => {
  const flow = writeFlow(flowOf({ ...V4, ...PORTS, protocol: UDP }));
  const refused = async (ops: Buffer) => assert.rejects(install(path, flow, ops), /action: Invalid argument/);
  await refused(Buffer.from([99, 0]));
  await refused(Buffer.from([6, 16, 1]));
  await refused(encodeOps([TO]));
  await refused(encodeOps([VALID]));
  await refused(encodeOps([TO, TO, VALID]));
  await refused(encodeOps([{ op: 'source', address: address('2001:db8::1') }, TO, VALID]));
  await refused(encodeOps([{ op: 'output', to: GATEWAY, from: FAR, network: 2 }, VALID]));
  await refused(encodeOps([{ op: 'output', to: OTHER, from: GATEWAY, network: 2 }, VALID]));
  // To another AIN it hands packets at one of its branches, not to a gateway.
  await refused(encodeOps([{ op: 'output', to: OTHER, from: '00:00:00:00:00:00', network: 0 }, VALID]));
  await refused(encodeOps([...Array.from({ length: 33 }, (): Op => COPY('10.0.0.1', '10.0.0.2')), TO, VALID]));
  assert.equal((await path.counts('counters'))['installed'], 0);
});
