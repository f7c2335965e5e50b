/** One target, one repeat: the figures that the target is about. */
import { isDeepStrictEqual } from 'node:util';
import { mean } from 'simple-statistics';
import { formatPercent, parseDurationUs, parseRateOf } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { isRequest } from '../evidence/events.ts';
import type { FlowResult, PhaseRecord } from '../evidence/records.ts';
import type { TargetFile } from '../topology/target.ts';
import { isBuiltIn, type BuiltInTarget } from '../topology/units.ts';
import { missing, type Checks, type Figures, type Window } from './check.ts';
import { highest, owedBytes, rampPerSecond, reactionUs, recoveryUs, shares, shortfalls, victimRecoveryUs, WINDOW_US } from './isolation.ts';
import { packets } from './packets.ts';
import { groupSeries, windowRates, type GroupSeries } from './series.ts';


export function figuresOf(target: TargetFile, evidence: CellEvidence, checks: Checks): Figures {
  const phase = target.phase === undefined ? evidence.phases.at(-1) : evidence.phases.find((p) => p.phase === target.phase);
  if (!phase) return missing('the phase was not run');
  const window: Window = {
    fromUs: target.from === undefined ? 0 : parseDurationUs(target.from),
    toUs: target.to === undefined ? phase.durationUs : parseDurationUs(target.to),
  };
  if (isBuiltIn(target)) return builtIn(target, evidence, phase, window);
  const check = checks.get(target.check);
  return check ? check.figures(target, evidence, phase, window) : missing(`no system here has the check "${target.check}"`);
}

function builtIn(target: BuiltInTarget, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  switch (target.check) {
    case 'reachability': return reachability(target, phase);
    case 'rate': return target.flow === undefined ? captureRate(target, evidence, phase, window) : flowRate(target.flow, evidence, phase, window);
    case 'loss': return loss(target.flow, phase, flowWindow(target.flow, evidence, phase, window));
    case 'latency': return latency(target, phase, flowWindow(target.flow, evidence, phase, window));
    case 'bandwidth-isolation': return isolation(target, evidence, phase, window);
    case 'counter': return counter(target, evidence);
    case 'answers': return answers(target, evidence, phase, window);
    case 'packets': return packets(target, evidence, phase, window);
  }
}

/** Requests of the phase that were not answered as the topology expects. */
function answers(target: BuiltInTarget & { check: 'answers' }, { events }: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): Figures {
    const asked = (events[phase.phase] ?? []).filter(isRequest).flatMap(({ action, outcome, plannedUs }) => {
    if (plannedUs < fromUs || plannedUs > toUs || (target.operation !== undefined && action.operation !== target.operation)) return [];
    const refused = outcome.state === 'refused' ? outcome.code : null;
    const place = refused === null && action.answer !== undefined ? differs(outcome.answer, action.answer, '') : null;
    return [{ operation: action.operation, wrong: refused !== action.expected ? `${refused ?? 'done'} instead of ${action.expected ?? 'done'}` : place }];
  });
  if (asked.length === 0) return missing('nothing was asked in this phase');
  const wrong = asked.filter((r) => r.wrong !== null);
  const detail = wrong.length === 0 ? `${asked.length} answered as expected` : wrong.map((r) => `${r.operation}: ${r.wrong}`).slice(0, 5).join(', ');
  return { kind: 'exact', value: wrong.length, detail };
}

/** Where an answer is not what was expected of it, in words; null: nowhere. What is not expected may be anything. */
function differs(answer: unknown, expected: unknown, path: string): string | null {
  if (typeof expected === 'object' && expected !== null && !Array.isArray(expected)) {
    const given = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
    return Object.entries(expected).map(([key, value]) => differs(given[key], value, `${path}/${key}`)).find((place) => place !== null) ?? null;
  }
  return isDeepStrictEqual(answer, expected) ? null : `${path} is ${JSON.stringify(answer)} instead of ${JSON.stringify(expected)}`;
}

function counter(target: BuiltInTarget & { check: 'counter' }, { agents }: CellEvidence): Figures {
  const asked = agents.filter((a) => a.system === target.system && (target.node === undefined || a.node === target.node));
  const values = asked.flatMap((a) => a.counters[target.counter] ?? []);
  if (values.length < asked.length || values.length === 0) return missing(`no agent of ${target.system} reported "${target.counter}"`);
  return { kind: 'exact', value: values.reduce((a, b) => a + b, 0) };
}

