import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import type { Vnic } from '../../agents/gatekeeper/config.ts';
import {
  addLimiter,
  FIRST_LIMITER,
  limiterPackets,
  MAX_VNICS,
  mostLimiterPackets,
  treeLines,
  vnicLeaf,
  vnicLines,
} from '../../agents/gatekeeper/egress.ts';
import { decodeMessage, encodeMessage, type Feedback, type Message } from '../../agents/gatekeeper/feedback.ts';
import { limitBroadcast } from '../../agents/gatekeeper/laws/broadcast.ts';
import { divideEqually, receivedBps, type Observation } from '../../agents/gatekeeper/laws/law.ts';
import { paperLaw } from '../../agents/gatekeeper/laws/paper.ts';
import { SendQueue } from '../../agents/gatekeeper/sendqueue.ts';
import { afterFeedback, afterSilence } from '../../agents/gatekeeper/recovery.ts';
import { SenderSession, ReceiverSession } from '../../agents/gatekeeper/session.ts';
import { GROUP_MAC, steer } from '../../agents/gatekeeper/steering.ts';
import { flowChanges, logicalSwitches } from '../../agents/gatekeeper/switching.ts';
import { GROUP, type Flow } from '../../agents/lib/openflow/index.ts';

const parameters = { threshold: 0.95, active: 0.01, periodMs: 10 };
const paper = (observation: Observation) => paperLaw.decide(observation, parameters, null).allocations;
const observe = (a: number[], b: number[], max: [number | null, number | null] = [null, null]): Observation => ({
  capacityBps: 100,
  group: { maxBps: 1, senders: [] },
  vnics: [
    { mac: 'A', minBps: 70, maxBps: max[0], senders: a.map((rateBps, i) => ({ mac: `a${i}`, rateBps })) },
    { mac: 'B', minBps: 30, maxBps: max[1], senders: b.map((rateBps, i) => ({ mac: `b${i}`, rateBps })) },
  ],
});

test('paper: a link below its threshold gets no feedback', () => assert.deepEqual(paper(observe([50], [20, 20])), []));

test('paper: the vNIC with the largest relative excess is cut to its minimum, equally among active senders', () => {
  assert.deepEqual(
    paper(observe([5], [40, 40, 15, 0.5])),
    ['b0', 'b1', 'b2'].map((sender) => ({ receiver: 'B', sender, rateBps: 10, senders: 3, holdMs: 0 })),
  );
});

test('paper: a vNIC above its maximum is cut to it, congested or not', () => {
  assert.deepEqual(paper(observe([75], [], [70, null])), [{ receiver: 'A', sender: 'a0', rateBps: 70, senders: 1, holdMs: 0 }]);
});

test('paper: alone on the link is left alone; a vNIC starved to zero still contends', () => {
  assert.deepEqual(paper(observe([100], [])), []);
  assert.deepEqual(
    paper(observe([0], [50, 50])).map((a) => a.rateBps),
    [15, 15],
  );
});

test('paper: allocations of a vNIC never exceed what it may have', () => {
  const rates = fc.array(fc.double({ min: 0, max: 200, noNaN: true }), { maxLength: 10 });
  fc.assert(
    fc.property(rates, rates, fc.option(fc.double({ min: 30, max: 100, noNaN: true })), (a, b, maxB) => {
      const observation = observe(a, b, [null, maxB]);
      for (const vnic of observation.vnics) {
        const given = paper(observation).filter((x) => x.receiver === vnic.mac);
        const sum = given.reduce((s, x) => s + x.rateBps, 0);
        if (given.length > 0) assert.ok(sum <= Math.max(vnic.minBps, vnic.maxBps ?? 0) + 1e-9);
      }
    }),
  );
});

