import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { demands, holds, nextAmounts, type Amounts, type PopState } from '../../agents/pop/control/law.ts';
import type { LawConfig, RuleConfig } from '../../agents/pop/config.ts';
import { lawOf } from '../../agents/pop/system.ts';
import {
  countOf,
  drained,
  emptyTable,
  isKept,
  nextDrainMs,
  retarget,
  wantedSlots,
  withServers,
  type Table,
} from '../../agents/pop/manager/table.ts';
import { recalled, remembered } from '../../agents/pop/manager/memory.ts';
import { birdConfig } from '../../agents/pop/nodes/bgp.ts';
import { dissect } from '../../agents/pop/results/packets.ts';
import {
  addedUs,
  differing,
  prematureChanges,
  modifications,
  redundantChanges,
  reaction,
  relayed,
  settling,
  sigmas,
  misdelivered,
  turns,
  uneven,
  untrue,
} from '../../agents/pop/results/measures.ts';
import { ACK, ethernet, firstHop, ipv4, SYN, tcp } from '../support/frames.ts';
import type { Connection } from '../../agents/pop/results/evidence.ts';
import type { SeenPacket } from '../../agents/pop/results/packets.ts';

const SLOTS = 1024;
const amounts = (shares: Record<string, number>): Map<string, number> => new Map(Object.entries(shares));

test('R3-19 5 % of 1024 entries are 51, 10 % are 102; going from one to the other changes 51', () => {
  assert.deepEqual(
    [...wantedSlots(amounts({ b: 0.05, c: 0.1 }), SLOTS)],
    [
      ['b', 51],
      ['c', 102],
    ],
  );
  const first = retarget(emptyTable(SLOTS), amounts({ b: 0.05, c: 0.1 }), 0, null);
  const second = retarget(first.table, amounts({ b: 0.1, c: 0.1 }), 1, null);
  assert.equal(first.journal.length, 153);
  assert.equal(second.journal.length, 51);
  assert.ok(second.journal.every((m) => m.from === null && m.to === 'b'));
  assert.deepEqual([countOf(second.table, 'b'), countOf(second.table, 'c'), countOf(second.table, null)], [102, 102, 820]);
});

const dump = (...entries: string[]) => ({ atUs: 0, pop: 'a', version: 1, tables: { s: entries } });
const shares = fc.record(
  {
    b: fc.double({ min: 0, max: 0.5, noNaN: true }),
    c: fc.double({ min: 0, max: 0.5, noNaN: true }),
    d: fc.double({ min: 0, max: 0.3, noNaN: true }),
  },
  { requiredKeys: [] },
);

test('R3-19, R3-20 any run of policies: as few changes as there can be, least recently modified first', () => {
  fc.assert(
    fc.property(fc.array(shares, { minLength: 1, maxLength: 8 }), (policies) => {
      let table = emptyTable(64);
      const dumps: ReturnType<typeof dump>[] = [];
      for (const [i, policy] of policies.entries()) {
        const wanted = wantedSlots(amounts(policy), 64);
        const next = retarget(table, amounts(policy), i, null);
        const grown = ['b', 'c', 'd', null].reduce(
          (sum, pop) =>
            sum +
            Math.max(
              0,
              (pop === null ? 64 - [...wanted.values()].reduce((a, b) => a + b, 0) : (wanted.get(pop) ?? 0)) - countOf(table, pop),
            ),
          0,
        );
        assert.equal(next.journal.length, grown, 'no more than those that must change');
        for (const [pop, n] of wanted) assert.equal(countOf(next.table, pop), n);
        dumps.push(dump(...next.table.slots.map((s) => s.target ?? '')));
        table = next.table;
      }
      assert.equal(prematureChanges(dumps, 64), 0);
      assert.equal(redundantChanges(dumps, 64), 0);
    }),
    { numRuns: 300 },
  );
});

test('R3-20 the check finds an entry that was changed out of its turn', () => {
  assert.equal(
    prematureChanges([dump('b', '', '', ''), dump('', '', '', ''), dump('b', '', '', '')], 4),
    1,
    'entry 0 again, though 1 to 3 were never changed',
  );
  assert.equal(prematureChanges([dump('b', '', '', ''), dump('', '', '', ''), dump('', 'b', '', '')], 4), 0);
  assert.equal(modifications([dump('b', 'b', '', ''), dump('', 'b', '', '')], undefined, 4), 3);
});

