import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { rampPerSecond, reactionUs, recoveryUs, shares, shortfalls, victimRecoveryUs } from '../../agents/gatekeeper/results/isolation.ts';
import type { GroupSeries } from '../../src/checks/series.ts';
import { batches, decide, meanInterval, quantileOf, ratio, shifted } from '../../src/checks/statistics.ts';
import type { Check } from '../../src/checks/check.ts';
import { overall, verdictsOf } from '../../src/checks/verdict.ts';
import { ONE_CLOCK, type CellEvidence } from '../../src/evidence/cell.ts';
import type { AnsweredRequest } from '../../src/evidence/events.ts';
import type { EventRecord } from '../../src/evidence/records.ts';
import { wilson } from '../../src/core/wilson.ts';
import type { Lab } from '../../src/topology/model.ts';
import type { TargetFile } from '../../src/topology/target.ts';
import { flowCommands, parseFlow } from '../../src/traffic/tools.ts';

test('the interval decides, not the value', () => {
  const estimate = (low: number, high: number) => ({ value: (low + high) / 2, low, high, n: 5 });
  assert.equal(decide(estimate(0.66, 0.7), { atLeast: 0.63 }), 'pass');
  assert.equal(decide(estimate(0.5, 0.6), { atLeast: 0.63 }), 'fail');
  assert.equal(decide(estimate(0.6, 0.7), { atLeast: 0.63 }), 'inconclusive');
  assert.equal(decide(estimate(0.66, 0.8), { atLeast: 0.63, atMost: 0.77 }), 'inconclusive');
  assert.equal(decide(estimate(0.8, 0.9), { atLeast: 0.63, atMost: 0.77 }), 'fail');
  assert.equal(decide({ value: NaN, low: -Infinity, high: Infinity, n: 0 }, { atLeast: 1 }), 'inconclusive');
});

test('Student-t interval: textbook figures, and one value decides nothing', () => {
  const { value, low, high } = meanInterval([9, 10, 11, 10, 10]);
  assert.equal(value, 10);
  assert.ok(Math.abs(high - 10.878) < 0.001 && Math.abs(low - 9.122) < 0.001);
  assert.deepEqual(meanInterval([5]), { value: 5, low: -Infinity, high: Infinity, n: 1 });
});

test('the 95 % interval of the mean covers the truth in about 95 % of samples', () => {
  let covered = 0;
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let i = 0; i < 2000; i++) {
    const sample = Array.from({ length: 6 }, () => random() + random() + random() + random() - 2);
    const { low, high } = meanInterval(sample);
    if (low <= 0 && high >= 0) covered += 1;
  }
  assert.ok(covered > 1860 && covered < 1940, `${covered} of 2000`);
});

test('Wilson interval contains the share and stays within 0..1', () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), (a, b) => {
      const [hits, n] = [Math.min(a, b), Math.max(a, b)];
      const [low, high] = wilson(hits, n);
      assert.ok(low >= 0 && high <= 1 && low <= high);
      if (n > 0) assert.ok(low <= hits / n + 1e-12 && high >= hits / n - 1e-12);
    }),
  );
});

test('a lost request is the slowest of all', () => {
  assert.equal(quantileOf([1, 2, 3, Infinity], 0.5), 2.5);
  assert.equal(quantileOf([1, 2, 3, Infinity], 0.99), Infinity);
  assert.equal(quantileOf([1, 2, Infinity, Infinity], 0.99), Infinity);
  assert.equal(decide(meanInterval([Infinity, Infinity]), { atMost: 5 }), 'fail');
  assert.equal(decide(meanInterval([1, Infinity]), { atMost: 5 }), 'inconclusive');
});

test('batches use every value once, in order, and are of one length', () => {
  assert.deepEqual(batches([1, 2, 3, 4, 5, 6, 7], 3), [
    [1, 2],
    [3, 4],
    [5, 6, 7],
  ]);
  assert.deepEqual(batches([1, 2], 5), [[1], [2]]);
});

