/** What a topology file may ask of a check: its keys, the unit of its figure, and what it needs to be judged. */
import { Type, type Static, type TObject, type TProperties, type TSchema } from 'typebox';
import { closed } from '../core/config/parts.ts';
import type { DeepReadonly } from '../core/readonly.ts';
import type { Lab, Phase } from './model.ts';
import { bound, targetBase, type TargetFile } from './target.ts';

export type Unit = 'rate' | 'fraction' | 'durationUs' | 'count';

export interface TargetProblem {
  /** Into the target. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint?: string;
  /** The key itself is wrong, not its value. */
  readonly atKey?: boolean;
}

export interface CheckDefinition<Keys = unknown> {
  /** Value of `check` in a target. */
  readonly name: string;
  /** Keys of its targets beside those that all have. */
  readonly keys: TProperties;
  /** It counts what is wrong, of which there may be none, so that its targets have no bounds: "flow", "answer". */
  readonly counts?: string;
  /** The datagrams of the flow that its targets name must be counted at both ends. */
  readonly countsDatagrams?: true;
  /** What its figure is measured in. */
  unit(target: TargetFile & Keys): Unit;
  /** Why a target could not be judged in this lab, beyond its schema. `phase`: that it judges. */
  problems?(target: TargetFile & Keys, lab: Lab, phase: Phase): TargetProblem[];
}

/** By name. */
export type CheckDefinitions = ReadonlyMap<string, CheckDefinition>;

/** Of the keys that a check declares. */
export type KeysOf<P extends TProperties> = DeepReadonly<Static<TObject<P>>>;

const schemas = new WeakMap<CheckDefinition, TSchema>();

/** Of one of its targets. */
export function schemaOfTarget(check: CheckDefinition): TSchema {
  let schema = schemas.get(check);
  if (!schema)
    schemas.set(
      check,
      (schema = closed({ check: Type.Literal(check.name), ...targetBase, ...(check.counts === undefined ? bound : {}), ...check.keys })),
    );
  return schema;
}
