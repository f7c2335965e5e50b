import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import type { FlowStatistics, Match } from '../../agents/lib/openflow/index.ts';
import { cookieOf, countsOf, flowsOf, NO_TASKS, type Fabric, type Tasks } from '../../agents/replication/gateway/flows.ts';
import { clocksOff } from '../../agents/replication/routing/clockcheck.ts';
import { isSame, planDirectives } from '../../agents/replication/routing/directives.ts';
import { exactSearch } from '../../agents/replication/routing/exact.ts';
import { evaluate, flaw, isConsumer, UNUSED, wayTo, type Problem, type Tree } from '../../agents/replication/routing/graph.ts';
import { deviationOf, Latencies, Spreads } from '../../agents/replication/routing/latencies.ts';
import {
  conformance,
  epochChanges,
  lostAt,
  orderErrors,
  recovery,
  unmeasured,
  holdErrors,
} from '../../agents/replication/results/measures.ts';
import type { Measurement, Passage } from '../../agents/replication/results/wire.ts';
import { validated } from '../../agents/lib/params.ts';
import { OPERATIONS } from '../../agents/replication/control/operations.ts';
import { distance, place, type Candidate } from '../../agents/replication/control/placement.ts';
import type { Gateway } from '../../agents/replication/protocol.ts';
import { route, type Knowledge, type Route } from '../../agents/replication/routing/router.ts';
import { lowerBound, search } from '../../agents/replication/routing/search.ts';
import { system } from '../../agents/replication/system.ts';
import { problem } from '../support/replication.ts';

const sizes = fc.record({
  ppns: fc.integer({ min: 1, max: 12 }),
  consumers: fc.integer({ min: 1, max: 20 }),
  fanOut: fc.integer({ min: 1, max: 6 }),
  seed: fc.nat(),
  euclidean: fc.boolean(),
});

test('R0-8 search: every tree is sound, the same each time, and none beats the shortest paths', () => {
  fc.assert(
    fc.property(sizes, ({ ppns, consumers, fanOut, seed, euclidean }) => {
      const p = problem(ppns, consumers, fanOut, seed, euclidean);
      const found = search(p);
      if (!found) {
        assert.ok(ppns * fanOut - (ppns - 1) < consumers, 'there were enough places');
        return;
      }
      assert.equal(flaw(p, found.tree), undefined);
      assert.ok(found.evaluation.largest >= lowerBound(p) - 1e-6);
      assert.deepEqual(search(p)?.tree, found.tree);
    }),
    { numRuns: 60 },
  );
});

test('R0-8 search against the best tree there is: 1 % on average, 5 % in 95 of 100 small graphs', () => {
  for (const euclidean of [true, false]) {
    for (const [ppns, consumers, fanOut] of [
      [3, 4, 2],
      [4, 5, 2],
      [4, 4, 3],
    ] as const) {
      const gaps = Array.from({ length: 60 }, (_, seed) => {
        const p = problem(ppns, consumers, fanOut, seed, euclidean);
        return (search(p)?.evaluation.largest ?? Infinity) / (exactSearch(p)?.evaluation.largest ?? NaN) - 1;
      }).sort((a, b) => a - b);
      assert.ok(gaps.reduce((a, b) => a + b, 0) / gaps.length < 0.01, `mean of ${ppns}/${consumers}/${fanOut}`);
      assert.ok(gaps[Math.floor(gaps.length * 0.95)]! < 0.05, `95 % of ${ppns}/${consumers}/${fanOut}: ${gaps.at(-4)}`);
    }
  }
});

test('R0-4, R0-23 limits of classes come first: the search keeps them where any tree does', () => {
  for (const euclidean of [true, false]) {
    let kept = 0;
    for (let seed = 0; seed < 60; seed++) {
      const free = problem(4, 5, 2, seed, euclidean);
      const latency = search(free)?.evaluation.latency ?? new Float64Array(5);
      // Two consumers are to be faster than the tree that is best for the slowest makes them.
      const limited = { ...free, limitUs: latency.map((us, c) => (c < 2 ? us * 0.7 : Infinity)) };
      const [found, best] = [search(limited)?.evaluation, exactSearch(limited)?.evaluation];
      assert.ok(found && best && found.excess <= best.excess * 1.1 + 1, `${seed}: ${found?.excess} us beyond, ${best?.excess} would do`);
      if (best.excess === 0) kept += 1;
    }
    assert.ok(kept >= 5, 'some limits can be kept');
  }
});

