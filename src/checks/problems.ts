/** What targets of several checks need: a flow, a capture, a group; and keys that have no effect on them. */
import { suggest } from '../core/config/validate.ts';
import type { TargetProblem } from '../topology/checks.ts';
import { endpointName } from '../topology/lab.ts';
import type { Lab, Phase } from '../topology/model.ts';
import type { TargetFile } from '../topology/target.ts';

/** Keys that would be ignored. */
export function refuseKeys(target: TargetFile, keys: readonly ('from' | 'to' | 'phase')[], why: string): TargetProblem[] {
  return keys.flatMap((key) =>
    target[key] === undefined ? [] : [{ path: [key], atKey: true, message: `"${key}" has no effect: ${why}`, hint: 'leave it out' }],
  );
}

/** For a figure of the whole phase: a window would be ignored. */
export const refuseWindow = (target: TargetFile, what: string): TargetProblem[] =>
  refuseKeys(target, ['from', 'to'], `${what} is of the whole phase`);

export function needsKeys<K extends string>(
  target: Readonly<Partial<Record<K, unknown>>>,
  metric: string,
  keys: readonly K[],
): TargetProblem[] {
  return keys.flatMap((key) => (target[key] === undefined ? [{ path: ['metric'], message: `${metric} needs "${key}"` }] : []));
}

export function needsFlow(name: string | undefined, phase: Phase): TargetProblem[] {
  if (name === undefined || phase.flows.some((f) => f.name === name)) return [];
  const near = suggest(
    name,
    phase.flows.map((f) => f.name),
  );
  return [
    {
      path: ['flow'],
      message: `phase "${phase.name}" has no flow "${name}"`,
      hint: near ? `did you mean "${near}"?` : `flows: ${phase.flows.map((f) => f.name).join(', ')}`,
    },
  ];
}

export function needsCapture(at: string | undefined, { captures }: Lab): TargetProblem[] {
  if (at === undefined || captures.some((c) => endpointName(c.at) === at)) return [];
  return [
    {
      path: ['capture'],
      message: `nothing is captured at "${at}" in this cell`,
      hint: `captures: ${captures.map((c) => endpointName(c.at)).join(', ') || 'none'}`,
    },
  ];
}

/** Of a capture point whose packets are grouped by a label of their stations. */
export interface GroupedKeys {
  readonly capture?: string;
  readonly label?: string;
  readonly group?: string;
}

/** A capture of both directions would add what a group receives to what it sends. */
export function needsGroups({ capture, label, group }: GroupedKeys, lab: Lab): TargetProblem[] {
  const problems = needsCapture(capture, lab);
  const point = capture === undefined ? lab.captures[0] : lab.captures.find((c) => endpointName(c.at) === capture);
  if (!point && capture === undefined)
    problems.push({ path: [], message: 'nothing is captured in this cell', hint: 'capture: [{ at: "node:interface", direction: in }]' });
  if (point?.direction === 'both') {
    problems.push({
      path: capture === undefined ? [] : ['capture'],
      message: `the capture at ${endpointName(point.at)} holds both directions, which would be added up`,
      hint: 'give the capture a direction: in or out',
    });
  }
  if (group !== undefined && !lab.fabric.nodes.some((n) => n.interfaces.some((i) => i.labels[label ?? 'tenant'] === group))) {
    problems.push({ path: ['group'], message: `no interface is labelled ${label ?? 'tenant'}=${group}` });
  }
  return problems;
}
