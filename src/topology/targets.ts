/** Targets of a cell, each against what it needs: phase, window, flow, capture, group, unit of its bounds. Pure. */
import { DURATION_PATTERN, parseDurationUs, PERCENT_PATTERN, RATE_PATTERN } from '../core/units.ts';
import { matches } from './matrix.ts';
import { endpointName, type CapturePoint, type LabNode, type Phase, type System } from './model.ts';
import type { Path, Problem } from './problems.ts';
import type { TargetFile } from './schema.ts';
import { isBounded, isBuiltIn, unitOfTarget, type Unit } from './units.ts';
import { suggest } from './validate.ts';

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
    // Those of systems are checked with their systems.
    if (isBuiltIn(target)) checkUnits(target, unitOfTarget(target), path, problems);
  });
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
  if (target['at-least'] === undefined && target['at-most'] === undefined) problems.push({ path, message: 'a target needs "at-least" or "at-most"' });
  const [pattern, expectation] = BOUND_FORMS[target['relative-to'] === undefined ? unit : 'fraction'];
  for (const side of ['at-least', 'at-most'] as const) {
    const text = target[side];
    if (text !== undefined && !new RegExp(pattern).test(String(text))) problems.push({ path: [...path, side], message: `expected ${expectation}, found "${text}"` });
  }
}