test('R0-15 longest path first: no other order makes the slowest destination faster', () => {
  fc.assert(
    fc.property(sizes, ({ ppns, consumers, fanOut, seed }) => {
      const p = problem(ppns, consumers, Math.max(2, fanOut), seed);
      const tree = search(p)?.tree;
      if (!tree) return;
      assert.ok(evaluate(p, tree).largest <= evaluate(p, tree, 'shortest-first').largest + 1e-6);
      assert.ok(evaluate(p, tree).largest <= evaluate(p, tree, 'as-numbered').largest + 1e-6);
    }),
    { numRuns: 60 },
  );
});

const LIMITS = { mostUs: Infinity, marginUs: 500 };
const naming = (p: Problem) => ({
  ppns: Array.from({ length: p.ppns }, (_, i) => 100 + i),
  consumers: Array.from({ length: p.consumers }, (_, i) => 200 + i),
});

test('R0-16 holds make everybody as slow as the slowest, of its class; unheld they are not', () => {
  const p = problem(5, 9, 3, 4);
  const tree = search(p)?.tree as Tree;
  const evaluation = evaluate(p, tree);
  for (const scheme of ['relative', 'absolute'] as const) {
    const plan = planDirectives(p, tree, evaluation, scheme, naming(p), new Array<number>(9).fill(0), LIMITS);
    assert.ok(Math.max(...plan.estimated) - Math.min(...plan.estimated) < 1e-6);
    assert.ok(Math.abs(plan.estimated[0]! - evaluation.largest - (scheme === 'absolute' ? 500 : 0)) < 1e-6);
    assert.equal([...plan.destinations.values()].flat().filter((d) => d.peer >= 200).length, 9);
  }
  const classes = [0, 0, 0, 1, 1, 1, 1, 1, 1];
  const plan = planDirectives(p, tree, evaluation, 'relative', naming(p), classes, LIMITS);
  const own = (k: number) => plan.estimated.filter((_, c) => classes[c] === k);
  for (const k of [0, 1]) assert.ok(Math.max(...own(k)) - Math.min(...own(k)) < 1e-6);
  assert.notEqual(Math.round(own(0)[0]!), Math.round(own(1)[0]!));
  assert.ok(evaluation.largest - evaluation.smallest > 100);
});

test('R0-17 a hold is cut to what the buffer allows, and the plan says so', () => {
  const p = problem(5, 9, 3, 4);
  const tree = search(p)?.tree as Tree;
  const plan = planDirectives(p, tree, evaluate(p, tree), 'relative', naming(p), new Array<number>(9).fill(0), {
    mostUs: 300,
    marginUs: 0,
  });
  assert.ok(plan.cut);
  assert.ok(Math.max(...plan.holds) <= 300);
});

function known(latency: (from: number, to: number) => number | undefined, bufferBytes = 1e9, bytesPerSecond = 0): Knowledge {
  return {
    latencyUs: latency,
    dwellUs: () => 40,
    elapsedUs: () => 10,
    bytesPerSecond: () => bytesPerSecond,
    bufferBytes: () => bufferBytes,
  };
}

const limits = { variationUs: null, share: 0.9, deviationUs: null, latencyUs: null };
const gateway = (over: Partial<Gateway> = {}): Gateway => ({
  term: 1,
  svg: 'g',
  firstGraph: 1,
  scheme: 'relative',
  producers: [1],
  ppns: [2, 3, 4, 5],
  fanOut: 3,
  messageBytes: 200,
  messagesPerSecond: 100,
  periodMs: 1000,
  quantile: 0.5,
  duplicates: [],
  classes: { all: { ...limits, consumers: [10, 11, 12, 13], variationUs: 1000 } },
  ...over,
});
const flat = known((from, to) => 100 + 10 * Math.abs(from - to));
const input = (over: Partial<Parameters<typeof route>[2]> = {}) => ({
  gateway: gateway(),
  healthy: [2, 3, 4, 5],
  knowledge: flat,
  marginUs: 500,
  thorough: true,
  ...over,
});

test('R0-9 the same measurements, with noise, give the same directives', () => {
  const first = route(1, 0, input(), undefined);
  const noisy = known((from, to) => 100 + 10 * Math.abs(from - to) + ((from * 7 + to * 3) % 5) * 4);
  const second = route(1, 0, input({ knowledge: noisy }), first);
  assert.deepEqual(second.graphs[0]?.tree, first.graphs[0]?.tree);
  for (const [ppn, destinations] of second.graphs[0]!.plan.destinations)
    assert.ok(isSame(destinations, first.graphs[0]!.plan.destinations.get(ppn) ?? [], 60));
});

