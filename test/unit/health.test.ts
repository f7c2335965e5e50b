import assert from 'node:assert/strict';
import test from 'ava';
import { TCP_FLAG } from '../../agents/lib/ip.ts';
import { standingAfter, standingKey, SILENT, overflowWeight, weightsOf } from '../../agents/mesh/control/balancing.ts';
import { HealthChecks } from '../../agents/mesh/host/health.ts';
import type { Backend } from '../../agents/mesh/host/ohc.ts';
import { segmentFrame, segmentOf } from '../../agents/mesh/host/segments.ts';
import { ROUTER_ADDRESS } from '../../agents/mesh/host/tables.ts';
import type { Load } from '../../agents/mesh/rows.ts';

const backend: Backend = {
  owner: { name: 'c1', address: '192.0.2.9' },
  network: 'B',
  endpoint: 'b1',
  vnid: 5002,
  mac: '02:00:00:00:00:01',
  port: 'b1',
  service: { addresses: ['10.2.0.100'], port: 80, capacityBps: 10e6 },
};

/** A host with one backend, which answers as it is told. */
function host(answers: (asked: NonNullable<ReturnType<typeof segmentOf>>) => number | null) {
  const reports: Load[] = [];
  const sent: number[] = [];
  let bytes = 0;
  let forgotten = 0;
  const checks: HealthChecks = new HealthChecks({
    answer: (frame, port) => {
      const asked = segmentOf(frame)!;
      assert.deepEqual([port, asked.source, asked.destination, asked.destinationPort], ['b1', ROUTER_ADDRESS, '10.2.0.100', 80]);
      sent.push(asked.flags);
      const flags = asked.flags === TCP_FLAG.syn ? answers(asked) : null;
      if (flags !== null) checks.hear(answer(asked, flags), 'b1');
    },
    sentBytes: async () => new Map([['b1', bytes]]),
    report: (_backend, load) => reports.push(load),
    forget: () => (forgotten += 1),
  });
  return { checks, reports, sent, forgotten: () => forgotten, come: (more: number) => (bytes += more) };
}
const answer = (asked: NonNullable<ReturnType<typeof segmentOf>>, flags: number, acknowledged = asked.sequence + 1): Buffer =>
  segmentFrame({
    ethSrc: backend.mac,
    ethDst: '02:6d:65:73:68:01',
    source: asked.destination,
    destination: asked.source,
    sourcePort: asked.destinationPort,
    destinationPort: asked.sourcePort,
    sequence: 7,
    acknowledged: acknowledged % 2 ** 32,
    flags,
  });

test('a segment is read as it was written, with sums that a kernel takes', () => {
  const frame = answer({ ...segmentOf(segmentFrame({ ...ZERO, sequence: 2 ** 32 - 2 }))! }, TCP_FLAG.syn | TCP_FLAG.ack);
  const read = segmentOf(frame)!;
  assert.deepEqual([read.source, read.acknowledged, read.flags], ['10.2.0.100', 2 ** 32 - 1, TCP_FLAG.syn | TCP_FLAG.ack]);
  const words = (from: number, to: number): number[] => Array.from({ length: (to - from) / 2 }, (_, i) => frame.readUInt16BE(from + 2 * i));
  const folded = (sum: number): number => (sum > 0xffff ? folded((sum & 0xffff) + (sum >>> 16)) : sum);
  const total = (all: readonly number[]): number => folded(all.reduce((a, b) => a + b, 0));
  assert.equal(total(words(14, 34)), 0xffff);
  assert.equal(total([...words(34, 54), ...words(26, 34), 6, 20]), 0xffff);
  assert.equal(segmentOf(frame.subarray(0, 40)), undefined);
});
const ZERO = {
  ethSrc: backend.mac,
  ethDst: backend.mac,
  source: ROUTER_ADDRESS,
  destination: '10.2.0.100',
  sourcePort: 50_000,
  destinationPort: 80,
  sequence: 0,
  acknowledged: 0,
  flags: TCP_FLAG.syn,
};