test('R4-10 recovery: the aggregate increase does not depend on the number of senders', () => {
  for (const senders of [1, 3, 30]) {
    let states = Array.from({ length: senders }, () => afterFeedback({ rateBps: 30 / senders, senders, holdMs: 0 }, 0));
    for (let period = 0; period < 20; period++)
      states = states.map((s) => afterSilence(s, period, { increaseBps: 1, maximumBps: 100, timeoutMs: 1000 }) ?? s);
    assert.ok(Math.abs(states.reduce((sum, s) => sum + s.rateBps, 0) - 50) < 1e-9);
  }
});

test('R4-11 recovery: a limiter at the maximum is removed after its timeout, not before', () => {
  const p = { increaseBps: 10, maximumBps: 100, timeoutMs: 1000 };
  const told = afterFeedback({ rateBps: 95, senders: 1, holdMs: 50 }, 4950);
  assert.deepEqual(afterSilence(told, 4990, p), told, 'the rate stands while it holds');
  const full = afterSilence(told, 5000, p);
  assert.deepEqual(full, { rateBps: 100, senders: 1, holdUntilMs: 5000, atMaximumSinceMs: 5000 });
  assert.deepEqual(afterSilence(full, 5999, p), full);
  assert.equal(afterSilence(full, 6000, p), null);
});

const key = Buffer.alloc(32, 1);
const entry: Feedback = { receiver: '02:00:00:00:00:01', sender: '02:00:00:00:00:02', rateBps: 12_345_678, senders: 3, holdMs: 50 };
const message: Message = {
  kind: 'feedback',
  server: 's0',
  nonce: 5n,
  sequence: 7n,
  entries: [entry, { ...entry, sender: '02:00:00:00:00:03' }],
};

test('R4-10 R4-15 feedback: what was sent arrives, rate and sender count; another key, any changed bit, any length is rejected', () => {
  const datagram = encodeMessage(message, key);
  assert.deepEqual(decodeMessage(datagram, key), message);
  assert.equal(decodeMessage(datagram, Buffer.alloc(32, 2)), undefined);
  for (let bit = 0; bit < datagram.length * 8; bit++) {
    const forged = Buffer.from(datagram);
    forged[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decodeMessage(forged, key), undefined, `bit ${bit}`);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => decodeMessage(Buffer.from(bytes), key) === undefined));
});

/** s0 sends feedback to s1, which obeys; `life` stands for the random numbers of one life of s0. */
function acquaint(receiver: ReceiverSession, life: bigint) {
  const sender = new SenderSession(life);
  const next = (): Message => ({ kind: 'feedback', server: 's0', ...sender.stamp('s1'), entries: [entry] });
  const challengeFor = (m: Message): Message => ({
    kind: 'challenge',
    server: 's1',
    nonce: receiver.challenge('s0'),
    sequence: m.sequence,
    entries: [],
  });
  return { sender, next, challengeFor };
}
let nonces = 0n;
const obeyingSide = () => new ReceiverSession(() => ++nonces);

test('R4-15 freshness: obeyed only after a challenge; replays and reordered messages are not', () => {
  const receiver = obeyingSide();
  const { sender, next, challengeFor } = acquaint(receiver, 1000n);
  const first = next();
  assert.equal(receiver.judge(first), 'unacquainted');
  assert.ok(sender.accept(challengeFor(first)));
  const [second, third] = [next(), next()];
  assert.equal(receiver.judge(third), 'fresh');
  assert.equal(receiver.judge(third), 'replayed');
  assert.equal(receiver.judge(second), 'replayed');
  assert.equal(receiver.judge(first), 'unacquainted');
  assert.equal(receiver.judge(next()), 'fresh', 'replays have not disturbed the session');
});

test('R4-15 R4-16 freshness: a restarted sender is obeyed again, whatever its clock says; its earlier life is not', () => {
  const receiver = obeyingSide();
  const before = acquaint(receiver, 9_000_000n);
  before.sender.accept(before.challengeFor(before.next()));
  const old = [before.next(), before.next()];
  assert.equal(receiver.judge(old[0]!), 'fresh');
  const after = acquaint(receiver, 5n);
  const hello = after.next();
  assert.equal(receiver.judge(hello), 'unacquainted');
  assert.ok(after.sender.accept(after.challengeFor(hello)));
  assert.equal(receiver.judge(after.next()), 'fresh');
  assert.equal(receiver.judge(old[1]!), 'replayed');
  assert.equal(receiver.judge(after.next()), 'fresh');
});