test('R0-8, R0-12 a path that became slow, or a PPN that died, is gone from the graph', () => {
  const first = route(1, 0, input(), undefined);
  const entry = first.aims[0]!.peer;
  const dead = route(1, 0, input({ healthy: [2, 3, 4, 5].filter((p) => p !== entry) }), first);
  assert.notEqual(dead.aims[0]?.peer, entry);
  assert.ok(![...dead.graphs[0]!.plan.destinations.keys()].includes(entry));
  const slow = route(1, 0, input({ knowledge: known((from, to) => (to === entry ? 50_000 : 100 + 10 * Math.abs(from - to))) }), first);
  assert.notEqual(slow.aims[0]?.peer, entry);
});

test('R0-24 duplicates go over PPNs that the first path does not use, and are due at the same time', () => {
  const r = route(
    1,
    0,
    input({ gateway: gateway({ duplicates: [10, 11], ppns: [2, 3, 4, 5, 6], fanOut: 3 }), healthy: [2, 3, 4, 5, 6] }),
    undefined,
  );
  const [first, second] = r.graphs;
  assert.deepEqual(second?.consumers, [10, 11]);
  const used = (g: typeof first) => [...g!.plan.destinations.keys()];
  assert.ok(used(second).every((p) => !used(first).includes(p)));
  assert.ok(Math.abs(second.plan.due[0]! - first!.plan.due[0]!) < 1e-6);
  assert.equal(r.aims.length, 2);
});

test('R0-24 the first tree leaves PPNs for the second', () => {
  // The best tree would use both: each has a consumer beside it.
  const beside = known((from, to) => ((from === 2 && to === 10) || (from === 3 && to === 11) ? 100 : 1000));
  const r = route(
    1,
    0,
    input({
      gateway: gateway({ classes: { all: { ...limits, consumers: [10, 11] } }, duplicates: [10, 11], ppns: [2, 3] }),
      healthy: [2, 3],
      knowledge: beside,
    }),
    undefined,
  );
  assert.deepEqual(
    r.graphs.map((g) => [...g.plan.destinations.keys()].length),
    [1, 1],
  );
  assert.equal(new Set(r.aims).size, 2);
  assert.equal(r.reason, null);
});

test('R0-24 no PPN is on both ways of a consumer, whatever is measured, also where the trees share PPNs', () => {
  // Consumers that are far away let the tree take long ways to those that are near.
  const ppns = [2, 3, 4, 5, 6, 7, 8, 9];
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.integer({ min: 100, max: 900 }), { minLength: 200, maxLength: 200 }), { minLength: 2, maxLength: 3 }),
      (rounds) => {
        let before: Route | undefined;
        for (const us of rounds) {
          const r = route(
            1,
            0,
            input({
              gateway: gateway({
                classes: { all: { ...limits, consumers: [10, 11, 12, 13, 14, 15, 16, 17, 18] } },
                duplicates: [10, 11],
                ppns,
              }),
              healthy: ppns,
              knowledge: known((from, to) => us[(from * 19 + to) % 200]! + (to > 12 ? 10_000 : 0)),
            }),
            before,
          );
          const [first, second] = r.graphs;
          const ways = [10, 11].map((c) => [first, second].map((g) => (g ? wayTo(g.tree, g.consumers.indexOf(c)) : [])));
          for (const [one, other] of ways) assert.ok(!one!.some((p) => other!.includes(p)), `${one!.join(' ')} and ${other!.join(' ')}`);
          before = r;
        }
      },
    ),
    { numRuns: 20 },
  );
});

test('R0-24 without second paths there are no second copies, and it is said', () => {
  const r = route(1, 0, input({ gateway: gateway({ duplicates: [10, 11], ppns: [2], fanOut: 4 }), healthy: [2] }), undefined);
  assert.equal(r.graphs.length, 1);
  assert.equal(r.feasible, false);
  assert.match(r.reason ?? '', /too few PPNs for second paths/);
});

test('R0-3 a standard deviation may be required, and what remains of it is said', () => {
  const wide = known((from, to) => (to === 13 ? 5000 : 100 + 10 * Math.abs(from - to)));
  const classes = { all: { ...limits, consumers: [10, 11, 12, 13], deviationUs: 200 } };
  assert.equal(route(1, 0, input({ knowledge: wide, gateway: gateway({ classes }) }), undefined).feasible, true, 'holds take it away');
  assert.match(
    route(1, 0, input({ knowledge: wide, gateway: gateway({ classes, scheme: 'plain' }) }), undefined).reason ?? '',
    /a standard deviation of \d+ us remains, not 200/,
  );
});

