/** latency-variation: how alike, how late and how whole messages reach their consumers (R0 section 8). */
import { phaseStartUs } from '../../../src/evidence/phases.ts';
import { Type } from 'typebox';
import { missing, type Check, type Figures, type Window } from '../../../src/checks/check.ts';
import { quantileOf } from '../../../src/checks/statistics.ts';
import { needsKeys, refuseWindow } from '../../../src/checks/problems.ts';
import { expandAll } from '../../../src/core/config/ranges.ts';
import { duration, names, oneOrMany, opt, percent, text } from '../../../src/core/config/parts.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { parseDurationUs, parseFraction } from '../../../src/core/units.ts';
import { deviationOf } from '../routing/latencies.ts';
import {
  conformance,
  entryLatencies,
  epochChanges,
  holdErrors,
  lostAt,
  orderErrors,
  receivedUntil,
  recovery,
  unmeasured,
} from './measures.ts';
import { passagesAt, passagesOf, type Passages } from './wire.ts';
import { timelineOf, type Message, type Timeline } from './evidence.ts';

const METRICS = {
  spread: 'Largest less smallest latency of a message, a quantile of them; a replica that never came counts as infinitely late (R0-1).',
  pooled: 'Largest less smallest latency of all messages and consumers; with a quantile, that quantile less the smallest (R0-2).',
  deviation: "Standard deviation of a message's latencies, mean of them (R0-3).",
  latency: 'A quantile of all latencies (R0-4).',
  entry: 'A quantile of the time from generation to arrival at the entry PPN: what a latency from there would leave out (R0-35).',
  misses: 'Share of replicas that are later than the deadline (R0-4).',
  late: 'Replicas that are later than the deadline, counted (R0-4).',
  undelivered: 'Replicas that never came (R0-5).',
  metrics:
    'Largest difference between what GetLSAGMetrics answered of a consumer (messages, duplicates, drops, bytes, mean latency and standard deviation) and what the capture there shows, as a share (R0-22).',
  sent: 'Replicas that the PPN `ppn` sent, by the capture there (R0-21).',
  exits: 'PPNs that consumers got messages from (R0-18, R0-19).',
  copies: 'Copies beyond the first (R0-24).',
  conformance: 'Replicas that no directive orders (R0-6).',
  estimate: "Largest difference of a consumer's median latency from what its RDN expected (R0-7).",
  unmeasured: 'Paths in use that no measurement message was seen to take since the iteration before (R0-14).',
  epochs: 'Epochs of messages at PPNs beyond the first: changes that took effect (R0-9).',
  directives: 'Graphs that an RDN sent or changed (R0-9).',
  triggered: 'Iterations that `trigger` brought about (R0-11).',
  period: 'A quantile of the time between iterations (R0-10, R0-13).',
  order: "Replicas that left out of their directive's order (R0-15).",
  hold: 'How far releases are from their time, a quantile (R0-16).',
  lookups: 'Flows that a PPN asked for again (R0-31).',
  slowest: 'Largest latency of a message, a quantile of them. Relative to a cell without holds: what fairness costs.',
  recovery: 'From the event until spreads are within the limit again (R0-8, R0-12).',
  iterations: 'Iterations from the event until spreads are within the limit again (R0-8, R0-12).',
} as const;

const keys = {
  metric: Type.Enum(Object.keys(METRICS) as (keyof typeof METRICS)[], {
    description: Object.entries(METRICS)
      .map(([name, text]) => `${name}: ${text}`)
      .join(' '),
  }),
  quantile: opt(percent('Quantile (default 99%).')),
  consumers: opt(oneOrMany(names('Consumers that are judged (default: all).'))),
  deadline: opt(duration('misses, late: after generation.')),
  trigger: opt(
    Type.Enum(['first', 'period', 'members', 'failure', 'limit'], { description: 'triggered: what the iteration was brought about by.' }),
  ),
  event: opt(duration('recovery, iterations: when it happens, within the phase.')),
  ppn: opt(text('sent: PPN that is judged.')),
  limit: opt(duration('recovery, iterations: the spread that is to be kept.')),
};
type Keys = KeysOf<typeof keys>;

