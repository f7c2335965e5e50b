/** What `netrig pcap` says of captures. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { compareCaptures } from '../../src/capture/analysis/compare.ts';
import { summarizeCapture } from '../../src/capture/analysis/conversations.ts';
import { checkFilters, filterCapture } from '../../src/capture/libpcap/index.ts';
import { ethernet, ipv4 } from '../support/frames.ts';
import { scratch } from '../support/netrig.ts';
import { classicPcap, pcapng, sampleFrames, type Frame } from '../support/pcap.ts';

/** A datagram whose payload tells it apart. */
function datagram(number: number, from = '10.0.0.1', timeToLive = 64): Buffer {
  const udp = Buffer.alloc(20);
  udp.writeUInt16BE(4000);
  udp.writeUInt16BE(53, 2);
  udp.writeUInt16BE(20, 4);
  udp.writeUInt32BE(number, 8);
  const frame = ethernet(ipv4(17, from, '10.0.0.2', udp));
  frame[14 + 8] = timeToLive;
  return frame;
}

const at = (us: number, bytes: Buffer): Frame => ({
  seconds: 1000 + Math.floor(us / 1e6),
  nanoseconds: (us % 1e6) * 1000,
  length: bytes.length,
  bytes,
});
const NANO = { littleEndian: true, nano: true };

test('conversations by direction, the largest first, and rates by interval', () => {
  using files = scratch();
  const path = join(files.dir, 'x.pcap');
  writeFileSync(
    path,
    classicPcap([...Array.from({ length: 10 }, (_, i) => at(i * 100_000, datagram(i))), at(1_500_000, datagram(99, '10.0.0.3'))], NANO),
  );
  const summary = summarizeCapture(path, 1);
  assert.deepEqual(
    summary.conversations.map((c) => [c.from, c.to, c.protocol, c.packets, c.bytes]),
    [
      ['10.0.0.1:4000', '10.0.0.2:53', 'udp', 10, 540],
      ['10.0.0.3:4000', '10.0.0.2:53', 'udp', 1, 54],
    ],
  );
  assert.deepEqual(summary.intervalBytes, [540, 54]);
  assert.equal(summary.seconds.toFixed(6), '1.500000');
});

test('every kind of frame is in one conversation, in pcap and pcapng alike', () => {
  using files = scratch();
  const frames = sampleFrames(60);
  const summaries = (
    [
      ['a.pcap', classicPcap(frames, NANO)],
      ['b.pcapng', pcapng(frames, { littleEndian: false, resolution: 9 })],
    ] as const
  ).map(([name, bytes]) => {
    writeFileSync(join(files.dir, name), bytes);
    return summarizeCapture(join(files.dir, name), 1);
  });
  const [classic, next] = summaries;
  assert.deepEqual(classic, next);
  assert.equal(
    classic?.conversations.reduce((sum, c) => sum + c.packets, 0),
    60,
  );
  assert.equal(
    classic.conversations.some((c) => c.from.startsWith('[::]:')),
    true,
    'IPv6',
  );
});

test('beside another capture: latency, loss, duplicates and order, whatever routers did to the time to live', () => {
  using files = scratch();
  const [left, right] = [join(files.dir, 'left.pcap'), join(files.dir, 'right.pcap')];
  writeFileSync(
    left,
    classicPcap(
      Array.from({ length: 100 }, (_, i) => at(i * 1000, datagram(i))),
      NANO,
    ),
  );
  // 3 of 100 are lost; 50 comes twice; 20 after 21; all take 250 µs, the late one 1250.
  const arrivals = Array.from({ length: 100 }, (_, i) => i)
    .filter((i) => ![7, 8, 9].includes(i))
    .map((i) => at(i * 1000 + (i === 20 ? 1260 : 250), datagram(i, '10.0.0.1', 61)));
  writeFileSync(
    right,
    classicPcap(
      [...arrivals, at(50_900, datagram(50))].sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds),
      NANO,
    ),
  );
  const { sent, lost, duplicated, reordered, latencyS } = compareCaptures(left, right);
  assert.deepEqual({ sent, lost, duplicated, reordered }, { sent: 100, lost: 3, duplicated: 1, reordered: 1 });
  assert.deepEqual(
    [latencyS?.min, latencyS?.p50, latencyS?.max].map((s) => Math.round((s ?? 0) * 1e6)),
    [250, 250, 1260],
  );
  writeFileSync(right, classicPcap([at(0, datagram(1000))], NANO));
  assert.equal(compareCaptures(left, right).latencyS, null, 'none arrived');
});

test("filters are libpcap's own: what it lets through, and what it says of a wrong one", async () => {
  using files = scratch();
  const [path, out] = [join(files.dir, 'x.pcap'), join(files.dir, 'out.pcap')];
  writeFileSync(path, classicPcap([at(0, datagram(1)), at(10, datagram(2, '10.0.0.3')), at(1_234_567, datagram(3, '10.0.0.3'))], NANO));
  await filterCapture(path, 'udp and host 10.0.0.3', out);
  const { packets, conversations, startS, seconds } = summarizeCapture(out, 1);
  assert.deepEqual(
    [packets, conversations[0]?.from, startS.toFixed(6), seconds.toFixed(6)],
    [2, '10.0.0.3:4000', '1000.000010', '1.234557'],
  );
  const many = await checkFilters(Array.from({ length: 60 }, (_, i) => `udp port ${i + 1}`));
  assert.deepEqual([...new Set(many)], [null]);
  const [good, bad] = await checkFilters(['tcp port 80', 'tcp prt 80']);
  assert.equal(good, null);
  assert.match(bad ?? '', /syntax error/);
  await assert.rejects(filterCapture(path, 'udp prt 53', out), { code: 'USAGE' });
  await assert.rejects(filterCapture(join(files.dir, 'none.pcap'), 'udp', out), { code: 'CAPTURE_MALFORMED' });
});