test('what cannot be met is said, with the best there is', () => {
  const r = route(
    1,
    0,
    input({ gateway: gateway({ classes: { gold: { ...limits, consumers: [10, 11], variationUs: 100, latencyUs: 50 } } }) }),
    undefined,
  );
  assert.equal(r.feasible, false);
  assert.match(r.reason ?? '', /class gold: \d+ us is the least that its slowest consumer can have, not 50/);
  assert.match(
    route(1, 0, input({ gateway: gateway({ fanOut: 1 }), healthy: [2] }), undefined).reason ?? '',
    /1 PPNs with a fan-out of 1 cannot serve 4 consumers/,
  );
});

test('R0-17 holds shrink with the buffer', () => {
  const far = known((_, to) => (to === 13 ? 20_000 : 100), 1e9);
  const near = { ...far, bufferBytes: () => 200 };
  const most = (knowledge: Knowledge) => Math.max(...route(1, 0, input({ knowledge }), undefined).graphs[0]!.plan.holds);
  assert.ok(most(far) > 15_000);
  assert.ok(most(near) < 5000);
});

test('R0-17 holds shrink when more comes than was announced', () => {
  const holds = (bytesPerSecond: number) => {
    const plan = route(1, 0, input({ knowledge: known((_, to) => (to === 13 ? 20_000 : 100), 100_000, bytesPerSecond) }), undefined)
      .graphs[0]!.plan;
    return { most: Math.max(...plan.holds), cut: plan.cut };
  };
  assert.equal(holds(0).cut, false);
  assert.equal(holds(20_000).cut, false, 'no more than announced');
  const rush = holds(10e6);
  assert.ok(rush.cut && rush.most <= 50_000 / 10 + 1e-6, `half of 100 kB is 5 ms of 10 MB/s for one destination: ${rush.most}`);
});

test('R0-3 spreads and deviations are of messages that all consumers reported', () => {
  const spreads = new Spreads(1000);
  for (const [consumer, us] of [
    [1, 100],
    [2, 200],
    [3, 300],
  ] as const)
    spreads.add(7, 1, consumer, us, 0);
  spreads.add(7, 2, 1, 900, 0);
  assert.equal(spreads.quantile(0.9, [1, 2, 3], 0), 200);
  assert.equal(spreads.deviation([1, 2, 3], 0), 100);
  assert.equal(spreads.deviation([1, 2, 4], 0), undefined);
  assert.equal(deviationOf([1, Infinity]), Infinity);
});

const host = (name: string, cell: string, runs: 'ppn' | 'rdn'): Candidate => ({ name, cell, runs });
/** Hosts of the client's cell, of a neighbour, and of another spine. */
const hosts = (ppnsHere: number, rdnsHere: number): Candidate[] => [
  ...Array.from({ length: 4 }, (_, i) => host(`far${i}`, 's2/a1', i < 3 ? 'ppn' : 'rdn')),
  ...Array.from({ length: 4 }, (_, i) => host(`next${i}`, 's1/a2', i < 3 ? 'ppn' : 'rdn')),
  ...Array.from({ length: ppnsHere }, (_, i) => host(`ppn${i}`, 's1/a1', 'ppn')),
  ...Array.from({ length: rdnsHere }, (_, i) => host(`rdn${i}`, 's1/a1', 'rdn')),
];

test('R0-26 placement: the four cases, PPNs first', () => {
  const wanted = { ppns: 3, rdns: 1 };
  assert.deepEqual(place(wanted, 's1/a1', hosts(3, 1)), { ppns: ['ppn0', 'ppn1', 'ppn2'], rdns: ['rdn0'] }, 'all in the cell');
  assert.deepEqual(
    place(wanted, 's1/a1', hosts(3, 0)),
    { ppns: ['ppn0', 'ppn1', 'ppn2'], rdns: ['next3'] },
    'PPNs in the cell, the RDN next to it',
  );
  assert.deepEqual(place(wanted, 's1/a1', hosts(1, 0)), { ppns: ['ppn0', 'next0', 'next1'], rdns: ['next3'] }, 'some PPNs in the cell');
  assert.deepEqual(place(wanted, 's1/a1', hosts(0, 0)), { ppns: ['next0', 'next1', 'next2'], rdns: ['next3'] }, 'none: neighbours');
  assert.deepEqual(
    place({ ppns: 5, rdns: 1 }, 's1/a1', hosts(0, 0))?.ppns,
    ['next0', 'next1', 'next2', 'far0', 'far1'],
    'then other spines',
  );
  assert.equal(place({ ppns: 9, rdns: 1 }, 's1/a1', hosts(0, 0)), undefined);
  assert.deepEqual(place({ ppns: 1, rdns: 1 }, 's1/a1', hosts(2, 1), new Set(['ppn1']))?.ppns, ['ppn1'], 'nothing moves without a reason');
  assert.deepEqual(
    [distance('s1/a1', 's1/a1'), distance('s1/a1', 's1/a2'), distance('s1/a1', 's2/a1'), distance('s1/a1', null)],
    [0, 1, 2, 2],
  );
});