function findFlow(phase: PhaseRecord, name: string): FlowResult | string {
  return phase.flows.find((f) => f.flow === name) ?? `flow ${name} was not run`;
}

function reachability(target: BuiltInTarget & { check: 'reachability' }, phase: PhaseRecord): Figures {
  const flows = target.flow === undefined ? phase.flows : phase.flows.filter((f) => f.flow === target.flow);
  if (flows.length === 0) return missing('no flows to judge');
  if (target.blocked) {
    // A tool that broke is no proof of a gateway that blocks; only the prober's silence is.
    const broken = flows.find((f) => f.receivedBytes === 0 && f.rttUs === undefined);
    if (broken) return missing(`flow ${broken.flow}: ${broken.error ?? 'nothing arrived'}, but whether it was blocked only tool: prober can tell`);
  }
  const wrong = flows.filter((f) => f.receivedBytes > 0 === (target.blocked ?? false));
  const detail = wrong.length === 0 ? `${flows.length} flows` : `${wrong.map((f) => f.flow).slice(0, 5).join(', ')} ${target.blocked ? 'got through' : 'did not get through'}`;
  return { kind: 'exact', value: wrong.length, detail };
}

/** The judged window from the start of a flow. */
function flowWindow(name: string, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): Window {
  const startUs = evidence.lab.phases.find((p) => p.name === phase.phase)?.flows.find((f) => f.name === name)?.startUs ?? 0;
  return { fromUs: fromUs - startUs, toUs: toUs - startUs };
}

/** Intervals of tools do not start at the very microsecond. */
const EDGE_US = 1;

/** Shaped links carry the same in every run (docs/statistics.md), so that one run decides. */
function flowRate(name: string, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const flow = findFlow(phase, name);
  if (typeof flow === 'string') return missing(flow);
  if (flow.error !== undefined) return missing(`flow ${name}: ${flow.error}`);
  const { fromUs, toUs } = flowWindow(name, evidence, phase, window);
  // The last interval of iperf3 is a fragment that ends with the connection.
  const values = flow.intervals
    .filter((i) => i.startS * 1e6 >= fromUs - EDGE_US && i.endS * 1e6 <= toUs + WINDOW_US / 2 && i.endS - i.startS > 0.05)
    .map((i) => i.rateBps);
  return values.length > 0 ? { kind: 'series', values, steady: true } : missing(`flow ${name} reported no interval in the window`);
}

function loss(name: string, phase: PhaseRecord, { fromUs, toUs }: Window): Figures {
  const flow = findFlow(phase, name);
  if (typeof flow === 'string') return missing(flow);
  if (flow.error !== undefined) return missing(`flow ${name}: ${flow.error}`);
  if (flow.uncounted !== undefined) return missing(`flow ${name}: ${flow.uncounted}`);
  const trials = (flow.datagrams ?? []).filter((d) => d.startS * 1e6 >= fromUs - EDGE_US && d.startS * 1e6 < toUs - EDGE_US).map((d) => ({ count: d.lost, of: d.sent }));
  return trials.some((t) => t.of > 0) ? { kind: 'share', trials } : missing(`flow ${name} sent no datagram in the window`);
}

function latency(target: BuiltInTarget & { check: 'latency' }, phase: PhaseRecord, { fromUs, toUs }: Window): Figures {
  const flow = findFlow(phase, target.flow);
  if (typeof flow === 'string') return missing(flow);
  if (!flow.rttUs || !flow.askedUs) return missing(`flow ${target.flow} measured no round trips`);
  const asked = flow.askedUs;
  // An unanswered request took forever: a gateway must not look faster by losing packets.
  const values = flow.rttUs.filter((_, i) => (asked[i] as number) >= fromUs && (asked[i] as number) < toUs).map((rtt) => rtt ?? Infinity);
  return values.length > 0 ? { kind: 'quantile', values, quantile: Number.parseFloat(target.quantile ?? '99%') / 100 } : missing(`flow ${target.flow} asked nothing in the window`);
}

