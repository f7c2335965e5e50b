/** Targets of a cell, each against what it needs: phase, window, flow, capture, group, unit of its bounds. Pure. */
import { DURATION_PATTERN, parseDurationUs, PERCENT_PATTERN, RATE_PATTERN } from '../core/units.ts';
import { matches } from './matrix.ts';
import type { CapturePoint, LabNode, Phase, System } from './model.ts';
import { endpointName } from './lab.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import type { TargetFile } from './target.ts';
import { isBounded, isBuiltIn, kindOf, unitOfTarget, type BuiltInTarget, type Unit } from './units.ts';
import { suggest } from '../core/config/validate.ts';

export interface TargetScope {
  readonly variant: Readonly<Record<string, string>>;
  readonly phases: readonly Phase[];
  readonly captures: readonly CapturePoint[];
  readonly nodes: readonly LabNode[];
  readonly systems: readonly System[];
}

export function checkTargets(targets: readonly TargetFile[], { variant, phases, captures, nodes, systems }: TargetScope, problems: Problem[]): void {
  const names = new Set<string>();
  targets.forEach((target, t) => {
    if (!matches(target.when, variant)) return;
    const path: Path = ['targets', t];
    if (names.has(target.name)) problems.push({ path: [...path, 'name'], message: `two targets of this cell are called "${target.name}"` });
    names.add(target.name);
    const reference = target['relative-to']?.phase;
    if (reference !== undefined && !phases.some((p) => p.name === reference)) problems.push({ path: [...path, 'relative-to', 'phase'], message: `unknown phase "${reference}"`, hint: `phases: ${phases.map((p) => p.name).join(', ')}` });
    const phase = target.phase === undefined ? phases.at(-1) : phases.find((p) => p.name === target.phase);
    if (!phase) {
      problems.push({ path, message: target.phase === undefined ? 'a target needs traffic to judge' : `unknown phase "${target.phase}"`, hint: `phases: ${phases.map((p) => p.name).join(', ') || 'none'}` });
      return;
    }
    for (const edge of ['from', 'to'] as const) {
      const text = target[edge];
      if (text !== undefined && parseDurationUs(text) > phase.durationUs) problems.push({ path: [...path, edge], message: `the window ends after the phase "${phase.name}"` });
    }
    if ('flow' in target && !phase.flows.some((f) => f.name === target.flow)) {
      const near = suggest(target.flow, phase.flows.map((f) => f.name));
      problems.push({ path: [...path, 'flow'], message: `phase "${phase.name}" has no flow "${target.flow}"`, hint: near ? `did you mean "${near}"?` : `flows: ${phase.flows.map((f) => f.name).join(', ')}` });
    }
    if ('capture' in target && !captures.some((c) => endpointName(c.at) === target.capture)) {
      problems.push({ path: [...path, 'capture'], message: `nothing is captured at "${target.capture}" in this cell`, hint: `captures: ${captures.map((c) => endpointName(c.at)).join(', ') || 'none'}` });
    }
    if ('group' in target && !nodes.some((n) => n.interfaces.some((i) => i.labels[target.label ?? 'tenant'] === target.group))) {
      problems.push({ path: [...path, 'group'], message: `no interface is labelled ${target.label ?? 'tenant'}=${target.group}` });
    }
    if (isBuiltIn(target) && target.check === 'counter') {
      const system = systems.find((s) => s.name === target.system);
      if (!system) problems.push({ path: [...path, 'system'], message: `this cell has no system "${target.system}"` });
      else if (target.node !== undefined && !system.on.includes(target.node)) problems.push({ path: [...path, 'node'], message: `no agent of ${target.system} runs on "${target.node}"` });
    }
    if (target.from !== undefined && target.to !== undefined && parseDurationUs(target.to) <= parseDurationUs(target.from)) problems.push({ path: [...path, 'to'], message: 'the window ends before it starts' });
    // Those of systems are checked with their systems.
    if (!isBuiltIn(target)) return;
    checkUnits(target, unitOfTarget(target), path, problems);
    checkJudgeable(target, phase, captures, path, problems);
  });
}