test('R4-15 freshness: a challenge that answers nothing, or is replayed, is not accepted', () => {
  const receiver = obeyingSide();
  const { sender, next, challengeFor } = acquaint(receiver, 100n);
  const challenge = challengeFor(next());
  assert.ok(!sender.accept({ ...challenge, sequence: 100n }));
  assert.ok(!sender.accept({ ...challenge, sequence: 102n }));
  assert.ok(sender.accept(challenge));
  assert.ok(!sender.accept(challenge));
});

const vnics: Vnic[] = [
  { name: 'a0:eth0', tenant: 'A', mac: '02:00:00:00:00:0a', port: 'a0', minBps: 7e7, maxBps: null },
  { name: 'b0:eth0', tenant: 'B', mac: '02:00:00:00:00:0b', port: 'b0', minBps: 3e7, maxBps: 3e7 },
];
const uplink = { device: 'up', rateBps: 1e8 };

test('the tree: minimum is the rate, maximum the ceiling, everything below the link', () => {
  const lines = [...treeLines(uplink), ...vnics.flatMap((vnic, slot) => vnicLines('add', uplink, slot, vnic))];
  assert.ok(
    lines.some((l) => /classid 1:10 htb rate 69650000bit ceil 99500000bit/.test(l)),
    lines.join('\n'),
  );
  assert.ok(
    lines.some((l) => /classid 1:12 htb rate 29850000bit ceil 30000000bit/.test(l)),
    lines.join('\n'),
  );
  assert.equal(new Set(lines.map((l) => /classid (\S+)/.exec(l)?.[1]).filter(Boolean)).size, 6, 'no class is made twice');
  assert.match(
    addLimiter(uplink, 0, 0x1000, { rateBps: 5e6, packets: 5, part: 0.5 }).join('\n'),
    /parent 1:10 classid 1:1000 htb rate 8000bit ceil 5000000bit/,
  );
  assert.ok(
    vnicLines('change', uplink, 0, { minBps: 5e7, maxBps: null }).every((l) => /^(class|qdisc) change/.test(l)),
    'a new contract rebuilds nothing',
  );
  assert.ok(vnicLeaf(MAX_VNICS - 1) < FIRST_LIMITER);
});

test('leaf queues: 12 ms of the guarantee, an n-th of it for the n-th limiter; a small guarantee leaves room for a train of frames', () => {
  assert.equal(mostLimiterPackets(42e6, 1), 42);
  assert.equal(mostLimiterPackets(42e6, 3), 14);
  assert.equal(limiterPackets(12e6, mostLimiterPackets(0.8e6, 1)), 12);
  assert.equal(limiterPackets(60e3, mostLimiterPackets(0.8e6, 1)), 2);
});

test('steering: broadcast and multicast are one receiver', () => {
  assert.equal(
    steer('02:00:00:00:00:0a', '02:00:00:00:00:0b', 0x1000),
    'add element netdev gatekeeper limiters { 02:00:00:00:00:0a . 02:00:00:00:00:0b : 1:1000 }',
  );
  assert.equal(steer('02:00:00:00:00:0a', GROUP_MAC, 0x1001), 'add element netdev gatekeeper grouplimiters { 02:00:00:00:00:0a : 1:1001 }');
});

const remotes = [
  { mac: '02:00:00:00:00:1a', tenant: 'A', server: 's1' },
  { mac: '02:00:00:00:00:1b', tenant: 'B', server: 's1' },
];
/** What becomes of a packet in the two tables. */
function forward(flows: readonly Flow[], inPort: string, ethSrc: string, to: string): string {
  const source = flows.find((f) => f.table === 0 && f.match.inPort === inPort && f.match.ethSrc === ethSrc);
  const sink = flows.find(
    (f) => f.table === 1 && f.match.metadata === source?.metadata && f.match.ethDst === (to === GROUP_MAC ? GROUP : to),
  );
  const ports = (sink?.actions ?? []).flatMap((a) => ('output' in a ? [a.output] : []));
  return source === undefined || sink === undefined ? 'drop' : ports.filter((port) => port !== inPort).join(',');
}

