/** What captures say of a hub. */
import assert from 'node:assert/strict';
import test from 'ava';
import { branchMac } from '../../agents/hub/model.ts';
import type { SeenFrame } from '../../agents/hub/results/frames.ts';
import { branchesOf, miscopied, misdirected } from '../../agents/hub/results/measures.ts';

const seenFrame = (more: Partial<SeenFrame>): SeenFrame => ({
  atUs: 0,
  from: 'g',
  to: branchMac(1, 1),
  source: '10.0.0.1',
  destination: '10.0.0.2',
  protocol: 17,
  sourcePort: 1,
  destinationPort: 7070,
  identity: '',
  ttl: 64,
  bytes: 60,
  message: null,
  isTunnelled: false,
  data: null,
  question: null,
  answer: null,
  ...more,
});
const carrying = (bytes: string): SeenFrame => seenFrame({ data: { bytes, isWhole: true } });

test('R1-47 copies that are missing, too many, or of nothing', () => {
  const sent = ['aa', 'bb'].map(carrying);
  assert.equal(miscopied(sent, [sent, [...sent].reverse()]), 0);
  assert.equal(miscopied(sent, [[sent[0]!], [...sent, sent[0]!], [...sent, carrying('cc')]]), 3);
});

test('R1-13 packets count against the route that rules: after its answer, before the next request', () => {
  const changes = [
    { fromUs: 100, untilUs: 200, to: 'B' },
    { fromUs: 250, untilUs: 400, to: null },
  ];
  const at = (...times: number[]) => times.map((atUs) => seenFrame({ atUs }));
  const seen = [
    { network: 'B', frames: at(50, 150, 220, 300) },
    { network: 'C', frames: at(50, 150, 220) },
  ];
  assert.equal(misdirected(seen, changes, '10.0.0.2'), 2);
  assert.equal(misdirected(seen, changes, '10.0.0.3'), 0);
});

test('R1-10 branches of a gateway, and flows that change between them', () => {
  const to = (ain: number, sourcePort: number) => seenFrame({ to: branchMac(ain, 1), sourcePort });
  assert.deepEqual(branchesOf([to(1, 1), to(1, 1), to(2, 2)]), { branches: 2, splitFlows: 0 });
  assert.deepEqual(branchesOf([to(1, 1), to(2, 1), seenFrame({ to: 'g2' })]), { branches: 2, splitFlows: 1 });
});