/** What a target needs, so that it does not turn out after the run that it could not be judged. */
function checkJudgeable(target: BuiltInTarget, phase: Phase, captures: readonly CapturePoint[], path: Path, problems: Problem[]): void {
  const refuse = (keys: readonly ('from' | 'to' | 'phase')[], why: string) => {
    for (const key of keys) if (target[key] !== undefined) problems.push({ path: [...path, key], atKey: true, message: `"${key}" has no effect: ${why}`, hint: 'leave it out' });
  };
  switch (target.check) {
    case 'reachability': { refuse(['from', 'to'], 'reachability is of whole flows'); return; }
    case 'counter': { refuse(['from', 'to', 'phase'], 'counters are read when the agents end'); return; }
    case 'loss': {
      const flow = phase.flows.find((f) => f.name === target.flow);
      if (flow?.tool === 'iperf3') refuse(['from', 'to'], 'iperf3 counts losses over the whole flow; tool: mgen or prober counts them in a window');
      if (flow && flow.tool !== 'prober' && (flow.protocol !== 'udp' || flow.tool === 'netperf')) problems.push({ path: [...path, 'flow'], message: `flow "${flow.name}" counts no datagrams`, hint: 'protocol: udp with tool: iperf3 or mgen, or tool: prober' });
      if (target['at-most'] === '0%') problems.push({ path: [...path, 'at-most'], message: 'no finite number of datagrams shows a loss of exactly 0 %', hint: 'give a bound above it, such as 0.1%' });
      return;
    }
    case 'rate':
      if (target.flow === undefined && target.group === undefined) problems.push({ path, message: 'a rate needs a flow, or a capture and a group' });
      if (target.flow === undefined) checkDirection(target.capture, captures, path, problems);
      return;
    case 'bandwidth-isolation': {
      for (const key of NEEDS[target.metric] ?? []) if (target[key] === undefined) problems.push({ path: [...path, 'metric'], message: `${target.metric} needs "${key}"` });
      checkDirection(target.capture, captures, path, problems); return;
    }
    default:
  }
}

const NEEDS: Partial<Record<Extract<BuiltInTarget, { check: 'bandwidth-isolation' }>['metric'], readonly ('guarantee' | 'settles-at' | 'event' | 'group')[]>> = {
  share: ['group'], peak: ['group'], ramp: ['group'], shortfall: ['group', 'guarantee'], 'worst-shortfall': ['group', 'guarantee'],
  'victim-recovery': ['group', 'guarantee', 'event'], owed: ['group', 'guarantee', 'event'], reaction: ['group', 'settles-at', 'event'], recovery: ['group', 'event'],
};

/** A capture of both directions would add what a group receives to what it sends. */
function checkDirection(at: string | undefined, captures: readonly CapturePoint[], path: Path, problems: Problem[]): void {
  const point = at === undefined ? captures[0] : captures.find((c) => endpointName(c.at) === at);
  if (!point && at === undefined) problems.push({ path, message: 'nothing is captured in this cell', hint: 'capture: [{ at: "node:interface", direction: in }]' });
  if (point?.direction === 'both') problems.push({ path: at === undefined ? path : [...path, 'capture'], message: `the capture at ${endpointName(point.at)} holds both directions, which would be added up`, hint: 'give the capture a direction: in or out' });
}

const BOUND_FORMS: Readonly<Record<Unit, readonly [pattern: string, expectation: string]>> = {
  durationUs: [DURATION_PATTERN, 'a duration such as "50ms"'],
  rate: [RATE_PATTERN, 'a rate such as "45Mbit"'],
  fraction: [PERCENT_PATTERN, 'a percentage such as "95%"'],
  count: ['^[0-9]+$', 'a whole number such as "0"'],
};

/** What the figure of a target is: a bound of another unit would be compared all the same, and mean nothing. */
export function checkUnits(target: TargetFile, unit: Unit, path: Path, problems: Problem[]): void {
  if (target['relative-to']?.allowance !== undefined && unit !== 'durationUs') problems.push({ path: [...path, 'relative-to', 'allowance'], message: 'an allowance is a duration, the figure is not' });
  if (!isBounded(target)) return;
  if (kindOf(target) === 'invariant' && unit === 'durationUs' && target['expect-fail'] === undefined) problems.push({ path: [...path, 'kind'], message: 'a duration depends on the speed of the machine: it is no invariant', hint: 'kind: measurement' });
  if (target['at-least'] === undefined && target['at-most'] === undefined) problems.push({ path, message: 'a target needs "at-least" or "at-most"' });
  const [pattern, expectation] = BOUND_FORMS[target['relative-to'] === undefined ? unit : 'fraction'];
  for (const side of ['at-least', 'at-most'] as const) {
    const text = target[side];
    if (text !== undefined && !new RegExp(pattern).test(String(text))) problems.push({ path: [...path, side], message: `expected ${expectation}, found "${text}"` });
  }
}
