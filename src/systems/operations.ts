/** Requests of operations, held against the schemas that systems give for them: before anything is deployed. Pure. */
import type { TSchema } from 'typebox';
import { problemsOf, suggest } from '../core/config/validate.ts';
import type { SystemProblem } from './definition.ts';

/** Schema of the parameters, by operation. */
export type Operations = Readonly<Record<string, TSchema>>;

/** Paths into { operation, params }. */
export function requestProblems(operations: Operations, operation: string, params: unknown): SystemProblem[] {
  const names = Object.keys(operations);
  const schema = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
  if (!schema) {
    const near = suggest(operation, names);
    return [
      {
        path: ['operation'],
        message: `no operation "${operation}" there`,
        hint: near ? `did you mean "${near}"?` : names.length > 0 ? `operations: ${names.join(', ')}` : 'this node answers none',
      },
    ];
  }
  return problemsOf(schema, params).map((problem) => ({ ...problem, path: ['params', ...problem.path] }));
}