const COUNTS: readonly string[] = [
  'undelivered',
  'late',
  'triggered',
  'exits',
  'copies',
  'conformance',
  'directives',
  'unmeasured',
  'epochs',
  'sent',
  'order',
  'lookups',
  'iterations',
];

/** Of everything that the run left, whenever it was. */
const WHOLE: readonly (keyof typeof METRICS)[] = ['metrics', 'conformance', 'order', 'lookups'];

const NEEDS: Partial<Record<keyof typeof METRICS, readonly (keyof Keys)[]>> = {
  recovery: ['event', 'limit'],
  iterations: ['event', 'limit'],
  misses: ['deadline'],
  late: ['deadline'],
  triggered: ['trigger'],
  sent: ['ppn'],
};

const latencyVariation: Check<Keys> = {
  name: 'latency-variation',
  keys,
  unit: ({ metric }) => (metric === 'misses' || metric === 'metrics' ? 'fraction' : COUNTS.includes(metric) ? 'count' : 'durationUs'),
  problems(target, { systems }) {
    const known = expandAll(
      (systems.find((s) => s.name === 'replication')?.config as { consumers?: string | string[] } | undefined)?.consumers ?? [],
    );
    const unknown = expandAll(target.consumers ?? []).filter((c) => !known.includes(c));
    return [
      ...(WHOLE.includes(target.metric) ? refuseWindow(target, target.metric) : []),
      ...needsKeys(target, target.metric, NEEDS[target.metric] ?? []),
      ...unknown.map((c) => ({ path: ['consumers'], message: `"${c}" is no consumer`, hint: `there are: ${known.join(', ')}` })),
    ];
  },
  figures(target, evidence, phase, window) {
    const timeline = timelineOf(evidence, phase);
    if (typeof timeline === 'string') return missing(timeline);
    const only = target.consumers === undefined ? undefined : new Set(expandAll(target.consumers));
    const messages = timeline.messages.filter((m) => m.atUs >= window.fromUs && m.atUs < window.toUs);
    const startMs = phaseStartUs(phase) / 1000;
    const during = <T extends { atMs: number }>(list: readonly T[]): T[] =>
      list.filter((e) => e.atMs >= startMs + window.fromUs / 1000 && e.atMs < startMs + window.toUs / 1000);
    const quantile = parseFraction(target.quantile ?? '99%');
    const exact = (value: number): Figures => ({ kind: 'exact', value });
    const ns = (us: number): bigint => BigInt(phase.startedNs) + BigInt(Math.round(us * 1000));
    const onWire = (figures: (passages: ReadonlyMap<string, Passages>) => Figures): Figures => {
      const passages = passagesOf(evidence, timeline.nodes);
      if (typeof passages === 'string') return missing(passages);
      return [...passages.values()].some((p) => p.sent.length > 0) ? figures(passages) : missing('no PPN was seen to send a message');
    };
    // Of what the nodes did, whether messages came or not.
    switch (target.metric) {
      case 'directives':
        return timeline.iterations.length === 0 ? missing('no RDN left a log') : exact(during(timeline.directives).length);
      case 'unmeasured':
        return timeline.iterations.length === 0 || timeline.directives.length === 0
          ? missing('no RDN left a log')
          : onWire((passages) => exact(unmeasured(timeline, passages, startMs + window.fromUs / 1000, startMs + window.toUs / 1000)));
      case 'sent':
        return onWire((passages) => {
          const own = passages.get(target.ppn ?? '');
          return own
            ? exact(own.sent.filter((p) => p.atNs >= ns(window.fromUs) && p.atNs < ns(window.toUs)).length)
            : missing(`"${target.ppn}" is no PPN`);
        });
      case 'epochs':
        return onWire((passages) => exact(epochChanges(passages, ns(window.fromUs), ns(window.toUs))));
      case 'lookups':
        return timeline.lookUps.length === 0
          ? missing('no PPN asked for a flow')
          : exact(timeline.lookUps.length - new Set(timeline.lookUps.map((l) => l.key)).size);
      case 'triggered':
        return timeline.iterations.length === 0
          ? missing('no RDN left a log')
          : exact(during(timeline.iterations).filter((i) => i.trigger === target.trigger).length);
      case 'period': {
        const times = during(timeline.iterations).map((i) => i.atMs);
        return times.length < 2
          ? missing('fewer than two iterations in the window')
          : exact(
              quantileOf(
                times.slice(1).map((t, i) => (t - times[i]!) * 1000),
                quantile,
              ),
            );
      }
      case 'conformance':
        return timeline.directives.length === 0
          ? missing('no RDN left a log')
          : onWire((passages) => exact(conformance(timeline, passages)));
      case 'metrics':
        return metricsError(timeline, (consumer) => passagesAt(evidence, timeline.nodes, consumer));
      case 'order':
        return timeline.directives.length === 0
          ? missing('no RDN left a log')
          : onWire((passages) => exact(orderErrors(timeline, passages)));
      case 'hold': {
        return onWire((passages) => {
          const values = holdErrors(timeline, passages, ns(window.fromUs), ns(window.toUs));
          return values.length === 0 ? missing('nothing was held in the window') : { kind: 'quantile', values, quantile };
        });
      }
      case 'entry':
        return onWire((passages) => {
          const values = entryLatencies(messages, passages, BigInt(phase.startedNs));
          return values.length === 0 ? missing('no message of the window came to a PPN') : { kind: 'quantile', values, quantile };
        });
    }
    if (messages.length === 0) return missing('no message was sent in the window: did its request succeed?');
    const clockBoundUs = Math.max(...messages.map((m) => m.clockBoundUs));
    return {
      ...ofMessages(target, messages, only, timeline, startMs, window, quantile),
      ...(clockBoundUs > 0 && !COUNTS.includes(target.metric) && target.metric !== 'misses' ? { clockBoundUs } : {}),
    };
  },
};