test('R2-26 a backend that accepts connections lives, and none is left open', async () => {
  const { checks, reports, sent } = host(() => TCP_FLAG.syn | TCP_FLAG.ack);
  await checks.ask([backend], 0);
  assert.deepEqual(reports.at(-1), { isAlive: true, loadBps: 0 });
  assert.deepEqual(sent, [TCP_FLAG.syn, TCP_FLAG.reset]);
});

test('R2-26 one that refuses is dead at once; one that is silent after three questions', async () => {
  let flags: number | null = TCP_FLAG.syn | TCP_FLAG.ack;
  const { checks, reports } = host(() => flags);
  const isAlive = async (): Promise<boolean | undefined> => {
    await checks.ask([backend]);
    return reports.at(-1)?.isAlive;
  };
  assert.equal(await isAlive(), true);
  flags = null;
  // The third unanswered question is found so with the next one.
  assert.deepEqual([await isAlive(), await isAlive(), await isAlive(), await isAlive()], [true, true, true, false]);
  flags = TCP_FLAG.syn | TCP_FLAG.ack;
  assert.equal(await isAlive(), true);
  flags = TCP_FLAG.reset | TCP_FLAG.ack;
  assert.equal(await isAlive(), false);
});

test('R2-26 an answer that nobody asked for says nothing', async () => {
  const { checks, reports } = host((asked) => {
    checks.hear(answer(asked, TCP_FLAG.syn | TCP_FLAG.ack, asked.sequence + 2), 'b1');
    checks.hear(answer(asked, TCP_FLAG.syn | TCP_FLAG.ack), 'b2');
    checks.hear(answer({ ...asked, destination: '10.2.0.1' }, TCP_FLAG.syn | TCP_FLAG.ack), 'b1');
    checks.hear(Buffer.alloc(60), 'b1');
    return null;
  });
  await checks.ask([backend]);
  assert.deepEqual(reports, [{ isAlive: false, loadBps: 0 }]);
});

test('R2-25 what comes to a backend is counted where it leaves the switch; small changes are not told', async () => {
  const { checks, reports, come } = host(() => TCP_FLAG.syn | TCP_FLAG.ack);
  await checks.ask([backend], 0);
  for (let ms = 200; ms <= 1200; ms += 200) {
    come(125_000);
    await checks.ask([backend], ms);
  }
  assert.equal(reports.at(-1)?.loadBps, 5e6);
  const told = reports.length;
  come(127_000);
  await checks.ask([backend], 1400);
  assert.equal(reports.length, told);
});

test('what is no backend any more is forgotten', async () => {
  const { checks, forgotten } = host(() => TCP_FLAG.syn | TCP_FLAG.ack);
  await checks.ask([backend]);
  await checks.ask([]);
  assert.equal(forgotten(), 1);
});

test('R2-26 full is from 90 % of its capacity until below 70 %', () => {
  const after = (loads: readonly number[]): boolean[] => {
    let standing = SILENT;
    return loads.map((loadBps) => (standing = standingAfter(standing, { isAlive: true, loadBps }, 10e6)).isFull);
  };
  assert.deepEqual(after([8.9e6, 9e6, 7.1e6, 6.9e6, 8.9e6]), [false, true, true, false, false]);
});

test('R2-26 shares follow what is spare, and overflow takes all when nothing is', () => {
  const standing = (loadBps: number, isAlive = true) => ({ isAlive, loadBps, isFull: loadBps >= 9e6 });
  const balancer = { address: '10.2.0.100', capacitiesBps: { b1: 10e6, b2: 10e6, b3: 5e6 } };
  const weights = (...loads: ReturnType<typeof standing>[]): Map<string, number> =>
    weightsOf(balancer, new Map(loads.map((l, i) => [standingKey(`b${i + 1}`, balancer.address), l])));
  // Of another balancer that it is a backend of.
  const other = new Map([[standingKey('b1', '10.2.0.101'), standing(0)]]);
  assert.equal(weightsOf(balancer, other).size, 0);
  const spare = weights(standing(0), standing(5e6), standing(0));
  assert.deepEqual(Object.fromEntries(spare), { b1: 100, b2: 50, b3: 50 });
  assert.equal(overflowWeight(spare), 0);
  const one = weights(standing(9.5e6), standing(0, false));
  assert.deepEqual(one, new Map([['b1', 0]]));
  assert.equal(overflowWeight(one), 100);
});