function seriesFor(target: BuiltInTarget & ({ check: 'rate' } | { check: 'bandwidth-isolation' }), evidence: CellEvidence, phase: PhaseRecord) {
  const at = target.capture ?? evidence.captures[0]?.at;
  if (at === undefined) return 'no capture to judge';
  const record = evidence.captures.find((c) => c.at === at);
  if (!record) return `no capture at ${at}`;
  if (record.error !== null) return `the capture at ${at} is incomplete: ${record.error}`;
  if (record.droppedByKernel > 0) return `the capture at ${at} dropped ${record.droppedByKernel} packets`;
  const idle = phase.flows.find((f) => !f.started);
  if (idle) return `flow ${idle.flow} never started${idle.error ? `: ${idle.error}` : ''}`;
  try {
    return groupSeries(evidence, at, target.label ?? 'tenant', phase) ?? `no capture at ${at}`;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Bytes of all groups in the window; of none, the capture shows nothing that could be judged. */
function seen(series: GroupSeries, { fromUs, toUs }: Window): boolean {
  return [...series.bytes.values()].some((bytes) => windowRates(bytes, series.binUs, series.binUs, fromUs, toUs).some((rate) => rate > 0));
}

const NOTHING_SEEN = 'the capture holds no packet of these groups in the window';

function captureRate(target: BuiltInTarget & { check: 'rate' }, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const series = seriesFor(target, evidence, phase);
  if (typeof series === 'string') return missing(series);
  const bytes = target.group === undefined ? undefined : series.bytes.get(target.group);
  if (!bytes) return missing(`no interface is labelled ${target.label ?? 'tenant'}=${target.group ?? '?'}`);
  if (!seen(series, window)) return missing(NOTHING_SEEN);
  return { kind: 'series', values: windowRates(bytes, series.binUs, WINDOW_US, window.fromUs, window.toUs), steady: true };
}

const single = (value: number | null, otherwise: string): Figures => (value === null ? missing(otherwise) : { kind: 'single', value });

/** A link cannot carry more than this part of its capacity for a whole window: then the capture or the capacity is not what it is said to be. */
const IMPOSSIBLE = 1.02;

function isolation(target: BuiltInTarget & { check: 'bandwidth-isolation' }, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const series = seriesFor(target, evidence, phase);
  if (typeof series === 'string') return missing(series);
  const capacityBps = parseRateOf(target.capacity, 0);
  const group = target.metric === 'utilisation' ? undefined : target.group;
  if (group !== undefined && !series.bytes.has(group)) return missing(`no interface is labelled ${target.label ?? 'tenant'}=${group}`);
  const { fromUs } = window;
  const until = target.event === undefined ? window : { fromUs: Math.min(fromUs, parseDurationUs(target.event)), toUs: window.toUs };
  if (!seen(series, until)) return missing(NOTHING_SEEN);
  const all = shares(series, undefined, capacityBps, window);
  if (all.length === 0) return missing(`the judged window holds no whole ${WINDOW_US / 1000} ms`);
  const used = mean(all);
  if (used > IMPOSSIBLE) return missing(`the capture shows ${formatPercent(used)} of the capacity: it holds both directions, or the capacity is wrong`);
  const eventUs = target.event === undefined ? fromUs : parseDurationUs(target.event);
  const guaranteeBps = target.guarantee === undefined ? null : parseRateOf(target.guarantee, capacityBps);
  const ofGuarantee = (figure: (bps: number) => Figures): Figures => (guaranteeBps === null ? missing(`${target.metric} needs a guarantee`) : figure(guaranteeBps));
  switch (target.metric) {
    case 'share':
    case 'utilisation':
      return { kind: 'series', values: shares(series, group, capacityBps, window), steady: true };
    case 'shortfall':
      return ofGuarantee((bps) => ({ kind: 'series', values: shortfalls(series, group, bps, window), steady: true }));
    case 'worst-shortfall':
      return ofGuarantee((bps) => ({ kind: 'exact', value: highest(shortfalls(series, group, bps, window)) }));
    case 'peak': {
      const value = highest(shares(series, group, capacityBps, window));
      return value > 0 ? { kind: 'exact', value } : missing(`the group ${group ?? ''} sent nothing in the window`);
    }
    case 'ramp':
      return { kind: 'single', value: rampPerSecond(series, group, capacityBps, window) };
    case 'victim-recovery':
      return ofGuarantee((bps) => ({ kind: 'single', value: victimRecoveryUs(series, group, bps, eventUs, window.toUs) }));
    case 'owed':
      return ofGuarantee((bps) => ({ kind: 'single', value: owedBytes(series, group, bps, eventUs, window.toUs) }));
    case 'reaction':
      if (target['settles-at'] === undefined) return missing('reaction needs settles-at');
      return single(reactionUs(series, group, parseRateOf(target['settles-at'], capacityBps), eventUs, window.toUs), 'the group never exceeded its allocation');
    case 'recovery':
      return single(recoveryUs(series, group, capacityBps, eventUs, window.toUs), 'the group did not stop');
  }
}