test('R3-36 what an entry pointed to is remembered until it has drained: two former PoPs, and connections that are here', () => {
  const move = (table: Table, to: Record<string, number>, nowMs: number) => retarget(table, amounts(to), nowMs, 1000).table;
  let table = move(emptyTable(16), { b: 1 }, 0);
  assert.ok(isKept(table.slots[0]!, 999) && !isKept(table.slots[0]!, 1000), 'local connections for a second');
  table = move(table, { c: 1 }, 100);
  assert.deepEqual(table.slots[0]!.previousPops, [{ pop: 'b', untilMs: 1100 }]);
  assert.equal(table.slots[0]!.keepUntilMs, 1000, 'not longer because it was pointed elsewhere');
  table = move(table, { d: 1 }, 200);
  assert.deepEqual(
    table.slots[0]!.previousPops.map((f) => f.pop),
    ['c', 'b'],
  );
  assert.equal(nextDrainMs(table, 300), 1000);
  assert.deepEqual(
    drained(table, 1100).slots[0]!.previousPops.map((f) => f.pop),
    ['c'],
  );
  assert.deepEqual(drained(table, 1200).slots[0]!.previousPops, []);
  assert.equal(drained(table, 300), table);
  table = move(table, { b: 1 }, 300);
  assert.deepEqual(
    table.slots[0]!.previousPops.map((f) => f.pop),
    ['d', 'c'],
    'the PoP that it points to is no former one',
  );
});

test('R3-37 entries of a dead server go to the others, evenly, and come back; the one that had them meanwhile serves what it has', () => {
  const homes = ['s1', 's2', 's3'];
  const all = withServers(emptyTable(30), homes, new Set(homes), 0, 1000);
  const count = (table: Table, server: string | null) => table.slots.filter((s) => s.server === server).length;
  assert.deepEqual(
    homes.map((s) => count(all, s)),
    [10, 10, 10],
  );
  const two = withServers(all, homes, new Set(['s1', 's3']), 0, 1000);
  assert.deepEqual(
    homes.map((s) => count(two, s)),
    [15, 0, 15],
  );
  assert.ok(
    two.slots.every((s, i) => s.server === all.slots[i]!.server || all.slots[i]!.server === 's2'),
    "nobody else's were touched",
  );
  assert.deepEqual(
    two.slots.flatMap((s) => (s.handoff ? [s.handoff] : [])),
    Array.from({ length: 10 }, () => ({ server: 's2', untilMs: 10_000 })),
    'it may only have been silent: it is asked for a while',
  );
  const back = withServers(two, homes, new Set(homes), 0, 1000);
  assert.deepEqual(
    homes.map((s) => count(back, s)),
    [10, 10, 10],
  );
  assert.equal(back.slots.filter((s) => s.handoff !== null && s.handoff.server !== 's2').length, 10);
  assert.equal(withServers(back, homes, new Set(homes), 0, 1000), back);
  assert.equal(count(withServers(all, homes, new Set(), 0, null), null), 30, 'nobody is left');
});

const law: LawConfig = {
  donor: { load: 0.8, when: 'combined', servers: { count: 1 } },
  receiver: { load: 0.6, when: 'combined', servers: { count: 1 } },
  latencyMs: null,
  goal: 0.7,
  step: 0.25,
};
const distances = (name: string, all: readonly string[]): Record<string, number> =>
  Object.fromEntries(all.filter((o) => o !== name).map((o) => [o, Math.abs(all.indexOf(o) - all.indexOf(name))]));
/** What PoPs see when clients bring so much to each: loads of two servers each. */
function seen(brought: Readonly<Record<string, number>>, now: Amounts, over: Partial<PopState> = {}): PopState[] {
  const all = Object.keys(brought);
  return all.map((name) => {
    const kept = 1 - [...(now.get(name) ?? [])].reduce((sum, [, a]) => sum + a, 0);
    const served = kept * brought[name]! + all.reduce((sum, o) => sum + (now.get(o)?.get(name) ?? 0) * brought[o]!, 0);
    return {
      name,
      strict: false,
      loads: [served / 2, served / 2],
      latencyMs: null,
      distanceMs: distances(name, all),
      stale: false,
      ...over,
    };
  });
}
const loadOf = (states: readonly PopState[], name: string): number => states.find((s) => s.name === name)!.loads[0]!;