/** 10 ms bins: A and B at the given rates (Mbit/s) for the given milliseconds. */
function series(parts: readonly [ms: number, a: number, b: number][]): GroupSeries {
  const bytes = (pick: 1 | 2) =>
    Float64Array.from(parts.flatMap((part) => Array.from({ length: part[0] / 10 }, () => (part[pick] * 1e6 * 0.01) / 8)));
  return {
    binUs: 10_000,
    bytes: new Map([
      ['A', bytes(1)],
      ['B', bytes(2)],
    ]),
  };
}

test('shares and shortfalls per 100 ms window', () => {
  const s = series([
    [1000, 70, 30],
    [500, 35, 65],
  ]);
  assert.deepEqual(
    shares(s, 'A', 1e8, { fromUs: 0, toUs: 1e6 }).map((v) => Math.round(v * 100)),
    Array(10).fill(70),
  );
  assert.deepEqual(
    shares(s, undefined, 1e8, { fromUs: 0, toUs: 1.5e6 }).map((v) => Math.round(v * 100)),
    Array(15).fill(100),
  );
  assert.equal(Math.round(shortfalls(s, 'A', 7e7, { fromUs: 1e6, toUs: 1.5e6 })[0]! * 100), 50);
});

test('R4-8 reaction: a flood of N ms reads N ms, whatever its length; starved or never exceeding is not settled', () => {
  for (const ms of [10, 20, 50, 200])
    assert.ok(
      Math.abs(
        (reactionUs(
          series([
            [1000, 100, 0],
            [ms, 0, 100],
            [2000, 70, 30],
          ]),
          'B',
          3e7,
          9e5,
          3.2e6,
        ) as number) /
          1000 -
          ms,
      ) <= 10,
      `${ms} ms`,
    );
  assert.equal(
    reactionUs(
      series([
        [1000, 100, 0],
        [2000, 0, 100],
      ]),
      'B',
      3e7,
      1e6,
      3e6,
    ),
    Infinity,
  );
  assert.equal(
    reactionUs(
      series([
        [1000, 100, 0],
        [2000, 70, 30],
      ]),
      'B',
      3e7,
      1e6,
      3e6,
    ),
    null,
  );
  assert.equal(reactionUs(series([[3000, 100, 0]]), 'B', 3e7, 1e6, 3e6), null);
});

test('R4-9 recovery: from the last byte of the aggressor until the link is used to 95 % again', () => {
  assert.equal(
    (recoveryUs(
      series([
        [1000, 70, 30],
        [300, 70, 0],
        [700, 100, 0],
      ]),
      'B',
      1e8,
      1e6,
      2e6,
    ) as number) / 1000,
    300,
  );
  assert.equal(
    recoveryUs(
      series([
        [1100, 70, 30],
        [1900, 100, 0],
      ]),
      'B',
      1e8,
      1e6,
      3e6,
    ),
    0,
    'a tool that stops late is not a slow recovery',
  );
  assert.equal(
    recoveryUs(
      series([
        [1000, 70, 30],
        [1500, 100, 0],
        [60, 0, 0],
        [500, 100, 0],
      ]),
      'B',
      1e8,
      1e6,
      3e6,
    ),
    0,
    'a later dip is another event',
  );
  assert.equal(
    recoveryUs(
      series([
        [1000, 70, 30],
        [2000, 70, 0],
      ]),
      'B',
      1e8,
      1e6,
      3e6,
    ),
    Infinity,
  );
  assert.equal(recoveryUs(series([[3000, 70, 30]]), 'B', 1e8, 1e6, 3e6), null);
});

const flow = {
  name: 'f',
  from: 'a',
  to: 'b',
  address: '10.0.0.2',
  protocol: 'tcp',
  tool: 'iperf3',
  rateBps: null,
  parallel: 1,
  sizeBytes: null,
  intervalUs: 1e4,
  startUs: 0,
  durationUs: 3e6,
  burst: null,
  multicast: null,
  congestion: null,
  counted: false,
} as const;

