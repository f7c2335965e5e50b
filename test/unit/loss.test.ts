/** Loss as tools report it, against what truly arrived: every pattern of losses, late and duplicate datagrams. */
import assert from 'node:assert/strict';
import test from 'ava';
import { figuresOf } from '../../src/checks/figures.ts';
import type { Trials } from '../../src/checks/statistics.ts';
import { ONE_CLOCK, type CellEvidence } from '../../src/evidence/cell.ts';
import type { Flow, Lab } from '../../src/topology/model.ts';
import type { TargetFile } from '../../src/topology/target.ts';
import type { FlowResult } from '../../src/evidence/records.ts';
import { parseFlow } from '../../src/traffic/tools.ts';
import { random } from '../support/random.ts';
import { BUILT_IN } from '../../src/checks/builtin/index.ts';

const SENT = 1000;
const PERIOD_S = 0.002;
const flow: Flow = {
  name: 'f',
  from: 'a',
  to: 'b',
  address: '10.0.0.2',
  protocol: 'udp',
  tool: 'mgen',
  rateBps: 5.6e6,
  parallel: 1,
  sizeBytes: 1400,
  intervalUs: 2000,
  startUs: 0,
  durationUs: SENT * PERIOD_S * 1e6,
  burst: null,
  multicast: null,
  congestion: null,
  counted: true,
};

/** What reached the receiver, in this order: sequence number and time. */
type Arrival = readonly [sequence: number, atS: number];

interface Pattern {
  readonly name: string;
  /** Some datagrams come late or twice. */
  readonly disordered: boolean;
  readonly arrivals: readonly Arrival[];
}

const sentS = (sequence: number): number => sequence * PERIOD_S;

function patterns(): Pattern[] {
  const list: Pattern[] = [];
  for (let seed = 1; seed <= 10; seed++) {
    const { uniform } = random(seed);
    const kept = (keep: (sequence: number) => boolean): Arrival[] =>
      Array.from({ length: SENT }, (_, i) => i)
        .filter(keep)
        .map((i) => [i, sentS(i) + 0.001]);
    const add = (name: string, arrivals: readonly Arrival[], disordered = false) =>
      list.push({ name: `${name} ${seed}`, arrivals, disordered });
    add(
      'random',
      kept(() => uniform() > seed / 50),
    );
    let bad = false;
    add(
      'bursts',
      kept(() => {
        if (uniform() < (bad ? 0.2 : 0.02)) bad = !bad;
        return !bad;
      }),
    );
    const from = Math.floor(uniform() * 700);
    add(
      'outage',
      kept((i) => i < from || i >= from + 300),
    );
    // Nothing comes after it: the receiver never learns that there was more.
    add(
      'outage to the end',
      kept((i) => i < 500 + seed * 10),
    );
    const swapped = kept(() => uniform() > 0.02);
    for (let i = 0; i + 1 < swapped.length; i += 37) [swapped[i], swapped[i + 1]] = [swapped[i + 1]!, swapped[i]!];
    add('reordered', swapped, true);
    const twice = kept(() => uniform() > 0.05);
    add(
      'duplicates',
      twice.flatMap((a, i) => (i % 23 === 0 ? [a, a] : [a])),
      true,
    );
  }
  list.push({ name: 'none', disordered: false, arrivals: Array.from({ length: SENT }, (_, i) => [i, sentS(i) + 0.001]) });
  return list;
}

const clock = (s: number): string => `10:00:${(s + 1).toFixed(6).padStart(9, '0')}`;

function byMgen(arrivals: readonly Arrival[]): FlowResult {
  const sends = Array.from(
    { length: SENT },
    (_, i) => `${clock(sentS(i))} SEND proto>UDP flow>1 seq>${i} srcPort>20000 dst>10.0.0.2/5202 size>1400 \n`,
  ).join('');
  const received = arrivals
    .map(
      ([sequence, at]) =>
        `${clock(at)} RECV proto>UDP flow>1 seq>${sequence} src>10.0.0.1/20000 dst>10.0.0.2/5202 sent>${clock(sentS(sequence))} size>1400 gps>x\n`,
    )
    .join('');
  return parseFlow(flow, `${clock(0)} ON flow>1 srcPort>20000 dst>10.0.0.2/5202 \n${sends}`, received);
}

function byProber(arrivals: readonly Arrival[]): FlowResult {
  const arrived = new Set(arrivals.map(([sequence]) => sequence));
  const asked = Array.from({ length: SENT }, (_, i) => i);
  return parseFlow(
    { ...flow, tool: 'prober' },
    JSON.stringify({ rttUs: asked.map((i) => (arrived.has(i) ? 1000 : null)), askedUs: asked.map((i) => sentS(i) * 1e6) }),
    '',
  );
}

