/** References from one part of a file to another: found, or a problem at their place. */
import type { LabNode } from './model.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import { suggest } from '../core/config/validate.ts';

/** By name. */
export type Nodes = ReadonlyMap<string, LabNode>;

export function requireNode(name: string, nodes: Nodes, path: Path, problems: Problem[]): LabNode | undefined {
  const node = nodes.get(name);
  if (node) return node;
  const near = suggest(name, [...nodes.keys()]);
  problems.push({ path, message: `unknown node "${name}"`, ...(near ? { hint: `did you mean "${near}"?` } : {}) });
  return undefined;
}

/** What an expansion gives, or nothing and a problem. */
export function orProblem<T>(expand: () => T[], path: Path, problems: Problem[]): T[] {
  try {
    return expand();
  } catch (error) {
    problems.push({ path, message: (error as Error).message });
    return [];
  }
}