function evidence(changes: Partial<CellEvidence>, target: TargetFile): CellEvidence {
  const lab: Lab = {
    name: 't',
    cell: '',
    variant: { load: 'udp' },
    fabric: { nodes: [], links: [] },
    tolerance: { rate: 0.05, delayUs: 1000, reachabilityOnly: false },
    clocks: { sync: 'ptp', maxOffsetUs: 5000, settleUs: 6e7, grandmaster: null },
    systems: [],
    phases: [{ name: 'p', durationUs: 3e6, flows: [flow], events: [] }],
    captures: [],
    targets: [target],
    saturation: 0.95,
  };
  // Mean 10; neighbours are not alike.
  const rates = [9, 11, 10, 10, 11, 9, 10, 10, 9, 10, 11, 10, 9, 11, 10, 10, 11, 9, 10, 11, 10, 9, 10, 9, 11, 10, 10, 9, 11, 10];
  return {
    lab,
    repeat: 1,
    links: [],
    captures: [],
    events: {},
    agents: [],
    load: [],
    clocks: ONE_CLOCK,
    voided: [],
    folder: '/nowhere',
    phases: [
      {
        phase: 'p',
        startedNs: '0',
        durationUs: 3e6,
        flows: [
          {
            flow: 'f',
            ok: true,
            started: true,
            receivedBytes: 1,
            seconds: 3,
            intervals: rates.map((r, i) => ({ startS: i * 0.1, endS: (i + 1) * 0.1, rateBps: r * 1e6 })),
          },
        ],
      },
    ],
    ...changes,
  };
}
const target: TargetFile = { name: 'x', check: 'rate', flow: 'f', 'at-least': '8Mbit' };
const outcome = (e: CellEvidence) => verdictsOf([e])[0];

test('verdicts: met, missed, control, voided, saturated, missing', () => {
  assert.equal(outcome(evidence({}, target))?.outcome, 'pass');
  assert.equal(outcome(evidence({}, { ...target, 'at-least': '20Mbit' }))?.outcome, 'fail');
  assert.equal(outcome(evidence({}, { ...target, 'at-least': '20Mbit', 'expect-fail': { load: 'udp' } }))?.outcome, 'pass');
  assert.equal(outcome(evidence({}, { ...target, 'expect-fail': [{ load: 'udp' }] }))?.outcome, 'fail', 'a control that passes is a miss');
  assert.match(outcome(evidence({ voided: ['agent died'] }, target))?.reason ?? '', /agent died/);
  const busy = Array.from({ length: 10 }, (_, i) => ({ atMs: i * 100, machine: 'local', busy: i < 2 ? 1 : 0.5 }));
  assert.match(outcome(evidence({ load: busy }, target))?.reason ?? '', /saturated/);
  assert.match(outcome(evidence({}, { ...target, flow: 'g' }))?.reason ?? '', /flow g was not run/);
});

test('clocks of several machines: the bound widens the interval, and decides nothing finer than twice itself', () => {
  const judged = (clockBoundUs: number, atMost: string) => {
    const check: Check = { name: 'own', keys: {}, unit: () => 'durationUs', figures: () => ({ kind: 'exact', value: 900, clockBoundUs }) };
    const own = { name: 'x', check: 'own', 'at-most': atMost } as unknown as TargetFile;
    return verdictsOf([evidence({}, own)], { checks: new Map([['own', check]]) })[0];
  };
  assert.equal(judged(0, '1ms')?.outcome, 'pass');
  assert.equal(judged(50, '1ms')?.outcome, 'pass');
  assert.equal(judged(200, '1ms')?.outcome, 'inconclusive', '900 ± 200 us contains the bound');
  assert.equal(judged(50, '800us')?.outcome, 'fail');
  assert.match(judged(600, '1ms')?.reason ?? '', /smaller than twice the clock uncertainty \(± 600us\)/);
});

