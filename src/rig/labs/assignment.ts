/** Which machine carries which node, and as what. Plain data. */

export interface Assignment {
  readonly machine: string;
  /** A container of the machine's engine; else a network namespace. */
  readonly container: boolean;
}

/** By node. */
export type Assignments = Readonly<Record<string, Assignment>>;

/** The machine that netrig runs on, where no rig file names machines. */
export const LOCAL = 'local';

export const assignmentOf = (assignments: Assignments, node: string): Assignment =>
  assignments[node] ?? { machine: LOCAL, container: false };
