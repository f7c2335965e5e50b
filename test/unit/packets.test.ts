/** Packets are counted at a capture point: those of a description, in a window; an empty capture shows nothing. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { figuresOf } from '../../src/checks/figures.ts';
import type { CellEvidence } from '../../src/evidence/cell.ts';
import type { TargetFile } from '../../src/topology/target.ts';
import { ethernet, ipv4, tcp } from '../support/frames.ts';
import { scratch } from '../support/netrig.ts';
import { classicPcap, type Frame } from '../support/pcap.ts';
import { BUILT_IN } from '../../src/checks/builtin/index.ts';

const frame = (seconds: number, source: string, destination: string, port: number): Frame => {
  const bytes = ethernet(ipv4(6, source, destination, tcp(40_000, port)));
  return { seconds, nanoseconds: 0, length: bytes.length, bytes };
};
const SEEN = [
  frame(100, '10.0.0.1', '10.0.0.2', 80),
  frame(101, '10.0.0.1', '10.0.0.2', 81),
  frame(102, '10.0.0.3', '10.0.0.2', 80),
  frame(109, '10.0.0.1', '10.0.0.2', 80),
];

function figures(keys: Partial<TargetFile> & Record<string, unknown>, frames: readonly Frame[] = SEEN, record: object = {}) {
  using files = scratch();
  mkdirSync(join(files.dir, 'captures'));
  writeFileSync(join(files.dir, 'captures/a.e.pcap'), classicPcap(frames, { littleEndian: true, nano: true }));
  const evidence = {
    folder: files.dir,
    phases: [{ phase: 'p', startedNs: '100000000000', durationUs: 5_000_000, flows: [] }],
    captures: [{ at: 'a:e', file: 'captures/a.e.pcap', droppedByKernel: 0, clock: { offsetNs: 0, boundNs: 0 }, error: null, ...record }],
  } as unknown as CellEvidence;
  return figuresOf({ name: 't', check: 'packets', capture: 'a:e', ...keys }, evidence, BUILT_IN);
}
const count = (...args: Parameters<typeof figures>): number | string => {
  const f = figures(...args);
  return f.kind === 'exact' ? f.value : f.kind === 'missing' ? f.reason : f.kind;
};

test('packets of a description are counted, in the window', () => {
  assert.equal(count({}), 3);
  assert.equal(count({ port: 80 }), 2);
  assert.equal(count({ source: '10.0.0.1' }), 2);
  assert.equal(count({ destination: '10.0.0.1' }), 0);
  assert.equal(count({ protocol: 'udp' }), 0);
  assert.equal(count({ from: '1s', to: '2s' }), 1);
});

test('stamps of another machine are on its clock', () => {
  assert.equal(count({ to: '1s' }, SEEN, { clock: { offsetNs: 1e9, boundNs: 0 } }), 1);
  assert.equal(count({ to: '2s' }, SEEN, { clock: { offsetNs: 2e9, boundNs: 0 } }), 1);
});

test('no data is undecided: empty, incomplete or no captures', () => {
  assert.match(String(count({}, [])), /holds no packet/);
  assert.match(String(count({}, SEEN, { droppedByKernel: 3 })), /3 packets dropped/);
  assert.match(String(count({ capture: 'b:e' })), /no capture at b:e/);
});