test('quantiles of a window: noise is smoothed, a step is believed at once', () => {
  const latencies = new Latencies(4000);
  for (let ms = 0; ms < 4000; ms += 50) latencies.add(1, 2, 1000 + (ms % 3) * 20, ms);
  assert.equal(latencies.settled(1, 2, 0.5, 4000, 1000), 1020);
  for (let ms = 4000; ms < 5000; ms += 50) latencies.add(1, 2, 3000, ms);
  assert.equal(latencies.settled(1, 2, 0.5, 5000, 1000), 3000);
  assert.equal(latencies.quantile(1, 3, 0.5, 5000), undefined);
  assert.equal(latencies.quantile(1, 2, 0.5, 20_000), undefined);
  const spreads = new Spreads(1000);
  for (const [consumer, us] of [100, 400, 250].entries()) spreads.add(1, 7, consumer, us, 0);
  spreads.add(2, 7, 0, 9000, 0);
  assert.equal(spreads.quantile(0.5, [0, 1, 2], 10), 300, 'another stream is another message');
  assert.equal(spreads.quantile(0.5, [0, 2], 10), 150, 'of a class');
  assert.equal(spreads.quantile(0.5, [0, 1, 2, 3], 10), undefined);
});

test('R0-21 a clock that is off is told from a path that is long: nothing arrives before it was sent', () => {
  const errors = new Map([[3, 5000]]);
  const least = (from: number, to: number) => 300 + (errors.get(to) ?? 0) - (errors.get(from) ?? 0);
  assert.deepEqual(clocksOff([1, 2, 3, 4], least, 1000), [3]);
  assert.deepEqual(clocksOff([1, 2, 3, 4], least, 10_000), [], 'within the criterion');
  assert.deepEqual(
    clocksOff([1, 2, 3, 4], (from, to) => (to === 3 ? 9000 : from === 3 ? 20 : 300), 1000),
    [],
    'a slow path is no wrong clock',
  );
  errors.set(3, -5000);
  assert.deepEqual(clocksOff([1, 2, 3, 4], least, 1000), [3], 'behind as well as ahead');
  assert.deepEqual(
    clocksOff([1, 2, 3, 4], () => undefined, 1000),
    [],
    'nothing measured, nothing shown',
  );
});

const fabric: Fabric = {
  mac: '02:00:00:00:00:99',
  provider: { port: 'net', hosts: [{ address: '10.64.0.4', mac: '02:00:00:00:00:04' }] },
  networks: [
    {
      name: 'A',
      port: 'va',
      router: '10.0.0.1',
      hosts: [{ name: 'mp', mac: '02:00:00:00:00:0a', own: '10.0.0.2', translated: '10.64.0.200' }],
    },
    {
      name: 'B',
      port: 'vb',
      router: '10.0.0.1',
      hosts: [{ name: 'c1', mac: '02:00:00:00:00:0b', own: '10.0.0.2', translated: '10.64.0.201' }],
    },
  ],
};
const between = (tasks: Tasks, from: number, to: number) =>
  flowsOf(fabric, tasks).filter(
    (f) => f.table === 2 && f.priority === 20 && f.match.registers?.['reg0'] === from && f.match.registers['reg1'] === to,
  );

