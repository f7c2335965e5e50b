/** Parameters of an operation, as they come: checked where they are used. */
import type { Static, TSchema } from 'typebox';
import { problemOf } from '../../src/core/lightjson.ts';
import { Refusal } from './rpc.ts';

/** The parameters, or a refusal: InvalidRequest, with the place in them. */
export function validated<S extends TSchema>(schema: S, params: unknown): Static<S> {
  const problem = problemOf(schema, params);
  if (problem !== null) throw new Refusal('InvalidRequest', problem);
  return params as Static<S>;
}