test('R3-24, R3-25 rules: any server, a number or a part of them, the PoP as a whole', () => {
  const above = (own: number, t: number) => own > t;
  const rule = (when: 'any' | 'number' | 'combined', servers: RuleConfig['servers'] = { count: 1 }) => ({ load: 0.8, when, servers });
  assert.ok(holds(rule('any'), [0.9, 0.1, 0.1], above));
  assert.ok(!holds(rule('number', { count: 2 }), [0.9, 0.1, 0.1], above));
  assert.ok(holds(rule('number', { count: 2 }), [0.9, 0.85, 0.1], above));
  assert.ok(holds(rule('number', { part: 0.5 }), [0.9, 0.85, 0.1, 0.1], above));
  assert.ok(!holds(rule('number', { part: 1 }), [0.9, 0.85, 0.1, 0.1], above), 'all of them, not one');
  assert.ok(holds(rule('number', { part: 1 }), [0.9, 0.85], above));
  assert.ok(!holds(rule('combined'), [0.9, 0.1, 0.1], above));
  assert.ok(!holds(rule('any'), [], above));
});

test('R3-25 who may receive: any server below the threshold, a number, a part of them, or the PoP as a whole', () => {
  const law = lawOf({ donor: { load: '80%' }, receiver: { load: '60%' } })!;
  const donor = { name: 'a', strict: false, loads: [0.95, 0.95], latencyMs: null, distanceMs: { b: 1 }, stale: false };
  const receives = (loads: readonly number[], when: RuleConfig['when'], servers: RuleConfig['servers'] = { count: 1 }): boolean => {
    const receiver = { name: 'b', strict: false, loads, latencyMs: null, distanceMs: { a: 1 }, stale: false };
    return (
      (nextAmounts([donor, receiver], new Map(), { ...law, receiver: { ...law.receiver, when, servers } })
        .get('a')
        ?.get('b') ?? 0) > 0
    );
  };
  // One of four is idle; the PoP as a whole has no room below the threshold.
  assert.ok(receives([0.1, 0.65, 0.65, 0.65], 'any'));
  assert.ok(!receives([0.1, 0.65, 0.65, 0.65], 'number', { count: 2 }));
  assert.ok(receives([0.1, 0.1, 0.65, 0.65], 'number', { count: 2 }));
  assert.ok(!receives([0.1, 0.1, 0.1, 0.65], 'number', { part: 1 }), 'all of them');
  assert.ok(receives([0.1, 0.1, 0.1, 0.1], 'number', { part: 1 }));
  assert.ok(receives([0.1, 0.65, 0.65, 0.65], 'combined'));
  assert.ok(!receives([0.61, 0.65, 0.65, 0.65], 'combined'));
  assert.ok(!receives([0.61, 0.65, 0.65, 0.65], 'any'));
});

test('demands follow from what is served and from the amounts that rule', () => {
  const now: Amounts = new Map([
    ['a', amounts({ b: 0.3 })],
    ['b', amounts({ c: 0.2 })],
  ]);
  const brought = { a: 1.6, b: 0.8, c: 0.2 };
  for (const [pop, demand] of demands(seen(brought, now), now)) assert.ok(Math.abs(demand - brought[pop as 'a']) < 1e-6, pop);
});

test('an overload goes to the nearest PoP with room, a rest to the next; nobody is brought above the goal', () => {
  const none: Amounts = new Map();
  const brought = { a: 2.2, b: 1.0, c: 0.2 };
  let now = none;
  for (let i = 0; i < 4; i++) now = nextAmounts(seen(brought, now), now, law);
  const states = seen(brought, now);
  assert.ok(
    loadOf(states, 'a') <= 0.8 && loadOf(states, 'b') <= 0.8 && loadOf(states, 'c') <= 0.8,
    JSON.stringify(states.map((s) => s.loads[0])),
  );
  assert.ok((now.get('a')?.get('b') ?? 0) > 0 && (now.get('a')?.get('c') ?? 0) > 0);
  assert.equal(nextAmounts(states, now, law), now, 'and then nothing changes');
});