function ofMessages(
  target: Keys,
  messages: readonly Message[],
  only: ReadonlySet<string> | undefined,
  timeline: Timeline,
  startMs: number,
  window: Window,
  quantile: number,
): Figures {
  const judged = messages.map((m) => latenciesOf(m, only)).filter((l) => l.length > 0);
  const exact = (value: number): Figures => ({ kind: 'exact', value });
  if (judged.length === 0) return missing('no consumer was to have a message of the window');
  const came = messages.some((m) => m.receipts.size > 0);
  switch (target.metric) {
    case 'spread':
      return { kind: 'quantile', quantile, values: judged.map(spreadOf) };
    case 'pooled': {
      const all = judged.flat();
      const least = all.reduce((a, b) => Math.min(a, b), Infinity);
      return target.quantile === undefined
        ? exact(all.reduce((a, b) => Math.max(a, b), 0) - least)
        : { kind: 'quantile', quantile, values: all.map((us) => us - least) };
    }
    case 'deviation':
      return { kind: 'series', values: judged.map(deviationOf) };
    case 'latency':
      return { kind: 'quantile', quantile, values: judged.flat() };
    case 'slowest':
      return { kind: 'quantile', quantile, values: judged.map((l) => Math.max(...l)) };
    case 'misses': {
      if (target.deadline === undefined) return missing('misses needs a deadline');
      const deadlineUs = parseDurationUs(target.deadline);
      return { kind: 'share', trials: judged.map((l) => ({ count: l.filter((us) => us > deadlineUs).length, of: l.length })) };
    }
    case 'late': {
      if (target.deadline === undefined) return missing('late needs a deadline');
      const deadlineUs = parseDurationUs(target.deadline);
      return exact(judged.flat().filter((us) => us > deadlineUs).length);
    }
    case 'undelivered':
      return { kind: 'exact', value: judged.flat().filter((us) => us === Infinity).length, ...whereLost(timeline, messages, only) };
    case 'exits':
      return !came
        ? missing('no message came to a consumer')
        : exact(new Set(messages.flatMap((m) => [...m.receipts.values()].map((r) => r.from))).size);
    case 'copies':
      return !came
        ? missing('no message came to a consumer')
        : exact(
            messages.reduce((sum, m) => sum + [...m.receipts].reduce((n, [c, r]) => n + (only && !only.has(c) ? 0 : r.copies - 1), 0), 0),
          );
    case 'estimate':
      return estimateError(messages, timeline, only, startMs + window.fromUs / 1000, startMs + window.toUs / 1000);
    case 'recovery':
    case 'iterations': {
      if (target.event === undefined || target.limit === undefined) return missing(`${target.metric} needs event and limit`);
      const eventUs = parseDurationUs(target.event);
      const atUs = recovery(
        messages.map((m) => ({ atUs: m.atUs, spreadUs: spreadOf(latenciesOf(m, only)) })),
        eventUs,
        parseDurationUs(target.limit),
      );
      if (atUs === eventUs) return missing('the event had no effect on the spread');
      if (target.metric === 'recovery') return exact(atUs - eventUs);
      return exact(
        atUs === Infinity
          ? Infinity
          : timeline.iterations.filter((i) => i.atMs > startMs + eventUs / 1000 && i.atMs <= startMs + atUs / 1000).length,
      );
    }
    default:
      return missing(`the metric ${target.metric} is not of messages between ${window.fromUs} and ${window.toUs} us`);
  }
}

