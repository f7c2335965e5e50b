/** One target, one repeat: the figures that the target is about. */
import { parseDurationUs, parseRateOf } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import type { TargetFile } from '../topology/schema.ts';
import { isBuiltIn, type BuiltInTarget } from '../topology/units.ts';
import type { PhaseRecord } from '../traffic/run.ts';
import type { FlowResult } from '../traffic/tools.ts';
import { missing, type Checks, type Figures, type Window } from './check.ts';
import { highest, rampPerSecond, reactionUs, recoveryUs, shares, shortfalls, victimRecoveryUs, WINDOW_US } from './isolation.ts';
import { groupSeries, windowRates } from './series.ts';


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
    case 'loss': return loss(target.flow, phase);
    case 'latency': {
      const flow = findFlow(phase, target.flow);
      if (typeof flow === 'string') return missing(flow);
      if (!flow.rttUs || flow.rttUs.length === 0) return missing(`flow ${target.flow} measured no round trips`);
      // An unanswered request took forever: a gateway must not look faster by losing packets.
      return { kind: 'quantile', values: flow.rttUs.map((rtt) => rtt ?? Infinity), quantile: Number.parseFloat(target.quantile ?? '99%') / 100 };
    }
    case 'bandwidth-isolation': return isolation(target, evidence, phase, window);
    case 'counter': return counter(target, evidence);
    case 'answers': return answers(target, evidence, phase);
  }
}

/** Requests of the phase that were not answered as the topology expects. */
function answers(target: BuiltInTarget & { check: 'answers' }, { events }: CellEvidence, phase: PhaseRecord): Figures {
  const asked = (events[phase.phase] ?? []).flatMap((e) => (e.request && (target.operation === undefined || e.request.operation === target.operation) ? [e.request] : []));
  if (asked.length === 0) return missing('nothing was asked in this phase');
  const wrong = asked.filter((r) => r.refused !== r.expected);
  const detail = wrong.length === 0 ? `${asked.length} answered as expected` : wrong.map((r) => `${r.operation}: ${r.refused ?? 'done'} instead of ${r.expected ?? 'done'}`).slice(0, 5).join(', ');
  return { kind: 'exact', value: wrong.length, detail };
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

function flowRate(name: string, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const flow = findFlow(phase, name);
  if (typeof flow === 'string') return missing(flow);
  if (flow.error !== undefined) return missing(`flow ${name}: ${flow.error}`);
  const startUs = evidence.lab.phases.find((p) => p.name === phase.phase)?.flows.find((f) => f.name === name)?.startUs ?? 0;
  // The last interval of iperf3 is a fragment that ends with the connection.
  const values = flow.intervals
    .filter((i) => i.startS * 1e6 + startUs >= window.fromUs - 1 && i.endS * 1e6 + startUs <= window.toUs + WINDOW_US / 2 && i.endS - i.startS > 0.05)
    .map((i) => i.rateBps);
  return values.length > 0 ? { kind: 'samples', values } : missing(`flow ${name} reported no interval in the window`);
}

function loss(name: string, phase: PhaseRecord): Figures {
  const flow = findFlow(phase, name);
  if (typeof flow === 'string') return missing(flow);
  if (flow.error !== undefined) return missing(`flow ${name}: ${flow.error}`);
  const values = flow.rttUs ? flow.rttUs.map((rtt) => (rtt === null ? 1 : 0)) : flow.intervals.flatMap((i) => (i.loss === undefined ? [] : [i.loss]));
  return values.length > 0 ? { kind: 'samples', values } : missing(`flow ${name} counted no datagrams`);
}

function seriesFor(target: BuiltInTarget & ({ check: 'rate' } | { check: 'bandwidth-isolation' }), evidence: CellEvidence, phase: PhaseRecord) {
  const at = target.capture ?? evidence.captures[0]?.at;
  if (at === undefined) return 'no capture to judge';
  const record = evidence.captures.find((c) => c.at === at);
  if (!record) return `no capture at ${at}`;
  if (record.error) return `the capture at ${at} is incomplete: ${record.error}`;
  if (record.droppedByKernel > 0) return `the capture at ${at} dropped ${record.droppedByKernel} packets`;
  const idle = phase.flows.find((f) => !f.started);
  if (idle) return `flow ${idle.flow} never started${idle.error ? `: ${idle.error}` : ''}`;
  try {
    return groupSeries(evidence, at, target.label ?? 'tenant', phase) ?? `no capture at ${at}`;
  } catch (error) {
    return (error as Error).message;
  }
}

function captureRate(target: BuiltInTarget & { check: 'rate' }, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const series = seriesFor(target, evidence, phase);
  if (typeof series === 'string') return missing(series);
  const bytes = target.group === undefined ? undefined : series.bytes.get(target.group);
  if (!bytes) return missing(`no interface is labelled ${target.label ?? 'tenant'}=${target.group ?? '?'}`);
  return { kind: 'samples', values: windowRates(bytes, series.binUs, WINDOW_US, window.fromUs, window.toUs) };
}

const single = (value: number | null, otherwise: string): Figures => (value === null ? missing(otherwise) : { kind: 'single', value });

function isolation(target: BuiltInTarget & { check: 'bandwidth-isolation' }, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const series = seriesFor(target, evidence, phase);
  if (typeof series === 'string') return missing(series);
  const capacityBps = parseRateOf(target.capacity, 0);
  const group = target.metric === 'utilisation' ? undefined : target.group;
  if (group !== undefined && !series.bytes.has(group)) return missing(`no interface is labelled ${target.label ?? 'tenant'}=${group}`);
  const eventUs = target.event === undefined ? window.fromUs : parseDurationUs(target.event);
  switch (target.metric) {
    case 'share':
    case 'utilisation':
      return { kind: 'samples', values: shares(series, group, capacityBps, window) };
    case 'shortfall':
      if (target.guarantee === undefined) return missing('shortfall needs a guarantee');
      return { kind: 'samples', values: shortfalls(series, group, parseRateOf(target.guarantee, capacityBps), window) };
    case 'worst-shortfall':
      if (target.guarantee === undefined) return missing('worst-shortfall needs a guarantee');
      return { kind: 'exact', value: highest(shortfalls(series, group, parseRateOf(target.guarantee, capacityBps), window)) };
    case 'peak':
      return { kind: 'exact', value: highest(shares(series, group, capacityBps, window)) };
    case 'ramp':
      return { kind: 'single', value: rampPerSecond(series, group, capacityBps, window) };
    case 'victim-recovery':
      if (target.guarantee === undefined) return missing('victim-recovery needs a guarantee');
      return { kind: 'single', value: victimRecoveryUs(series, group, parseRateOf(target.guarantee, capacityBps), eventUs, window.toUs) };
    case 'reaction':
      if (target['settles-at'] === undefined) return missing('reaction needs settles-at');
      return single(reactionUs(series, group, parseRateOf(target['settles-at'], capacityBps), eventUs, window.toUs), 'the group never exceeded its allocation');
    case 'recovery':
      return single(recoveryUs(series, group, capacityBps, eventUs, window.toUs), 'the group did not stop');
  }
}