test('R3-26 a strict PoP is neither donor nor receiver', () => {
  const states = seen({ a: 2, b: 0.1, c: 0.1 }, new Map());
  const strict = (name: string) =>
    nextAmounts(
      states.map((s) => (s.name === name ? { ...s, strict: true } : s)),
      new Map(),
      law,
    );
  assert.equal(strict('a').size, 0);
  assert.deepEqual([...strict('b').get('a')!.keys()], ['c']);
});

test('R3-23 a PoP that is overloaded by what it receives passes its own on', () => {
  const now: Amounts = new Map([['a', amounts({ b: 0.4 })]]);
  const brought = { a: 2, b: 1.2, c: 0.1 };
  const next = nextAmounts(seen(brought, now), now, law);
  assert.ok((next.get('b')?.get('c') ?? 0) > 0, 'B forwards its own traffic to C');
});

test('feedback that is old decides nothing', () => {
  const now: Amounts = new Map();
  assert.equal(nextAmounts(seen({ a: 2, b: 0.1 }, now, { stale: true }), now, law), now);
});

test('what goes to a PoP without servers comes back at once; takers-back share what room there is', () => {
  const now: Amounts = new Map([['a', amounts({ b: 0.4 })]]);
  const states = seen({ a: 1, b: 0.2, c: 0.2 }, now).map((s) => (s.name === 'b' ? { ...s, loads: [] } : s));
  assert.equal(nextAmounts(states, now, law).get('a')?.has('b'), false);
});

test('a manager remembers: tables and policies survive its process, with times that never come', () => {
  const { table } = retarget(emptyTable(16), amounts({ b: 0.5 }), 5, null);
  const memory = { version: 3, policies: { web: { b: 0.5 } }, tables: { web: table } };
  assert.deepEqual(recalled(remembered(memory)), memory);
  assert.throws(
    () => recalled('{"version":1,"policies":{},"tables":{"s":{"slots":[{}],"modifications":0}}}'),
    /^Error: \/tables\/s\/slots\/0/,
  );
});

test('no oscillation: after any step of demands that fits, all is settled in a few intervals, and stays', () => {
  const demand = fc.double({ min: 0, max: 1.9, noNaN: true });
  fc.assert(
    fc.property(
      fc.record({ a: demand, b: demand, c: demand, d: demand }),
      fc.record({ a: demand, b: demand, c: demand, d: demand }),
      (before, after) => {
        const fits = (d: Record<string, number>) => Object.values(d).reduce((x, y) => x + y, 0) <= 0.6 * 8;
        fc.pre(fits(before) && fits(after));
        let now: Amounts = new Map();
        for (let i = 0; i < 30; i++) now = nextAmounts(seen(before, now), now, law);
        let [changes, last] = [0, now];
        const directions = new Map<string, number[]>();
        for (let i = 0; i < 30; i++) {
          const next = nextAmounts(seen(after, last), last, law);
          if (next !== last) changes = i + 1;
          for (const pop of Object.keys(after)) {
            const total = (a: Amounts) => [...(a.get(pop) ?? [])].reduce((sum, [, x]) => sum + x, 0);
            const by = total(next) - total(last);
            if (Math.abs(by) > 1e-9) directions.set(pop, [...(directions.get(pop) ?? []), Math.sign(by)]);
          }
          last = next;
        }
        assert.ok(changes <= 12, `still changing after ${changes} intervals`);
        for (const [pop, signs] of directions)
          assert.ok(signs.slice(1).filter((s, i) => s !== signs[i]).length <= 1, `${pop} turns more than once: ${signs.join()}`);
        const states = seen(after, last);
        for (const s of states) assert.ok(s.loads[0]! <= 0.8 + 1e-6, `${s.name} stays at ${s.loads[0]}`);
      },
    ),
    { numRuns: 500 },
  );
});