test('logical switches: a vNIC sends as itself only, reaches its tenant only, and nothing unknown is flooded', () => {
  const flows = logicalSwitches('up', vnics, remotes);
  assert.equal(forward(flows, 'a0', '02:00:00:00:00:0a', '02:00:00:00:00:1a'), 'up');
  assert.equal(forward(flows, 'up', '02:00:00:00:00:1a', '02:00:00:00:00:0a'), 'a0');
  assert.equal(forward(flows, 'a0', '02:00:00:00:00:0b', '02:00:00:00:00:1b'), 'drop', 'another MAC than its own');
  assert.equal(forward(flows, 'a0', '02:00:00:00:00:0a', '02:00:00:00:00:0b'), 'drop', 'another tenant, same server');
  assert.equal(forward(flows, 'a0', '02:00:00:00:00:0a', '02:00:00:00:00:1b'), 'drop', 'another tenant, another server');
  assert.equal(forward(flows, 'a0', '02:00:00:00:00:0a', '02:00:00:00:00:77'), 'drop', 'nobody');
  assert.equal(forward(flows, 'a0', '02:00:00:00:00:0a', GROUP_MAC), 'up');
  assert.equal(forward(flows, 'up', '02:00:00:00:00:1b', GROUP_MAC), 'b0');
});

test('R4-14 logical switches: what changes is told, and no more', () => {
  const before = logicalSwitches('up', vnics, remotes);
  assert.deepEqual(flowChanges(before, before), { added: [], removed: [] });
  const changes = flowChanges(before, logicalSwitches('up', vnics, remotes.slice(1)));
  assert.deepEqual(changes.added, []);
  assert.deepEqual(
    changes.removed.map((f) => f.match.ethSrc ?? f.match.ethDst),
    ['02:00:00:00:00:1a', '02:00:00:00:00:1a'],
  );
});

test('broadcast: together below its maximum it is left alone, above it the loud are held', () => {
  const senders = [
    { mac: 'x', rateBps: 90 },
    { mac: 'y', rateBps: 5 },
    { mac: 'z', rateBps: 60 },
  ];
  assert.deepEqual(limitBroadcast({ maxBps: 200, senders }), []);
  assert.deepEqual(
    limitBroadcast({ maxBps: 45, senders }).map((f) => [f.receiver, f.sender, f.rateBps]),
    [
      [GROUP_MAC, 'x', 20],
      [GROUP_MAC, 'z', 20],
    ],
  );
});

test('equal division ignores idle senders', () => {
  const vnic = observe([], [50, 0.5, 25]).vnics[1]!;
  assert.equal(receivedBps(vnic), 75.5);
  assert.deepEqual(
    divideEqually(vnic, 30, 1).map((a) => [a.sender, a.rateBps]),
    [
      ['b0', 15],
      ['b2', 15],
    ],
  );
});

test('R4-17 sendQueue: a change is said three times, what stands every fifth period, what does not hold always', () => {
  const said = (entry: Feedback, periods: number, sendQueue = new SendQueue()) =>
    Array.from({ length: periods }, () => sendQueue.due([entry], 10).length).join('');
  assert.equal(said({ ...entry, holdMs: 150 }, 14), '11100001000010');
  assert.equal(said({ ...entry, holdMs: 0 }, 5), '11111');
  const sendQueue = new SendQueue();
  said({ ...entry, holdMs: 150 }, 5, sendQueue);
  assert.equal(said({ ...entry, holdMs: 150, rateBps: entry.rateBps * 1.005 }, 2, sendQueue), '00', 'a change that nobody would notice');
  assert.equal(said({ ...entry, holdMs: 150, rateBps: entry.rateBps / 2 }, 4, sendQueue), '1110');
});