test('R0-30, R0-32 flows: addresses are translated both ways, and a direction passes what its task allows', () => {
  const flows = flowsOf(fabric, NO_TASKS);
  const actionsOf = (match: Match) => flows.filter((f) => isDeepStrictEqual(f.match, match)).map((f) => [f.table, f.actions, f.goto]);
  const sent = actionsOf({ inPort: 'va', ethSrc: '02:00:00:00:00:0a', ipSrc: '10.0.0.2' });
  assert.deepEqual(sent, [
    [
      0,
      [
        { set: 'reg0', value: 1 },
        { set: 'ipv4Src', value: '10.64.0.200' },
      ],
      1,
    ],
  ]);
  const out = (to: string, port: string) => [{ set: 'ethSrc', value: fabric.mac }, { set: 'ethDst', value: to }, { output: port }];
  assert.deepEqual(actionsOf({ ipDst: '10.64.0.201' })[1], [
    3,
    [{ set: 'ipv4Dst', value: '10.0.0.2' }, ...out('02:00:00:00:00:0b', 'vb')],
    undefined,
  ]);
  assert.deepEqual(actionsOf({ ipDst: '10.64.0.4' })[0], [3, out('02:00:00:00:00:04', 'net'), undefined], 'and to the provider');
  assert.equal(between(NO_TASKS, 1, 2).length, 1, 'by default all pass');
  const narrow: Tasks = { directions: { 'A->B': { allow: 'any' }, 'B->A': { allow: ['udp:5201', 'tcp:80'] } }, exclusive: true };
  assert.deepEqual(
    between(narrow, 1, 2).map((f) => [f.match.protocol, f.goto]),
    [[undefined, 3]],
  );
  assert.deepEqual(
    between(narrow, 2, 1).map((f) => [f.match.protocol, f.match.portDst, f.goto]),
    [
      ['udp', 5201, 3],
      ['tcp', 80, 3],
    ],
  );
  assert.equal(between({ directions: {}, exclusive: true }, 1, 2).length, 0, 'what no task names is refused');
});

test('R0-30 packets are counted by direction', () => {
  const flow = (cookie: number, packets: number): FlowStatistics => ({ table: 2, priority: 20, cookie, packets, bytes: 0 });
  const of = (from: number, to: number, passes: boolean, n: number) => flow(cookieOf(from, to, passes), n);
  assert.deepEqual(countsOf([of(1, 2, true, 7), of(2, 1, true, 1), of(2, 1, true, 2), of(2, 1, false, 5), flow(0, 9)], fabric), {
    'A->B': { passed: 7, refused: 0 },
    'B->A': { passed: 3, refused: 5 },
  });
});

test('requests in a topology are held against the operations, and name the place', () => {
  const lab = {
    fabric: {
      nodes: ['s', 'r', 'p', 'm', 'c'].map((name, i) => ({
        name,
        kind: 'linux',
        interfaces: [{ name: 'e', addresses: [`10.0.0.${i + 1}/24`], segment: 0 }],
        labels: {},
      })),
    },
  } as never;
  const config = { control: 's', rdns: 'r', ppns: 'p', producers: 'm', consumers: 'c' };
  const on = ['s', 'r', 'p', 'm', 'c'];
  const found = (node: string, operation: string, params: Record<string, unknown>) =>
    system.requests!(config, lab, on, node, operation, params).map((p) => `${p.path.join('.')}: ${p.message} (${p.hint ?? ''})`);
  assert.deepEqual(found('s', 'EstablishSVG', { svg: 'g', producers: ['m'], consumers: ['c'], variation: '1ms' }), []);
  assert.deepEqual(found('m', 'Send', { rate: 100, for: '1s' }), []);
  assert.match(
    found('s', 'EstablishSVG', { svg: 'g', producers: ['m'], consumers: ['c'], varation: '1ms' }).join(),
    /params.varation: unknown key "varation" \(did you mean "variation"\?\)/,
  );
  assert.match(found('s', 'EstablishSVGs', {}).join(), /operation: no operation "EstablishSVGs" there \(did you mean "EstablishSVG"\?\)/);
  assert.match(
    found('s', 'EstablishSVG', { svg: 'g', producers: ['m'], consumers: ['c9'] }).join(),
    /params.consumers.0: "c9" is no consumer/,
  );
  assert.match(found('m', 'Send', { rate: 100, for: '7sek' }).join(), /params.for: expected a duration/);
  assert.match(found('c', 'Send', { rate: 100, for: '1s' }).join(), /this node answers none/);
  assert.match(
    system
      .plan({ ...config, requests: [{ operation: 'EstablishSVG', params: { svg: 'g', producers: ['m'], consumers: [] } }] }, lab, on)
      .problems.map((p) => p.path.join('.'))
      .join(),
    /requests.0.params.consumers/,
  );
});

test('requests are typed: what is wrong is named', () => {
  assert.doesNotThrow(() => validated(OPERATIONS.EstablishSVG, { svg: 'a', producers: ['m'], consumers: ['c'], variation: '1ms' }));
  for (const [params, place] of [
    [{ producers: ['m'], consumers: ['c'] }, /svg|required/],
    [{ svg: 'a', producers: ['m'], consumers: [] }, /consumers/],
    [{ svg: 'a', producers: ['m'], consumers: ['c'], variation: 'narrow' }, /variation/],
    [{ svg: 'a', producers: ['m'], consumers: ['c'], colour: 'red' }, /additional|colour/],
  ] as const) {
    assert.throws(
      () => validated(OPERATIONS.EstablishSVG, params),
      (error: Error & { code: string }) => error.code === 'InvalidRequest' && place.test(error.message),
      JSON.stringify(params),
    );
  }
});