const requested = (operation: string, more: Partial<AnsweredRequest['action']>, result: EventRecord['outcome']): EventRecord => ({
  action: { kind: 'request', system: 's', node: 'n', operation, params: {}, expected: null, ...more },
  plannedUs: 0,
  beganUs: 0,
  tookUs: 0,
  outcome: result,
});

test('answers: what was asked must be answered as the topology expects, and something must have been asked', () => {
  const asked = (refused: string | null, expected: string | null): EventRecord =>
    requested(
      'Share',
      { expected },
      refused === null ? { state: 'done', answer: null } : { state: 'refused', code: refused, answer: null },
    );
  const judged = (...events: EventRecord[]) => outcome(evidence({ events: { p: events } }, { name: 'x', check: 'answers' }));
  assert.equal(judged(asked(null, null), asked('NotShared', 'NotShared'))?.outcome, 'pass');
  assert.equal(judged(asked('NotShared', null))?.outcome, 'fail');
  assert.match(judged(asked(null, 'NotShared'))?.reason ?? '', /Share: done instead of NotShared/);
  assert.match(judged()?.reason ?? '', /nothing was asked/);
});

test('answers: what is expected of an answer must be in it, the rest may be anything', () => {
  const judged = (answer: unknown, expected: Readonly<Record<string, unknown>>) => {
    const event = requested('Place', { answer: expected }, { state: 'done', answer });
    return outcome(evidence({ events: { p: [event] } }, { name: 'x', check: 'answers' }));
  };
  assert.equal(judged({ on: ['a', 'b'], term: 3, limits: { us: 5, share: 1 } }, { on: ['a', 'b'], limits: { us: 5 } })?.outcome, 'pass');
  assert.match(judged({ on: ['b', 'a'] }, { on: ['a', 'b'] })?.reason ?? '', /Place: \/on is \["b","a"\] instead of \["a","b"\]/);
  assert.match(judged({ limits: {} }, { limits: { us: 5 } })?.reason ?? '', /\/limits\/us is undefined instead of 5/);
  assert.equal(judged(null, { on: [] })?.outcome, 'fail');
});

test('answer-time: a quantile of what requests took; what was refused took for ever', () => {
  const took = (tookUs: number, state: 'done' | 'refused' = 'done'): EventRecord => ({
    ...requested('Share', {}, state === 'done' ? { state, answer: null } : { state, code: 'X', answer: null }),
    tookUs,
  });
  const judged = (...events: EventRecord[]) =>
    outcome(
      evidence({ events: { p: events } }, { name: 'x', check: 'answer-time', operation: 'Share', quantile: '50%', 'at-most': '10ms' }),
    );
  assert.match(judged(took(1000), took(2000), took(50_000))?.measured ?? '', /^2ms/);
  assert.match(judged(took(1000), took(2000, 'refused'), took(2000, 'refused'))?.measured ?? '', /∞|never|Infinity/i);
  assert.match(judged()?.reason ?? '', /no Share was asked/);
});

test('a check that no system has is missing, not met', () => {
  assert.match(outcome(evidence({}, { name: 'x', check: 'gone', 'at-most': 0 }))?.reason ?? '', /there is no check "gone" here/);
});

test('repeats: a mean of repeats has an interval, one lucky repeat does not decide', () => {
  const low = evidence({}, { ...target, 'at-least': '9900kbit' });
  assert.equal(verdictsOf([low, low, low])[0]?.outcome, 'pass');
  assert.equal(verdictsOf([low])[0]?.outcome, 'inconclusive');
  assert.match(verdictsOf([low])[0]?.reason ?? '', /contains the bound/);
});

test('fewer sound repeats than planned do not decide', () => {
  const sound = evidence({}, target);
  assert.equal(verdictsOf([sound], { planned: 5 })[0]?.outcome, 'inconclusive');
  assert.match(verdictsOf([sound, evidence({ voided: ['x'] }, target)])[0]?.reason ?? '', /only 1 of 2 repeats/);
  assert.equal(verdictsOf([sound, sound, sound], { planned: 4 })[0]?.outcome, 'pass');
});