test("BIRD is told its neighbours, and its own anycast addresses apart from the kernel's routes", () => {
  const text = birdConfig('10.0.0.1', {
    as: 65001,
    neighbours: [{ name: 'ra', address: '10.0.0.2', as: 64601 }],
    anycast: ['203.0.113.1'],
  });
  assert.match(text, /neighbor 10\.0\.0\.2 as 64601;/);
  assert.match(text, /protocol static anycast \{\n {2}ipv4;\n {2}route 203\.0\.113\.1\/32 blackhole;/);
  assert.match(text, /export where source != RTS_STATIC/);
});

const client = ipv4(6, '198.51.100.7', '203.0.113.1', tcp(4000, 80));

test('R3-8, R3-18 packets as they come, in a first hop, in GRE and in GUE', () => {
  const plain = dissect(ethernet(client))!;
  assert.deepEqual(
    [plain.kind, plain.inner.source, plain.inner.sourcePort, plain.inner.destinationPort, plain.inner.flags],
    ['plain', '198.51.100.7', 4000, 80, 2],
  );
  const gre = dissect(ethernet(ipv4(47, '10.0.0.1', '10.0.1.1', Buffer.concat([Buffer.from([0, 0, 8, 0]), client]))))!;
  assert.deepEqual([gre.kind, gre.from, gre.to, gre.inner.sourcePort], ['gre', '10.0.0.1', '10.0.1.1', 4000]);
  assert.equal(
    dissect(
      ethernet(ipv4(17, '10.0.0.1', '10.0.1.1', Buffer.concat([Buffer.from([0xc0, 1, 0x17, 0xc0, 0, 0, 0, 0, 0, 4, 0, 0]), client]))),
    )!.kind,
    'gue',
  );
  const hop = dissect(firstHop('10.0.0.1', '10.0.0.2', { flags: 3, target: '10.0.1.1' }, client))!;
  assert.deepEqual([hop.kind, hop.secondary, hop.away, hop.inner.source], ['hop', '10.0.1.1', true, '198.51.100.7']);
  assert.ok(hop.inner.bytes.equals(plain.inner.bytes));
  assert.equal(dissect(Buffer.alloc(10)), undefined);
});

const packet = (over: Partial<SeenPacket>): SeenPacket => ({ ...dissect(ethernet(client))!, atUs: 100, ...over });
const connection = (over: Partial<Connection>): Connection => ({
  client: 'c',
  service: 's',
  end: '198.51.100.7:4000',
  startedUs: 0,
  endedUs: 1000,
  fate: 'ok',
  requests: 1,
  servers: ['x'],
  pops: ['b'],
  firstUs: 100,
  hash: 'h',
  ...over,
});

test('R3-21, R3-22 a packet in two tunnels is found; mis-steered ones too', () => {
  const gre = (from: string, to: string) => packet({ kind: 'gre', from, to });
  assert.equal(relayed([[gre('10.0.0.1', '10.0.1.1')], [gre('10.0.0.1', '10.0.1.1')]]), 0, 'seen at both ends');
  assert.equal(relayed([[gre('10.0.0.1', '10.0.1.1')], [gre('10.0.1.1', '10.0.2.1')]]), 1);
  const nodes = [
    { name: 'eb', role: 'edge', address: '10.0.1.1', pop: 'b' },
    { name: 'ec', role: 'edge', address: '10.0.2.1', pop: 'c' },
  ] as const;
  const services = [{ name: 's', address: '203.0.113.1', table: 0, servers: [] }];
  const to = (address: string, at = 100) =>
    misdelivered([{ ...gre('10.0.0.1', address), atUs: at }], { connections: [connection({})], nodes, services });
  assert.equal(to('10.0.1.1'), 0);
  assert.equal(to('10.0.2.1'), 1);
  assert.equal(to('10.0.2.1', 9_000_000), 0, 'another connection of the same port');
});

test('malformed packets are no packets: no length that they claim is believed', () => {
  const sound = ethernet(ipv4(6, '10.0.0.1', '10.0.0.2', tcp(1, 80)));
  for (const [at, value] of [
    [14 + 3, 0],
    [14 + 3, 7],
    [14, 0x41],
  ] as const) {
    const bad = Buffer.from(sound);
    bad.writeUInt8(value, at);
    assert.equal(dissect(bad), undefined, `${at}: ${value}`);
  }
  for (let length = 0; length < sound.length; length++) assert.doesNotThrow(() => dissect(sound.subarray(0, length)));
  assert.equal(dissect(sound)?.kind, 'plain');
});

test('R3-35 servers that have other than equal parts are told in standard deviations', () => {
  const of = (...counts: [string, number][]) =>
    counts.flatMap(([server, n]) => Array.from({ length: n }, () => connection({ servers: [server] })));
  assert.equal(uneven(of(['s1', 50], ['s2', 50]), ['s1', 's2'], 'b'), 0);
  assert.equal(uneven(of(['s1', 60], ['s2', 40]), ['s1', 's2'], 'b')?.toFixed(6), '2.000000');
  assert.equal(uneven(of(['s1', 9]), ['s1'], 'b'), undefined, 'one server is no group');
  assert.equal(uneven(of(['s1', 100]), ['s1', 's2'], 'b'), 10, 'one has all');
});

test('R3-38 a query is held against the flows that a capture shows in tunnels', () => {
  const nodes = [
    { name: 'ea', role: 'edge', address: '10.0.1.1', pop: 'a' },
    { name: 'eb', role: 'edge', address: '10.0.2.1', pop: 'b' },
  ] as const;
  const services = [{ name: 's', address: '203.0.113.1', table: 0, servers: [] }];
  const answers = (b: number) => [{ atUs: 0, entries: { a: { s: { '': 4 - b, b } } } }];
  const begun = (port: number, flags = SYN): Pick<SeenPacket, 'inner'> => ({
    inner: {
      source: '10.1.0.1',
      destination: '203.0.113.1',
      protocol: 6,
      sourcePort: port,
      destinationPort: 80,
      id: port,
      flags,
      bytes: Buffer.alloc(40),
    },
  });
  const none = { secondary: null, away: false } as const;
  const plain = (port: number): SeenPacket => ({ atUs: 0, kind: 'plain', from: null, to: null, ...none, ...begun(port) });
  const tunnelled = (port: number, flags = SYN): SeenPacket => ({
    atUs: 0,
    kind: 'gre',
    from: '10.0.1.1',
    to: '10.0.2.1',
    ...none,
    ...begun(port, flags),
  });
  const all = [1, 2, 3, 4].map(plain);
  const distance = (b: number, ...packets: SeenPacket[]) => untrue(packets, { answers: answers(b), nodes, services, slots: 4 }, 'a');
  assert.equal(distance(2, ...all, tunnelled(1), tunnelled(2)), 0);
  assert.equal(distance(2, ...all), 2, 'none goes there');
  assert.equal(distance(0, ...all, tunnelled(1)), Infinity, 'where no flow may go');
  assert.equal(distance(1, ...all, tunnelled(1), tunnelled(2, ACK)), 0, 'later packets begin nothing');
  assert.equal(distance(1), undefined);
  assert.equal(untrue(all, { answers: [], nodes, services, slots: 4 }, 'a'), undefined);
});

test('figures of connections and policies', () => {
  assert.ok(Math.abs(sigmas(530, 10_000, 0.05) - 1.376) < 0.01);
  assert.equal(sigmas(0, 0, 0.05), Infinity);
  assert.equal(differing([connection({}), connection({}), connection({ hash: 'other' })]), 1);
  assert.deepEqual(addedUs([connection({ firstUs: 300 }), connection({ pops: ['a'], firstUs: 100 })], 'b', 'a'), [200]);
  const policy = (sentUs: number, b: number) => ({ version: sentUs, sentUs, appliedUs: sentUs, policies: { a: { s: { b } } } });
  const window = { fromUs: 0, toUs: 10_000 };
  assert.equal(
    reaction([policy(100, 0.1), policy(200, 0.05)], [connection({ startedUs: 150 })], 'b', window),
    50,
    'less is no reason to wait',
  );
  assert.equal(reaction([policy(100, 0.1)], [], 'b', window), Infinity);
  assert.equal(turns([policy(1, 0.1), policy(2, 0.3), policy(3, 0.2), policy(4, 0.1)], 'a', window), 1);
  assert.equal(turns([policy(1, 0.4), policy(2, 0)], 'a', window), 1, 'from nothing, and back');
  assert.equal(turns([policy(1, 0.4), policy(2, 0)], 'a', { fromUs: 2, toUs: 9 }), 0);
  assert.equal(redundantChanges([dump('b', '', '', ''), dump('', 'b', 'b', '')], 4), 2, 'entry 0 could have stayed, and 2 then');
  const series = (...loads: number[]) => loads.map((load, i) => ({ atUs: i, load }));
  assert.equal(settling(series(0.5, 1.2, 1.1, 0.7, 0.7, 0.75, 0.7), 0, 0.8), 2);
  assert.equal(settling(series(0.5, 0.6), 0, 0.8), undefined);
  assert.equal(settling(series(0.5, 1.2, 1.1), 0, 0.8), Infinity);
});