const PLACES = 3;

function whereLost(timeline: Timeline, messages: readonly Message[], only: ReadonlySet<string> | undefined): { detail?: string } {
  const places = [...lostAt(timeline, messages, only)];
  const seconds = (us: number): string => (us / 1e6).toFixed(1);
  const named = places
    .slice(0, PLACES)
    .map(([at, { count, firstUs, lastUs }]) => `${count} at ${at} (${seconds(firstUs)} s to ${seconds(lastUs)} s)`);
  return places.length === 0
    ? {}
    : { detail: `lost: ${named.join(', ')}${places.length > PLACES ? `, and at ${places.length - PLACES} more` : ''}` };
}

/** Of those that were to have it; Infinity: it never came. */
const latenciesOf = (m: Message, only: ReadonlySet<string> | undefined): number[] =>
  m.expected.filter((c) => !only || only.has(c)).map((c) => m.receipts.get(c)?.latencyUs ?? Infinity);
export const spreadOf = (latencies: readonly number[]): number =>
  latencies.includes(Infinity) ? Infinity : Math.max(...latencies) - Math.min(...latencies);

/** R0-7: the consumer's median latency against the median of what was expected meanwhile. */
function estimateError(
  messages: readonly Message[],
  { iterations }: Timeline,
  only: ReadonlySet<string> | undefined,
  fromMs: number,
  toMs: number,
): Figures {
  const meanwhile = iterations.filter((i) => i.atMs >= fromMs && i.atMs < toMs);
  const consumers = [...new Set(meanwhile.flatMap((i) => Object.keys(i.estimatedUs)))].filter((c) => !only || only.has(c));
  const errors = consumers.flatMap((consumer) => {
    const expected = meanwhile.flatMap((i) => i.estimatedUs[consumer] ?? []);
    const measured = messages.flatMap((m) => m.receipts.get(consumer)?.latencyUs ?? []);
    return measured.length === 0 ? [] : [Math.abs(quantileOf(measured, 0.5) - quantileOf(expected, 0.5))];
  });
  return errors.length === 0
    ? missing('no iteration in the window expected anything of these consumers')
    : { kind: 'exact', value: Math.max(...errors) };
}

/** R0-22: what the control plane answered of consumers that were captured, against what had come there until then. */
function metricsError({ answers }: Timeline, at: (consumer: string) => Passages | string): Figures {
  let why = 'nobody asked for metrics after messages had come';
  const differences = answers.flatMap(({ atNs, consumers }) =>
    consumers.flatMap(({ consumer, metrics }) => {
      const passages = at(consumer);
      if (typeof passages === 'string') {
        why = passages;
        return [];
      }
      const truth = receivedUntil(passages.arrived, atNs);
      if (!metrics || truth.messages === 0) return [];
      const share = (told: number, true_: number): number => Math.abs(told - true_) / (Math.abs(true_) || truth.messages);
      return (['messages', 'duplicates', 'missing', 'bytes', 'meanUs', 'deviationUs'] as const).map((key) =>
        share(metrics[key], truth[key]),
      );
    }),
  );
  return differences.length === 0 ? missing(why) : { kind: 'exact', value: Math.max(...differences) };
}

export const checks: readonly Check[] = [latencyVariation];