/** iperf3's own arithmetic (iperf_udp.c): highest sequence number, gaps, and gaps that late or duplicate datagrams fill. */
function byIperf3(arrivals: readonly Arrival[]): FlowResult {
  let [highest, gaps, disordered] = [0, 0, 0];
  const intervals = Array.from({ length: (SENT * PERIOD_S) / 0.1 }, (_, k) => {
    const before = { highest, gaps };
    for (const [sequence, at] of arrivals) {
      if (Math.floor(at / 0.1) !== k) continue;
      const number = sequence + 1;
      if (number > highest) {
        gaps += number - 1 - highest;
        highest = number;
      } else {
        disordered += 1;
        if (gaps > 0) gaps -= 1;
      }
    }
    return {
      sum: {
        start: k * 0.1,
        end: (k + 1) * 0.1,
        bytes: 1400,
        bits_per_second: 1e6,
        packets: highest - before.highest,
        lost_packets: gaps - before.gaps,
      },
    };
  });
  const client = {
    start: { connected: [{}] },
    intervals: intervals.map(({ sum }) => ({ sum: { ...sum, packets: 50, lost_packets: 0 } })),
    end: { sum: { packets: SENT } },
  };
  const server = { intervals, end: { sum: { packets: highest, lost_packets: gaps }, streams: [{ udp: { out_of_order: disordered } }] } };
  return parseFlow({ ...flow, tool: 'iperf3' }, JSON.stringify(client), JSON.stringify(server));
}

function judged(result: FlowResult, target: Partial<TargetFile> = {}) {
  const lab: Lab = {
    name: 't',
    cell: '',
    variant: {},
    fabric: { nodes: [], links: [] },
    tolerance: { rate: 0.05, delayUs: 1000, reachabilityOnly: false },
    clocks: { sync: 'ptp', maxOffsetUs: 5000, settleUs: 6e7, grandmaster: null },
    systems: [],
    phases: [{ name: 'p', durationUs: 2e6, flows: [flow], events: [] }],
    captures: [],
    targets: [],
    saturation: 1,
  };
  const evidence: CellEvidence = {
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
    phases: [{ phase: 'p', startedNs: '0', durationUs: 2e6, flows: [result] }],
  };
  return figuresOf({ name: 'x', check: 'loss', flow: 'f', 'at-most': '1%', ...target }, evidence, BUILT_IN);
}

const sum = (trials: readonly Trials[]): Trials => trials.reduce((a, b) => ({ count: a.count + b.count, of: a.of + b.of }));

const all = patterns();
test(`${all.length} patterns: every tool reports the loss of the wire, or that it cannot tell`, () => {
  assert.ok(all.length >= 50);
  for (const { name, arrivals, disordered } of all) {
    const lost = SENT - new Set(arrivals.map(([sequence]) => sequence)).size;
    for (const [tool, result] of [
      ['mgen', byMgen(arrivals)],
      ['prober', byProber(arrivals)],
      ['iperf3', byIperf3(arrivals)],
    ] as const) {
      const figures = judged(result);
      if (tool === 'iperf3' && disordered)
        assert.match(figures.kind === 'missing' ? figures.reason : '', /came late or twice/, `${tool}, ${name}`);
      else assert.deepEqual(figures.kind === 'share' ? sum(figures.trials) : figures, { count: lost, of: SENT }, `${tool}, ${name}`);
    }
  }
});

test('a window holds the datagrams that were sent in it', () => {
  const outage = Array.from({ length: SENT }, (_, i): Arrival => [i, sentS(i) + 0.001]).filter(([i]) => i < 250 || i >= 500);
  for (const result of [byMgen(outage), byProber(outage)]) {
    const within = (from: string, to: string) => {
      const f = judged(result, { from, to });
      return f.kind === 'share' ? sum(f.trials) : f;
    };
    assert.deepEqual(within('0s', '500ms'), { count: 0, of: 250 });
    assert.deepEqual(within('500ms', '1s'), { count: 250, of: 250 });
    assert.deepEqual(within('400ms', '600ms'), { count: 50, of: 100 });
  }
});

test('a tool that ended early, or a flow without datagrams, has no loss', () => {
  assert.equal(
    judged(
      parseFlow(
        { ...flow, tool: 'iperf3' },
        '{"start":{"connected":[{}]}}',
        '{"intervals":[{"sum":{"start":0,"end":1,"bytes":1,"bits_per_second":8}}]}',
      ),
    ).kind,
    'missing',
  );
  assert.equal(judged(byProber([]), { from: '1s', to: '1s' }).kind, 'missing');
});