test('a tool that failed says nothing about the network', () => {
  const broken = {
    flow: 'f',
    ok: false,
    started: true,
    error: 'it crashed',
    receivedBytes: 0,
    seconds: 3,
    intervals: [{ startS: 0, endS: 0.1, rateBps: 1e7 }],
  };
  const phases = [{ phase: 'p', startedNs: '0', durationUs: 3e6, flows: [broken] }];
  assert.match(outcome(evidence({ phases }, target))?.reason ?? '', /it crashed/);
  assert.equal(outcome(evidence({ phases }, { name: 'x', check: 'reachability', blocked: true }))?.outcome, 'inconclusive');
  assert.equal(outcome(evidence({ phases }, { name: 'x', check: 'reachability' }))?.outcome, 'fail');
});

test('saturation counts in the judged phase, not diluted by an idle one', () => {
  const load = [
    ...Array.from({ length: 100 }, (_, i) => ({ atMs: 4000 + i * 100, machine: 'local', busy: 0.1 })),
    ...Array.from({ length: 10 }, (_, i) => ({ atMs: i * 300, machine: 'local', busy: 1 })),
  ];
  assert.match(outcome(evidence({ load }, target))?.reason ?? '', /saturated/);
});

test('a capture that dropped packets voids what needed it', () => {
  const t: TargetFile = { name: 'x', check: 'rate', capture: 'b:e', group: 'A', 'at-least': '1Mbit' };
  const captures = [
    {
      at: 'b:e',
      direction: 'in',
      filter: null,
      file: 'x.pcap',
      captured: 10,
      droppedByKernel: 3,
      clock: { offsetNs: 0, boundNs: 0 },
      error: null,
    },
  ] as const;
  assert.match(outcome(evidence({ captures }, t))?.reason ?? '', /3 packets dropped/);
});

test('nothing silently passes: any miss fails the run, anything open keeps it from passing', () => {
  const v = (o: 'pass' | 'fail' | 'inconclusive') => ({
    ...(outcome(evidence({}, target)) as NonNullable<ReturnType<typeof outcome>>),
    outcome: o,
  });
  assert.equal(overall([v('pass'), v('inconclusive'), v('fail')]), 'fail');
  assert.equal(overall([v('pass'), v('inconclusive')]), 'inconclusive');
  assert.equal(overall([v('pass')]), 'pass');
  assert.equal(overall([]), 'inconclusive', 'nothing was judged');
});

const PROBER = { sender: ['n', 'p'], receiver: ['n', 'p'] };

test("traffic tools: arguments are arrays, results are the receiver's", () => {
  const udp = { ...flow, protocol: 'udp', rateBps: 3e7, parallel: 3 } as const;
  assert.deepEqual(flowCommands(udp, 5201, PROBER).client(0, 0).slice(-7), ['-P', '3', '-u', '-l', '1400', '-b', '10000000']);
  const server = JSON.stringify({
    intervals: [{ sum: { start: 0, end: 1, bytes: 1000, bits_per_second: 8000, packets: 10, lost_packets: 2 } }],
    end: { sum: { packets: 10, lost_packets: 2 } },
  });
  const client = JSON.stringify({
    intervals: [{ sum: { start: 0, end: 1, bytes: 1200, bits_per_second: 9600, packets: 12 } }],
    end: { sum: { packets: 12 } },
  });
  const result = parseFlow(udp, client, server);
  assert.deepEqual([result.ok, result.receivedBytes, result.datagrams], [true, 1000, [{ startS: 0, endS: 1, sent: 12, lost: 4 }]]);
  assert.equal(parseFlow(flow, '{"error":"unable to connect"}', '').ok, false);
  assert.match(parseFlow(flow, 'not json', '').error ?? '', /unreadable output of iperf3/);
  const nowhere = parseFlow(flow, '{"error":"unable to connect to server: Network is unreachable"}', '');
  assert.ok(!nowhere.ok && nowhere.started && nowhere.intervals.length > 0 && nowhere.intervals.every((i) => i.rateBps === 0));
  assert.deepEqual(
    parseFlow(flow, '{"error":"unable to connect to server: Connection timed out"}', '').intervals,
    [],
    'it may have starved',
  );
  assert.deepEqual(
    parseFlow({ ...flow, tool: 'netperf' }, 'THROUGHPUT=95.5\nTHROUGHPUT_UNITS=10^6bits/s\nELAPSED_TIME=2\n', '').intervals[0]?.rateBps,
    95.5e6,
  );
});

