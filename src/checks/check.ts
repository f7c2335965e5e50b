/**
 * What a check is: the testbed has some (builtin/), and systems bring theirs (SystemDefinition.checks names a module
 * that exports `checks`).
 */
import type { CellEvidence } from '../evidence/cell.ts';
import type { PhaseRecord } from '../evidence/records.ts';
import type { CheckDefinition } from '../topology/checks.ts';
import type { TargetFile } from '../topology/target.ts';
import type { Trials } from './statistics.ts';

/**
 * What one repeat says about a target. `clockBoundUs`: what the clocks of the machines may add to or take from it.
 * A figure that differs from run to run beyond its interval within a run is decided by repeats only.
 */
export type Figures = { readonly clockBoundUs?: number } &
  /** A series in time order, judged by its mean. `steady`: it does not differ between runs, so that one run decides. */
  (
    | { readonly kind: 'series'; readonly values: readonly number[]; readonly steady?: true }
    /** A series in time order, judged by a quantile. */
    | { readonly kind: 'quantile'; readonly values: readonly number[]; readonly quantile: number }
    /** One figure a run: only repeats give an interval. */
    | { readonly kind: 'single'; readonly value: number }
    /** Counted, or the worst of all that was seen: observed, not estimated. The worst of several repeats counts. */
    | { readonly kind: 'exact'; readonly value: number; readonly detail?: string }
    /** Hits of trials in time order. `independent`: trials do not depend on each other, nor on the run. */
    | { readonly kind: 'share'; readonly trials: readonly Trials[]; readonly independent?: true }
    | { readonly kind: 'missing'; readonly reason: string }
  );

export const missing = (reason: string): Figures => ({ kind: 'missing', reason });

/** The judged part of a phase, offsets from its start. */
export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

/** Rates of groups at a capture point, which the report draws over time. */
export interface DrawnRates {
  /** undefined: the first capture of the cell. */
  readonly capture: string | undefined;
  readonly label: string;
  /** Of the link that they share; null: not known. */
  readonly capacityBps: number | null;
  /** A horizontal line: what a group is to have. */
  readonly level: { readonly group: string; readonly bps: number; readonly label: string } | null;
}

export interface Check<Keys = unknown> extends CheckDefinition<Keys> {
  /** Pure: reads nothing but the evidence folder. */
  figures(target: TargetFile & Keys, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures;
  /** What the report draws of a target; absent: nothing. */
  drawn?(target: TargetFile & Keys): DrawnRates | undefined;
}

/** By name. */
export type Checks = ReadonlyMap<string, Check>;
