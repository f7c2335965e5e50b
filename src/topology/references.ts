/** References from one part of a file to another: found, or a problem at their place. */
import type { LabNode } from './model.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import { suggest } from '../core/config/validate.ts';

export function requireNode(name: string, nodes: readonly LabNode[], path: Path, problems: Problem[]): boolean {
  if (nodes.some((n) => n.name === name)) return true;
  const near = suggest(
    name,
    nodes.map((n) => n.name),
  );
  problems.push({ path, message: `unknown node "${name}"`, ...(near ? { hint: `did you mean "${near}"?` } : {}) });
  return false;
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