test('relative targets: this cell over another one, with both errors; a missing reference is open', () => {
  const rate = (mbit: number, variant: Record<string, string>, t: TargetFile) => {
    const e = evidence({}, t);
    return {
      ...e,
      lab: { ...e.lab, variant },
      phases: e.phases.map((p) => ({
        ...p,
        flows: p.flows.map((f) => ({ ...f, intervals: f.intervals.map((i) => ({ ...i, rateBps: i.rateBps * (mbit / 10) })) })),
      })),
    };
  };
  const t: TargetFile = {
    name: 'x',
    check: 'rate',
    flow: 'f',
    'relative-to': { cell: { load: 'idle' } },
    'at-least': '40%',
    'at-most': '60%',
  };
  const idle = rate(20, { load: 'idle' }, target);
  const verdict = verdictsOf([rate(10, { load: 'udp' }, t)], { lookup: (variant) => (variant['load'] === 'idle' ? [idle] : undefined) })[0];
  assert.equal(verdict?.outcome, 'pass');
  assert.ok(Math.abs((verdict.estimate?.value ?? 0) - 0.5) < 1e-9);
  assert.equal(verdict.wanted, '≥ 40.0% and ≤ 60.0% of idle');
  assert.match(verdictsOf([rate(10, { load: 'udp' }, t)])[0]?.reason ?? '', /the cell to compare with \(idle\) was not run/);
});

test('ratio and shift of estimates', () => {
  const r = ratio({ value: 10, low: 9, high: 11, n: 4 }, { value: 20, low: 18, high: 22, n: 3 });
  // Fieller (1940): both halves are a tenth, so g = 0.01.
  const [low, high] = [-1, 1].map((sign) => (0.5 * (1 + sign * Math.sqrt(1 - 0.99 ** 2))) / 0.99) as [number, number];
  assert.ok(Math.abs(r.low - low) < 1e-9 && Math.abs(r.high - high) < 1e-9, `${r.low} ${r.high}`);
  const aboveNothing = ratio({ value: -0.1, low: -0.9, high: 0.7, n: 3 }, { value: 1, low: 1, high: 1, n: 3 });
  assert.ok(
    Math.abs(aboveNothing.low + 0.9) < 1e-9 && Math.abs(aboveNothing.high - 0.7) < 1e-9,
    'an allowance may leave less than nothing',
  );
  assert.equal(
    ratio({ value: 60, low: 60, high: 60, n: 3 }, { value: 30, low: -5, high: 65, n: 3 }).high,
    Infinity,
    'a reference that may be nothing bounds nothing',
  );
  assert.equal(ratio({ value: Infinity, low: 5, high: Infinity, n: 2 }, { value: 10, low: 9, high: 10, n: 2 }).low, 0.5);
  assert.deepEqual(shifted({ value: 3, low: 2, high: 4, n: 1 }, -1), { value: 2, low: 1, high: 3, n: 1 });
});

test('counters: summed over agents or of one node; one that no agent reports is open', () => {
  const agent = (node: string, limiters: number) => ({
    system: 'gatekeeper',
    node,
    machine: 'local',
    clock: null,
    crashes: [],
    counters: { limiters },
    cpuSeconds: 0,
    clean: true,
  });
  const agents = [agent('s0', 2), agent('s1', 3)];
  const t: TargetFile = { name: 'x', check: 'counter', system: 'gatekeeper', counter: 'limiters', 'at-most': 4 };
  assert.equal(outcome(evidence({ agents }, t))?.outcome, 'fail');
  assert.equal(outcome(evidence({ agents }, { ...t, node: 's1' }))?.outcome, 'pass');
  assert.equal(outcome(evidence({ agents }, { ...t, counter: 'nothing' }))?.outcome, 'inconclusive');
});

