import type { Static, TSchema } from 'typebox';

/** What a schema describes, as a value that nobody changes. A branded text is left as it is. */
export type DeepReadonly<T> = T extends string ? T : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** What a schema describes. */
export type Described<S extends TSchema> = DeepReadonly<Static<S>>;

/** Array.isArray does not recognise lists that nobody changes. */
export const isList = <T>(value: T | readonly T[]): value is readonly T[] => Array.isArray(value);
