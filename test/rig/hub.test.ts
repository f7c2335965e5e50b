/** The fast path of the hub's AINs in this machine's kernel, on crafted packets: what an action makes of them, and what is refused. */
import assert from 'node:assert/strict';
import { encodeOps, writeFlow, type Op } from '../../agents/hub/decision/wire.ts';
import { addressBytes, addressFromBytes, formatAddress } from '../../agents/lib/prefix.ts';
import {
  address,
  COPY,
  FAR,
  flowOf,
  frameOf,
  GATEWAY,
  ICMP,
  ICMPV6,
  install,
  OK,
  OTHER,
  PEER,
  pseudo,
  read,
  REDIRECT,
  rig,
  run,
  SHOT,
  sum,
  TCP,
  TO,
  UDP,
  V4,
  V6,
  VALID,
  type Sent,
} from '../support/ain.ts';

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
  await install(path, writeFlow(flowOf(sent)), encodeOps([{ op: 'hop' }, TO, { op: 'ask', asker: 2, ttlSeconds: 30 }, VALID]));
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
