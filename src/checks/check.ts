/** What a check is: the testbed has some, and systems bring theirs (SystemDefinition.checks names a module that exports `checks`). */
import type { TProperties } from 'typebox';
import type { CellEvidence } from '../evidence/cell.ts';
import type { Lab } from '../topology/model.ts';
import type { SystemTarget } from '../topology/schema.ts';
import type { Unit } from '../topology/units.ts';
import type { PhaseRecord } from '../traffic/run.ts';

/** `clockBoundUs`: what the clocks of the machines may add to or take from the figure. */
export type Figures = { readonly clockBoundUs?: number } & (
  /** Samples of one run, in time order; their batch means are averaged. */
  | { readonly kind: 'samples'; readonly values: readonly number[] }
  /** All values of one run, judged by a quantile. */
  | { readonly kind: 'quantile'; readonly values: readonly number[]; readonly quantile: number }
  /** One figure a run: only repeats give an interval. */
  | { readonly kind: 'single'; readonly value: number }
  /** Counted, or the worst of all that was seen: observed, not estimated. The worst of several repeats counts. */
  | { readonly kind: 'exact'; readonly value: number; readonly detail?: string }
  /** So many of so many independent ones: the interval is the binomial's (Wilson 1927). Repeats are added up. */
  | { readonly kind: 'share'; readonly of: number; readonly count: number }
  | { readonly kind: 'missing'; readonly reason: string });

export const missing = (reason: string): Figures => ({ kind: 'missing', reason });

/** The judged part of a phase, offsets from its start. */
export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

export interface Check<Keys = unknown> {
  /** Value of `check` in a target. */
  readonly name: string;
  /** Keys of its targets beside those that all have. */
  readonly keys: TProperties;
  /** What its figure is measured in. */
  unit(target: SystemTarget & Keys): Unit;
  /** What is wrong with a target in this lab, beyond its schema. Paths into the target. */
  problems?(target: SystemTarget & Keys, lab: Lab): { readonly path: readonly (string | number)[]; readonly message: string; readonly hint?: string }[];
  /** Pure: reads nothing but the evidence folder. */
  figures(target: SystemTarget & Keys, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures;
}

/** By name. */
export type Checks = ReadonlyMap<string, Check>;
