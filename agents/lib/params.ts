/** Parameters of an operation, as they come: checked where they are used. */
import type { Static, TSchema } from 'typebox';
import { problemOf } from '../../src/core/lightjson.ts';
import { Refusal } from './rpc.ts';

/** An answer that is a typed error. */
export const refuse = (code: string, message: string): never => {
  throw new Refusal(code, message);
};

/** The parameters, or a refusal: InvalidRequest, with the place in them. */
export function validated<S extends TSchema>(schema: S, params: unknown): Static<S> {
  const problem = problemOf(schema, params);
  if (problem !== null) throw new Refusal('InvalidRequest', problem);
  return params as Static<S>;
}

/** Its name, or a refusal: UnknownOperation. */
export function known<O extends object>(operations: O, operation: string): keyof O & string {
  if (!Object.hasOwn(operations, operation)) throw new Refusal('UnknownOperation', `operations: ${Object.keys(operations).join(', ')}`);
  return operation as keyof O & string;
}

/** Operations by their names. */
export type Operations = Readonly<Record<string, (params: unknown) => unknown>>;

/** The answer of one of them, or a refusal: UnknownOperation, with those that there are. */
export async function perform(operations: Operations, name: string, params: unknown): Promise<unknown> {
  return operations[known(operations, name)]!(params);
}
