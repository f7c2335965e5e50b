/** Which machine carries which node, and as what. Plain data. */
import { Type } from 'typebox';
import { record } from '../../core/config/parts.ts';
import type { Described } from '../../core/readonly.ts';

const assignment = Type.Object({
  machine: Type.String(),
  /** A container of the machine's engine; else a network namespace. */
  container: Type.Boolean(),
});
export type Assignment = Described<typeof assignment>;

/** By node. */
export const assignments = record(assignment);
export type Assignments = Described<typeof assignments>;

/** The machine that netrig runs on, where no rig file names machines. */
export const LOCAL = 'local';

export const assignmentOf = (assignments: Assignments, node: string): Assignment =>
  assignments[node] ?? { machine: LOCAL, container: false };