const replica = (over: object) => ({
  graph: 1,
  epoch: 5,
  sequence: 1,
  source: 161,
  peer: 10,
  slot: 0,
  bytes: 200,
  arrivedNs: 0n,
  dueNs: 0n,
  sentNs: 1n,
  ...over,
});
const timeline = (replicas: ReturnType<typeof replica>[]) => ({
  nodes: [
    { id: 2, name: 'p', role: 'ppn', address: '', bind: '', cell: null },
    { id: 10, name: 'c1', role: 'consumer', address: '', bind: '', cell: null },
    { id: 11, name: 'c2', role: 'consumer', address: '', bind: '', cell: null },
  ] as const,
  messages: [],
  answers: [],
  iterations: [],
  lookUps: [],
  replicas: new Map([['p', replicas]]),
  directives: [
    {
      atMs: 0,
      graph: 1,
      epoch: 4,
      entry: 'p',
      destinations: {
        p: [
          { to: 'c1', hold: 'relative', holdNs: 0 },
          { to: 'c2', hold: 'relative', holdNs: 0 },
        ],
      },
      consumers: ['c1', 'c2'],
      edgesUs: [],
    },
  ] as const,
});

const passage = (to: string, over: Partial<Passage> = {}): Passage => ({
  graph: 1,
  epoch: 5,
  source: 161,
  sequence: 1,
  sender: 2,
  to,
  bytes: 256,
  atNs: 1n,
  stampNs: over.atNs ?? 1n,
  generatedNs: 0n,
  ...over,
});
const at = (sent: readonly Passage[], arrived: readonly Passage[] = [], measured: readonly Measurement[] = []) =>
  new Map([['p', { arrived, sent, measured }]]);

test('R0-6, R0-15 a replica that no directive orders, one that is sent twice, and one out of its order are found', () => {
  const violations = (...sent: Passage[]) => conformance(timeline([]), at(sent));
  assert.equal(violations(passage('c1'), passage('c2', { atNs: 2n })), 0);
  assert.equal(violations(passage('c1'), passage('c3')), 1, 'to a stranger');
  assert.equal(violations(passage('c1'), passage('c1', { atNs: 2n })), 1, 'twice');
  assert.equal(violations(passage('c1', { epoch: 3 })), 1, 'before any directive');
  assert.equal(orderErrors(timeline([]), at([passage('c1'), passage('c2', { atNs: 2n })])), 0);
  assert.equal(orderErrors(timeline([]), at([passage('c1', { atNs: 3n }), passage('c2', { atNs: 2n })])), 1);
  const elsewhere = {
    ...timeline([]),
    nodes: [...timeline([]).nodes, { id: 9, name: 'mp', role: 'producer', address: '', bind: '', cell: null } as const],
    directives: [{ ...timeline([]).directives[0], epoch: 5, entry: 'q' }],
  };
  assert.equal(conformance(elsewhere, at([], [passage('p', { sender: 9 })])), 1, 'a producer at a PPN that is not its entry');
});

test('R0-16 holds are judged by what came in and went out: too early, too late, never held', () => {
  const holding = (hold: 'relative' | 'absolute') => ({
    ...timeline([]),
    directives: [
      {
        ...timeline([]).directives[0],
        destinations: {
          p: [
            { to: 'c1', hold, holdNs: 5_000_000 },
            { to: 'c2', hold, holdNs: 0 },
          ],
        },
      },
    ],
  });
  const errors = (hold: 'relative' | 'absolute', leftNs: bigint, cameNs = 1_000_000n) =>
    holdErrors(
      holding(hold),
      at([passage('c1', { atNs: leftNs }), passage('c2', { atNs: cameNs })], [passage('p', { sender: 9, atNs: cameNs })]),
      0n,
      10n ** 9n,
    );
  assert.deepEqual(errors('relative', 6_000_000n), [0]);
  assert.deepEqual(errors('relative', 6_020_000n), [20]);
  assert.deepEqual(errors('relative', 1_000_000n), [5000], 'not held at all');
  assert.deepEqual(errors('absolute', 5_000_000n), [0]);
  assert.deepEqual(errors('absolute', 7_000_000n, 6_000_000n), [], 'it came after its time');
});

