/** A check that a system brings along: SystemDefinition.checks names a module that exports `checks`. */
import type { TProperties } from 'typebox';
import type { CellEvidence } from '../evidence/cell.ts';
import type { SystemTarget } from '../topology/schema.ts';
import type { Unit } from '../topology/units.ts';
import type { PhaseRecord } from '../traffic/run.ts';
import type { Figures } from './figures.ts';

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
  /** Pure: reads nothing but the evidence folder. */
  figures(target: SystemTarget & Keys, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures;
}

/** By name. */
export type Checks = ReadonlyMap<string, Check>;
