/** What schemas of files are made of: every pattern with the words that an error says it with. */
import { Type, type Static, type TProperties, type TSchema } from 'typebox';
import { NAME_PATTERN } from '../names.ts';
import { DURATION_PATTERN, PERCENT_PATTERN, RATE_PATTERN } from '../units.ts';

export const closed = <P extends TProperties>(properties: P, options: { description?: string } = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });
export const opt = <T extends TSchema>(schema: T) => Type.Optional(schema);
type Items<S extends readonly TSchema[]> = { -readonly [K in keyof S]: S[K] extends TSchema ? Static<S[K]> : never };
/** As JSON Schema 2020-12 says it; typebox's own tuples are of an older draft. */
export const tuple = <const S extends readonly TSchema[]>(...items: S) =>
  Type.Unsafe<Items<S>>({ type: 'array', prefixItems: items, minItems: items.length, maxItems: items.length });
/** A mapping whose keys are free. Every value is checked: Type.Record's pattern of keys passes over those that have a newline. */
export const record = <T extends TSchema>(value: T, options: { description?: string; minProperties?: number } = {}) =>
  Type.Unsafe<Record<string, Static<T>>>({ type: 'object', additionalProperties: value, ...options });
/** A mapping whose keys are of one form, and of no other. */
export const recordOf = <T extends TSchema>(
  key: { readonly pattern: string; readonly expectation: string },
  value: T,
  options: { description?: string; minProperties?: number } = {},
) =>
  Type.Unsafe<Record<string, Static<T>>>({
    type: 'object',
    patternProperties: { [key.pattern]: value },
    additionalProperties: false,
    keys: key.expectation,
    ...options,
  });
export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const text = (description: string) => Type.String({ description });
export const pattern = (regex: string, expectation: string, description: string) =>
  Type.String({ pattern: regex, description, expectation });

/** Forms of names, as keys and as values. */
export const NAME = { pattern: NAME_PATTERN, expectation: 'a name: a letter, then up to 31 letters, digits, "-" or "_"' };
export const DEVICE = { pattern: '^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$', expectation: 'an interface name of at most 15 characters' };
export const name = (description: string) => pattern(NAME.pattern, NAME.expectation, description);
export const RANGE = '(\\{[0-9]{1,4}\\.\\.[0-9]{1,4}\\}[a-zA-Z0-9_-]{0,31})?';
export const NAMES = {
  pattern: `${NAME_PATTERN.slice(0, -1)}${RANGE}$`,
  expectation: 'a name such as "b1", or a range of names such as "b{1..9}"',
};
/** One name, or a range of them: b{1..99}. */
export const names = (description: string) => pattern(NAMES.pattern, NAMES.expectation, description);
export const interfaceName = (description: string) => pattern(`${DEVICE.pattern.slice(0, -1)}${RANGE}$`, DEVICE.expectation, description);
export const ipv4 = (description: string) => pattern('^[0-9]{1,3}(\\.[0-9]{1,3}){3}$', 'an address such as "10.64.0.200"', description);
export const rate = (description: string) => pattern(RATE_PATTERN, 'a rate such as "100Mbit"', description);
export const duration = (description: string) => pattern(DURATION_PATTERN, 'a duration such as "5ms"', description);
export const percent = (description: string) => pattern(PERCENT_PATTERN, 'a percentage such as "0.1%"', description);
export const rateOrPercent = (description: string) =>
  pattern(`(${RATE_PATTERN})|(${PERCENT_PATTERN})`, 'a rate such as "70Mbit" or a percentage such as "70%"', description);
export const oneOrMany = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Array(schema, { minItems: 1 })]);
export const labels = record(Type.String(), { description: 'Free labels; checks group by them (tenant, role, …).' });