test('R0-5 where a replica was lost: on the way to its consumer, between PPNs, or before the first', () => {
  const message = (sequence: number, got: readonly string[]) => ({
    source: 161,
    sequence,
    atUs: sequence * 1000,
    epoch: 5,
    clockBoundUs: 0,
    expected: ['c1', 'c2'],
    receipts: new Map(got.map((c) => [c, { latencyUs: 1, applicationUs: 1, from: 'p', copies: 1 }])),
  });
  const base = timeline([replica({}), replica({ peer: 11 }), replica({ sequence: 2 }), replica({ sequence: 2, peer: 3 })]);
  const wider = {
    ...base,
    nodes: [...base.nodes, { id: 3, name: 'q', role: 'ppn', address: '', bind: '', cell: null } as const],
    replicas: new Map([...base.replicas, ['q', []]]),
  };
  const found = lostAt(wider, [message(1, ['c1']), message(2, ['c1']), message(3, []), message(4, ['c1', 'c2'])]);
  assert.deepEqual(
    [...found].map(([at, { count, firstUs, lastUs }]) => [at, count, firstUs, lastUs]),
    [
      ['before the entry', 2, 3000, 3000],
      ['p>c2', 1, 1000, 1000],
      ['p>q', 1, 2000, 2000],
    ],
  );
  assert.deepEqual([...lostAt(wider, [message(1, ['c1'])], new Set(['c1']))], [], 'not those that were not asked about');
});

test('R0-14 a path in use that was not measured since the last iteration is found', () => {
  const iteration = (atMs: number) => ({
    atMs,
    trigger: 'period',
    changed: 0,
    feasible: true,
    reason: null,
    estimatedUs: {},
    largestUs: 0,
    boundUs: 0,
    tookMs: 1,
  });
  const ruling = {
    ...timeline([]).directives[0],
    edgesUs: [
      ['p', 'c1', 100],
      ['p', 'c2', 100],
    ] as const,
  };
  const seen = (...probes: [number, string][]) =>
    unmeasured(
      { directives: [ruling], iterations: [iteration(1000), iteration(2000), iteration(3000)] },
      at(
        [],
        [],
        probes.map(([atMs, to]) => ({ atNs: BigInt(atMs) * 1_000_000n, from: 'p', to })),
      ),
      0,
      10_000,
    );
  assert.equal(seen([1500, 'c1'], [1500, 'c2'], [2500, 'c1'], [2500, 'c2']), 0);
  assert.equal(seen([1500, 'c1'], [1500, 'c2'], [2500, 'c1']), 1, 'c2 before the last');
  assert.equal(seen(), 4);
});

test('R0-9 a change shows in the epochs of messages', () => {
  const changes = (...epochs: number[]) => epochChanges(at(epochs.map((epoch, i) => passage('c1', { epoch, atNs: BigInt(i) }))), 0n, 100n);
  assert.equal(changes(5, 5, 5), 0);
  assert.equal(changes(5, 6, 6, 8), 2);
  assert.equal(epochChanges(at([passage('c1'), passage('c1', { graph: 2, epoch: 9 })]), 0n, 100n), 0, 'graphs have epochs of their own');
});

test('recovery: from the event until nine of ten messages keep the limit', () => {
  const at = (from: number, to: number, spreadUs: number) =>
    Array.from({ length: (to - from) / 10 }, (_, i) => ({ atUs: (from + i * 10) * 1000, spreadUs }));
  assert.equal(recovery([...at(0, 1000, 100), ...at(1000, 1500, 9000), ...at(1500, 3000, 100)], 1_000_000, 1000), 1_500_000);
  assert.equal(recovery(at(0, 3000, 100), 1_000_000, 1000), 1_000_000, 'never beyond');
  assert.equal(recovery([...at(0, 1000, 100), ...at(1000, 3000, 9000)], 1_000_000, 1000), Infinity);
  assert.equal(
    recovery([...at(0, 1000, 100), ...at(1000, 1500, Infinity), ...at(1500, 3000, 100)], 1_000_000, 1000),
    1_500_000,
    'lost ones count',
  );
});

test('the order of a tree keeps every destination once', () => {
  const p = problem(7, 8, 2, 11);
  const found = search(p);
  const children = found!.evaluation.children.flat();
  assert.equal(children.filter(isConsumer).length, 8);
  assert.equal(new Set(children).size, children.length);
  assert.equal(children.filter((c) => !isConsumer(c)).length, [...found!.tree.parent].filter((x) => x !== UNUSED).length - 1);
});
