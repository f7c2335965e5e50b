/** What a check is: the testbed has some, and systems bring theirs (SystemDefinition.checks names a module that exports `checks`). */
import type { TProperties } from 'typebox';
import type { CellEvidence } from '../evidence/cell.ts';
import type { Lab } from '../topology/model.ts';
import type { SystemTarget, TargetFile } from '../topology/target.ts';
import type { Unit } from '../topology/units.ts';
import type { PhaseRecord } from '../evidence/records.ts';
import type { Trials } from './statistics.ts';

/**
 * What one repeat says about a target. `clockBoundUs`: what the clocks of the machines may add to or take from it.
 * A figure that differs from run to run beyond its interval within a run is decided by repeats only.
 */
export type Figures = { readonly clockBoundUs?: number } & (
  /** A series in time order, judged by its mean. `steady`: it does not differ between runs, so that one run decides. */
  | { readonly kind: 'series'; readonly values: readonly number[]; readonly steady?: true }
  /** A series in time order, judged by a quantile. */
  | { readonly kind: 'quantile'; readonly values: readonly number[]; readonly quantile: number }
  /** One figure a run: only repeats give an interval. */
  | { readonly kind: 'single'; readonly value: number }
  /** Counted, or the worst of all that was seen: observed, not estimated. The worst of several repeats counts. */
  | { readonly kind: 'exact'; readonly value: number; readonly detail?: string }
  /** Hits of trials in time order. `independent`: trials do not depend on each other, nor on the run. */
  | { readonly kind: 'share'; readonly trials: readonly Trials[]; readonly independent?: true }
  | { readonly kind: 'missing'; readonly reason: string });

export const missing = (reason: string): Figures => ({ kind: 'missing', reason });

/** The judged part of a phase, offsets from its start. */
export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

export interface TargetProblem {
  /** Into the target. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint?: string;
}

/** For a figure of the whole phase: a window would be ignored. */
export function refuseWindow(target: Pick<TargetFile, 'from' | 'to'>, what: string): TargetProblem[] {
  return (['from', 'to'] as const).flatMap((edge) => (target[edge] === undefined ? [] : [{ path: [edge], message: `${what} is of the whole phase: "${edge}" has no effect on it`, hint: 'leave it out' }]));
}

export interface Check<Keys = unknown> {
  /** Value of `check` in a target. */
  readonly name: string;
  /** Keys of its targets beside those that all have. */
  readonly keys: TProperties;
  /** What its figure is measured in. */
  unit(target: SystemTarget & Keys): Unit;
  /** What is wrong with a target in this lab, beyond its schema. */
  problems?(target: SystemTarget & Keys, lab: Lab): TargetProblem[];
  /** Pure: reads nothing but the evidence folder. */
  figures(target: SystemTarget & Keys, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures;
}

/** By name. */
export type Checks = ReadonlyMap<string, Check>;
