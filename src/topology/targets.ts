/**
 * Targets of a file against their checks: known check, its own keys, bounds of the right unit, a window in the phase,
 * what the check needs. Pure.
 */
import type { Path, Problem } from '../core/config/problems.ts';
import { problemsOf, suggest } from '../core/config/validate.ts';
import { isMapping } from '../core/config/yaml.ts';
import { DURATION_PATTERN, parseDurationUs, PERCENT_PATTERN, RATE_PATTERN } from '../core/units.ts';
import { schemaOfTarget, type CheckDefinition, type CheckDefinitions, type Unit } from './checks.ts';
import { matches } from './matrix.ts';
import type { Lab } from './model.ts';
import { kindOf, type TargetFile } from './target.ts';

/** Keys of each target, as its check declares them. */
export function validateTargets(targets: readonly unknown[], checks: CheckDefinitions): Problem[] {
  return targets.flatMap((target, t): Problem[] => {
    const path: Path = ['targets', t];
    const name = isMapping(target) ? target['check'] : undefined;
    if (typeof name !== 'string') return [{ path, message: `expected a target whose "check" is one of ${[...checks.keys()].join(', ')}` }];
    const check = checks.get(name);
    if (check) return problemsOf(schemaOfTarget(check), target, `check ${name}`).map((p) => ({ ...p, path: [...path, ...p.path] }));
    const near = suggest(name, [...checks.keys()]);
    return [
      {
        path: [...path, 'check'],
        message: `unknown check "${name}"`,
        hint: near ? `did you mean "${near}"?` : `checks: ${[...checks.keys()].join(', ')}`,
      },
    ];
  });
}

/** Names, phases, windows and bounds of those that apply to the lab; numbered as in the file. */
export function checkTargets(targets: readonly TargetFile[], lab: Lab, checks: CheckDefinitions): Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  targets.forEach((target, t) => {
    if (!matches(target.when, lab.variant)) return;
    const path: Path = ['targets', t];
    if (names.has(target.name)) problems.push({ path: [...path, 'name'], message: `two targets of this cell are called "${target.name}"` });
    names.add(target.name);
    const phases = lab.phases.map((p) => p.name);
    const reference = target['relative-to']?.phase;
    if (reference !== undefined && !phases.includes(reference))
      problems.push({
        path: [...path, 'relative-to', 'phase'],
        message: `unknown phase "${reference}"`,
        hint: `phases: ${phases.join(', ')}`,
      });
    const phase = phaseOf(target, lab);
    if (!phase) {
      problems.push({
        path,
        message: target.phase === undefined ? 'a target needs traffic to judge' : `unknown phase "${target.phase}"`,
        hint: `phases: ${phases.join(', ') || 'none'}`,
      });
      return;
    }
    checkWindow(target, phase.durationUs, phase.name, path, problems);
    const check = checks.get(target.check);
    if (check) checkBounds(target, check, path, problems);
  });
  return problems;
}

/** What its check needs, so that it does not turn out after the run that a target could not be judged. */
export function checkNeeds(targets: readonly TargetFile[], lab: Lab, checks: CheckDefinitions): Problem[] {
  return targets.flatMap((target, t) => {
    const phase = phaseOf(target, lab);
    if (!phase || !matches(target.when, lab.variant)) return [];
    return (checks.get(target.check)?.problems?.(target, lab, phase) ?? []).map((p) => ({ ...p, path: ['targets', t, ...p.path] }));
  });
}

/** That a target judges: the last unless it names one. */
const phaseOf = ({ phase }: TargetFile, { phases }: Lab) => (phase === undefined ? phases.at(-1) : phases.find((p) => p.name === phase));

/** Flows of a phase whose datagrams must be counted. `last`: it is the last phase. */
export function countedFlows(targets: readonly TargetFile[], phase: string, last: boolean, checks: CheckDefinitions): ReadonlySet<string> {
  const judging = targets.filter((t) => checks.get(t.check)?.countsDatagrams && (t.phase === phase || (t.phase === undefined && last)));
  return new Set(judging.flatMap((t) => (typeof t['flow'] === 'string' ? [t['flow']] : [])));
}

function checkWindow({ from, to }: TargetFile, durationUs: number, phase: string, path: Path, problems: Problem[]): void {
  for (const [edge, text] of Object.entries({ from, to })) {
    if (text !== undefined && parseDurationUs(text) > durationUs)
      problems.push({ path: [...path, edge], message: `the window ends after the phase "${phase}"` });
  }
  if (from !== undefined && to !== undefined && parseDurationUs(to) <= parseDurationUs(from))
    problems.push({ path: [...path, 'to'], message: 'the window ends before it starts' });
}

const BOUND_FORMS: Readonly<Record<Unit, readonly [pattern: string, expectation: string]>> = {
  durationUs: [DURATION_PATTERN, 'a duration such as "50ms"'],
  rate: [RATE_PATTERN, 'a rate such as "45Mbit"'],
  fraction: [PERCENT_PATTERN, 'a percentage such as "95%"'],
  count: ['^[0-9]+$', 'a whole number such as "0"'],
};

/** A bound of another unit would be compared all the same, and mean nothing. */
function checkBounds(target: TargetFile, check: CheckDefinition, path: Path, problems: Problem[]): void {
  const unit = check.unit(target);
  if (target['relative-to']?.allowance !== undefined && unit !== 'durationUs')
    problems.push({ path: [...path, 'relative-to', 'allowance'], message: 'an allowance is a duration, the figure is not' });
  if (check.counts !== undefined) return;
  if (kindOf(target) === 'invariant' && unit === 'durationUs' && target['expect-fail'] === undefined)
    problems.push({
      path: [...path, 'kind'],
      message: 'a duration depends on the speed of the machine: it is no invariant',
      hint: 'kind: measurement',
    });
  if (target['at-least'] === undefined && target['at-most'] === undefined)
    problems.push({ path, message: 'a target needs "at-least" or "at-most"' });
  const [pattern, expectation] = BOUND_FORMS[target['relative-to'] === undefined ? unit : 'fraction'];
  for (const side of ['at-least', 'at-most'] as const) {
    const text = target[side];
    if (text !== undefined && !new RegExp(pattern).test(String(text)))
      problems.push({ path: [...path, side], message: `expected ${expectation}, found "${text}"` });
  }
}
