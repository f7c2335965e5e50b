/** One target, one repeat: the figures that the target is about. */
import { parseDurationUs } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import type { FlowResult, PhaseRecord } from '../evidence/records.ts';
import type { TargetFile } from '../topology/target.ts';
import { missing, type Checks, type Figures, type Window } from './check.ts';

export function figuresOf(target: TargetFile, evidence: CellEvidence, checks: Checks): Figures {
  const check = checks.get(target.check);
  if (!check) return missing(`there is no check "${target.check}" here`);
  const phase = target.phase === undefined ? evidence.phases.at(-1) : evidence.phases.find((p) => p.phase === target.phase);
  if (!phase) return missing('the phase was not run');
  const window: Window = {
    fromUs: target.from === undefined ? 0 : parseDurationUs(target.from),
    toUs: target.to === undefined ? phase.durationUs : parseDurationUs(target.to),
  };
  return check.figures(target, evidence, phase, window);
}

/** Why there is none, as text. */
export function findFlow(phase: PhaseRecord, name: string): FlowResult | string {
  const flow = phase.flows.find((f) => f.flow === name);
  if (!flow) return `flow ${name} was not run`;
  return flow.error === undefined ? flow : `flow ${name}: ${flow.error}`;
}

/** The judged window from the start of a flow. */
export function flowWindow(name: string, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): Window {
  const startUs = evidence.lab.phases.find((p) => p.name === phase.phase)?.flows.find((f) => f.name === name)?.startUs ?? 0;
  return { fromUs: fromUs - startUs, toUs: toUs - startUs };
}

/** Intervals of tools do not start at the very microsecond. */
export const EDGE_US = 1;