test('R4-10 ramp: the slope of a rise, as capacity per second', () => {
  const rising = Float64Array.from({ length: 100 }, (_, i) => (1e8 * (0.2 + 0.5 * (i / 100)) * 0.01) / 8);
  assert.ok(Math.abs(rampPerSecond({ binUs: 10_000, bytes: new Map([['B', rising]]) }, 'B', 1e8, { fromUs: 0, toUs: 1e6 }) - 0.5) < 1e-6);
});

test('R4-8 recovery of the victim: back for 200 ms; never pushed is zero, never back is never', () => {
  const victim = (segments: readonly (readonly [ms: number, mbit: number])[]) =>
    victimRecoveryUs(
      {
        binUs: 10_000,
        bytes: new Map([
          ['A', Float64Array.from(segments.flatMap(([ms, mbit]) => Array.from({ length: ms / 10 }, () => (mbit * 1e6 * 0.01) / 8)))],
        ]),
      },
      'A',
      70e6,
      1e6,
      3e6,
    );
  assert.equal(
    victim([
      [1000, 100],
      [300, 0],
      [2000, 70],
    ]),
    300_000,
  );
  assert.equal(victim([[3000, 70]]), 0);
  assert.equal(
    victim([
      [1000, 100],
      [2000, 10],
    ]),
    Infinity,
  );
  assert.ok(
    victim([
      [1000, 100],
      [100, 0],
      [100, 70],
      [100, 0],
      [2000, 70],
    ]) >= 290_000,
    'a hundred milliseconds are not a recovery',
  );
});

test('mgen: trains, bursts and its two logs', () => {
  const mgen = { ...flow, tool: 'mgen', protocol: 'udp', rateBps: 56e6, durationUs: 2e5 } as const;
  const { client } = flowCommands(mgen, 5202, PROBER);
  assert.ok(
    client(0, 0).some((a) =>
      /^0\.0 ON 1 UDP SRC 20000 DST 10\.0\.0\.2\/5202 BURST \[REGULAR 0\.0016000 PERIODIC \[200000\.000 1400\] FIXED 0\.0000375\]$/.test(a),
    ),
    client(0, 0).join('\n'),
  );
  assert.deepEqual(client(10_000, 0).slice(1, 2), ['start'], 'starts by the clock');
  assert.ok(!client(0, 10).includes('start'), 'a start that has passed would mean tomorrow');
  const line = (at: string, sequence = 0) =>
    `${at} RECV proto>UDP flow>1 seq>${sequence} src>10.0.0.1/20000 dst>10.0.0.2/5202 sent>${at} size>1400 gps>x\n`;
  const result = parseFlow(
    mgen,
    '23:59:59.950000 ON flow>1 srcPort>20000 dst>10.0.0.2/5202 \n',
    line('23:59:59.960000') + line('00:00:00.060000', 1),
  );
  assert.deepEqual(
    result.intervals.map((i) => i.rateBps),
    [1400 * 80, 1400 * 80],
    'midnight passes',
  );
  const ahead = parseFlow(
    mgen,
    '10:00:00.000000 ON flow>1 srcPort>20000 dst>10.0.0.2/5202 \n',
    line('10:00:02.010000') + line('10:00:02.110000', 1),
    2000,
  );
  assert.deepEqual(
    ahead.intervals.map((i) => i.rateBps),
    [1400 * 80, 1400 * 80],
    'the receiver has another clock',
  );
  assert.equal(result.receivedBytes, 2800);
  assert.equal(parseFlow(mgen, 'mgen: error', '').started, false);
});
