/** JSON from outside: of programs, agents and files. It is parsed through a schema, never cast. */
import type { Static, TSchema } from 'typebox';
import type { DeepReadonly } from './readonly.ts';
import { problemsOf } from './config/validate.ts';

/**
 * The value, if it is what the schema describes. An Error says at which place below `root` it is not, "/data/0/atMs:
 * expected a number, found null". `name`: as in problemsOf.
 */
export function conform<S extends TSchema>(schema: S, value: unknown, root = '', name?: string): DeepReadonly<Static<S>> {
  const [problem] = problemsOf(schema, value, name);
  if (problem) throw new Error([[root, ...problem.path].join('/'), problem.message].filter(Boolean).join(': '));
  return value as DeepReadonly<Static<S>>;
}

/** SyntaxError if it is no JSON; else as `conform`. */
export const parseJson = <S extends TSchema>(schema: S, text: string): DeepReadonly<Static<S>> => conform(schema, JSON.parse(text));
