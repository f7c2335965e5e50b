import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { SerialQueue } from '../../src/core/serial.ts';
import { mapConcurrent, sleep } from '../../src/core/context.ts';
import { CODES, EXIT } from '../../src/core/errors.ts';
import { formatDurationUs, formatRate, parseDurationUs, parseRateBps, parseSizeBytes } from '../../src/core/units.ts';
import { renderErrorsPage, renderEvidenceSchema, renderReportSchema, renderRigSchema, renderTopologySchema } from '../../lab/generate.ts';
import { FakeHost } from '../support/fake-host.ts';
import { startCapture } from '../../src/capture/live.ts';
import { renderTable } from '../../src/cli/table.ts';
import { ROOT } from '../support/netrig.ts';
import { classicPcap, sampleFrames } from '../support/pcap.ts';

test('quantities', () => {
  assert.equal(parseRateBps('1.5Gbit'), 1.5e9);
  assert.equal(parseRateBps('100M'), 1e8);
  assert.equal(parseDurationUs('5ms'), 5000);
  assert.equal(parseDurationUs('2m'), 120e6);
  assert.equal(parseSizeBytes('64KiB'), 65536);
  assert.throws(() => parseRateBps('fast'), RangeError);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9999 }), fc.constantFrom(1e3, 1e6), (n, scale) =>
      assert.equal(parseRateBps(formatRate(n * scale)), n * scale),
    ),
  );
  assert.equal(formatDurationUs(1500), '1.5ms');
});

test('generated files are what the code says: `npm run docs`', async () => {
  assert.equal(readFileSync(join(ROOT, 'docs/errors.md'), 'utf8'), renderErrorsPage());
  assert.equal(readFileSync(join(ROOT, 'lab/topology.schema.json'), 'utf8'), await renderTopologySchema());
  assert.equal(readFileSync(join(ROOT, 'lab/rig.schema.json'), 'utf8'), renderRigSchema());
  assert.equal(readFileSync(join(ROOT, 'lab/report.schema.json'), 'utf8'), renderReportSchema());
  assert.equal(readFileSync(join(ROOT, 'lab/evidence.schema.json'), 'utf8'), renderEvidenceSchema());
});

test('every exit status is told apart', () => {
  assert.equal(new Set(Object.values(EXIT)).size, 6);
  assert.deepEqual(new Set(Object.values(CODES).map((c) => c.exit)), new Set([2, 4, 130]));
});

test('mapConcurrent keeps order and limit, and stops at the first failure', async () => {
  let running = 0;
  let most = 0;
  const results = await mapConcurrent([3, 1, 2], 2, async (n) => {
    most = Math.max(most, ++running);
    await sleep(n);
    running -= 1;
    return n * 10;
  });
  assert.deepEqual([results, most], [[30, 10, 20], 2]);
  let started = 0;
  await assert.rejects(
    mapConcurrent([1, 2, 3, 4], 1, async () => {
      started += 1;
      throw new Error('x');
    }),
    /x/,
  );
  assert.equal(started, 1);
});

test('an abort ends a sleep at once', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(sleep(60_000, controller.signal), { code: 'INTERRUPTED' });
});

test('a capture counts its drops, and says when tcpdump cannot start', async () => {
  const HERE = { offsetNs: 0, boundNs: 0 };
  const point = { at: { node: 'a', interface: 'e' }, direction: 'in', filter: 'udp', snapBytes: 64 } as const;
  const failing = new FakeHost('h', (argv) => (argv[0] === 'tcpdump' ? { stderr: 'tcpdump: syntax error', exitCode: 1 } : undefined));
  await assert.rejects(startCapture(failing, failing, HERE, point, '/', 'x.pcap'), { code: 'CAPTURE_FAILED' });
  assert.deepEqual(failing.commands[1]?.argv.slice(-4), ['-Q', 'in', '--', 'udp']);
  const working = new FakeHost('h', () => ({
    stderr: 'listening on e\n10 packets captured\n12 packets received by filter\n2 packets dropped by kernel\n',
  }));
  const dir = mkdtempSync(join(tmpdir(), 'netrig-capture-'));
  const stopped = async (packets: number) => {
    writeFileSync(join(dir, 'x.pcap'), classicPcap(sampleFrames(packets), { littleEndian: true, nano: true }));
    return (await startCapture(working, working, HERE, point, dir, 'x.pcap')).stop();
  };
  const record = await stopped(10);
  assert.deepEqual([record.captured, record.droppedByKernel, record.error], [10, 2, null]);
  assert.match((await stopped(7)).error ?? '', /holds 7 of 10 packets: was the disk full/);
  rmSync(dir, { recursive: true });
});

test('tables line up', () => assert.equal(renderTable(['a', 'b'], [['xxx', 'y']]), 'a    b\n───  ─\nxxx  y'));

test('work in a queue is done in order, and a failure goes to its own caller only', async () => {
  const queue = new SerialQueue();
  const done: number[] = [];
  const slow = queue.run(async () => {
    await sleep(20);
    done.push(1);
  });
  const failing = queue.run(() => {
    done.push(2);
    throw new Error('own');
  });
  const last = queue.run(() => done.push(3));
  await assert.rejects(failing, /own/);
  await Promise.all([slow, last]);
  assert.deepEqual(done, [1, 2, 3]);
});
