/**
 * JSON from outside, in processes that start by the dozen or on slow machines: agents and hostd. Checked by typebox's own
 * interpreter, because ajv takes 150 ms of CPU to load and to compile its first schema; the command line has json.ts.
 */
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import Value from 'typebox/value';
import type { Described } from './readonly.ts';

/** A schema that is used so often is compiled: that takes 10 ms once, and a large value is then checked in 30 us instead of 2 ms. */
const OFTEN = 10;

interface Use {
  times: number;
  check: (value: unknown) => boolean;
}
const uses = new WeakMap<TSchema, Use>();

function isDescribed(schema: TSchema, value: unknown): boolean {
  let use = uses.get(schema);
  if (!use) uses.set(schema, (use = { times: 0, check: (v) => Value.Check(schema, v) }));
  use.times += 1;
  if (use.times === OFTEN) {
    const compiled = Compile(schema);
    use.check = (v) => compiled.Check(v);
  }
  return use.check(value);
}

/** What is wrong with a value, "/data/0/atMs: must be number"; null: it is what the schema describes. */
export function problemOf(schema: TSchema, value: unknown): string | null {
  if (isDescribed(schema, value)) return null;
  const [first] = Value.Errors(schema, value);
  return `${first?.instancePath || '/'}: ${first?.message ?? 'invalid'}`;
}

/** The value, if it is what the schema describes; else an Error. */
export function checked<S extends TSchema>(schema: S, value: unknown): Described<S> {
  const problem = problemOf(schema, value);
  if (problem !== null) throw new Error(problem);
  return value as Described<S>;
}

/** SyntaxError if it is no JSON; else as `checked`. */
export const parsed = <S extends TSchema>(schema: S, text: string): Described<S> => checked(schema, JSON.parse(text));
