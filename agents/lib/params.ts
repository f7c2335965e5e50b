/**
 * Parameters of an operation, as they come: checked where they are used. By typebox's own checks, not by ajv: that
 * compiles what it checks, 50 ms of CPU in each agent, and labs start dozens at once.
 */
import type { Static, TSchema } from 'typebox';
import Value from 'typebox/value';
import { Refusal } from './rpc.ts';

/** The parameters, or a refusal: InvalidRequest, with the place in them. */
export function validated<S extends TSchema>(schema: S, params: unknown): Static<S> {
  if (Value.Check(schema, params)) return params;
  const [first] = Value.Errors(schema, params);
  throw new Refusal('InvalidRequest', `${first?.instancePath || '/'}: ${first?.message ?? 'invalid'}`);
}
