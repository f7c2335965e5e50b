import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Vnic } from '../../agents/gatekeeper/config.ts';
import { decodeFeedback, encodeFeedback, ReplayGuard, type Feedback } from '../../agents/gatekeeper/feedback.ts';
import { addLimiter, antiSpoofFlows, steeringTable, treeLines } from '../../agents/gatekeeper/htb.ts';
import { divideEqually, receivedBps, type Observation } from '../../agents/gatekeeper/laws/law.ts';
import { paperLaw } from '../../agents/gatekeeper/laws/paper.ts';
import { afterFeedback, afterSilence } from '../../agents/gatekeeper/recovery.ts';

const parameters = { threshold: 0.95, active: 0.01 };
const paper = (observation: Observation) => paperLaw.decide(observation, parameters, null).allocations;
const observe = (a: number[], b: number[], max: [number | null, number | null] = [null, null]): Observation => ({
  capacityBps: 100,
  vnics: [{ mac: 'A', minBps: 70, maxBps: max[0], senders: a.map((rateBps, i) => ({ mac: `a${i}`, rateBps })) }, { mac: 'B', minBps: 30, maxBps: max[1], senders: b.map((rateBps, i) => ({ mac: `b${i}`, rateBps })) }],
});

test('paper: a link below its threshold gets no feedback', () => assert.deepEqual(paper(observe([50], [20, 20])), []));

test('paper: the vNIC with the largest relative excess is cut to its minimum, equally among active senders', () => {
  assert.deepEqual(paper(observe([5], [40, 40, 15, 0.5])), ['b0', 'b1', 'b2'].map((sender) => ({ vnic: 'B', sender, rateBps: 10, senders: 3 })));
});

test('paper: a vNIC above its maximum is cut to it, congested or not', () => {
  assert.deepEqual(paper(observe([75], [], [70, null])), [{ vnic: 'A', sender: 'a0', rateBps: 70, senders: 1 }]);
});

test('paper: alone on the link is left alone; a vNIC starved to zero still contends', () => {
  assert.deepEqual(paper(observe([100], [])), []);
  assert.deepEqual(paper(observe([0], [50, 50])).map((a) => a.rateBps), [15, 15]);
});

test('paper: allocations of a vNIC never exceed what it may have', () => {
  const rates = fc.array(fc.double({ min: 0, max: 200, noNaN: true }), { maxLength: 10 });
  fc.assert(fc.property(rates, rates, fc.option(fc.double({ min: 30, max: 100, noNaN: true })), (a, b, maxB) => {
    const observation = observe(a, b, [null, maxB]);
    for (const vnic of observation.vnics) {
      const given = paper(observation).filter((x) => x.vnic === vnic.mac);
      const sum = given.reduce((s, x) => s + x.rateBps, 0);
      if (given.length > 0) assert.ok(sum <= Math.max(vnic.minBps, vnic.maxBps ?? 0) + 1e-9);
    }
  }));
});

test('R4-10 recovery: the aggregate increase does not depend on the number of senders', () => {
  for (const senders of [1, 3, 30]) {
    let states = Array.from({ length: senders }, () => afterFeedback(30 / senders, senders));
    for (let period = 0; period < 20; period++) states = states.map((s) => afterSilence(s, period, { increaseBps: 1, maximumBps: 100, timeoutMs: 1000 }) ?? s);
    assert.ok(Math.abs(states.reduce((sum, s) => sum + s.rateBps, 0) - 50) < 1e-9);
  }
});

test('R4-11 recovery: a limiter at the maximum is removed after its timeout, not before', () => {
  const p = { increaseBps: 10, maximumBps: 100, timeoutMs: 1000 };
  const full = afterSilence(afterFeedback(95, 1), 5000, p);
  assert.deepEqual(full, { rateBps: 100, senders: 1, atMaximumSinceMs: 5000 });
  assert.deepEqual(afterSilence(full, 5999, p), full);
  assert.equal(afterSilence(full, 6000, p), null);
});

const key = Buffer.alloc(32, 1);
const message: Feedback = { server: 's0', sequence: 7n, receiver: '02:00:00:00:00:01', sender: '02:00:00:00:00:02', rateBps: 12_345_678, senders: 3 };

test('R4-15 feedback: what was sent arrives; another key, any changed bit, any length is rejected', () => {
  const datagram = encodeFeedback(message, key);
  assert.deepEqual(decodeFeedback(datagram, key), message);
  assert.equal(decodeFeedback(datagram, Buffer.alloc(32, 2)), undefined);
  for (let bit = 0; bit < datagram.length * 8; bit++) {
    const forged = Buffer.from(datagram);
    forged[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decodeFeedback(forged, key), undefined, `bit ${bit}`);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => decodeFeedback(Buffer.from(bytes), key) === undefined));
});

test('R4-15 feedback: replays are rejected, per server', () => {
  const guard = new ReplayGuard();
  assert.ok(guard.accept(message));
  assert.ok(!guard.accept(message));
  assert.ok(!guard.accept({ ...message, sequence: 6n }));
  assert.ok(guard.accept({ ...message, server: 's1' }));
  assert.ok(guard.accept({ ...message, sequence: 8n }));
});

const vnics: Vnic[] = [
  { name: 'a0:eth0', tenant: 'A', mac: '02:00:00:00:00:0a', port: 'a0', minBps: 7e7, maxBps: null },
  { name: 'b0:eth0', tenant: 'B', mac: '02:00:00:00:00:0b', port: 'b0', minBps: 3e7, maxBps: 3e7 },
];

test('the tree: minimum is the rate, maximum the ceiling, everything below the link', () => {
  const lines = treeLines('up', 1e8, vnics);
  assert.ok(lines.some((l) => /classid 1:10 htb rate 69650000bit ceil 99500000bit/.test(l)), lines.join('\n'));
  assert.ok(lines.some((l) => /classid 1:12 htb rate 29850000bit ceil 30000000bit/.test(l)), lines.join('\n'));
  assert.equal(new Set(lines.map((l) => /classid (\S+)/.exec(l)?.[1]).filter(Boolean)).size, 6, 'no class is made twice');
  assert.match(addLimiter('up', 0, 0x1000, 5e6).join('\n'), /parent 1:10 classid 1:1000 htb rate 8000bit ceil 5000000bit/);
});

test('steering is by MAC, and a vNIC may only send as itself', () => {
  assert.match(steeringTable('up', vnics, 5000), /02:00:00:00:00:0a : 1:11, 02:00:00:00:00:0b : 1:13/);
  const flows = antiSpoofFlows('up', vnics);
  assert.ok(flows.includes('priority=10,in_port=a0,dl_src=02:00:00:00:00:0a,actions=NORMAL'));
  assert.ok(flows.includes('priority=5,in_port=a0,actions=drop'));
});

test('equal division ignores idle senders', () => {
  const vnic = observe([], [50, 0.5, 25]).vnics[1]!;
  assert.equal(receivedBps(vnic), 75.5);
  assert.deepEqual(divideEqually(vnic, 30, 1).map((a) => [a.sender, a.rateBps]), [['b0', 15], ['b2', 15]]);
});
