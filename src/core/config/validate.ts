/** ajv against a schema, with its errors turned into sentences a person can act on. */
import type { ErrorObject, ValidateFunction } from 'ajv';
import { closest, distance } from 'fastest-levenshtein';
import type { TSchema } from 'typebox';
import { compile } from './compile.ts';
import { MAX_PROBLEMS, type Path, type Problem } from './problems.ts';

/** More than are shown, since an error has parts. */
const MAX_ERRORS = 10 * MAX_PROBLEMS;

const compiled = new WeakMap<TSchema, ValidateFunction>();

/** What is wrong with a value; empty: it is what the schema describes. `name`: under which the schema was compiled beforehand. */
export function problemsOf(schema: TSchema, value: unknown, name?: string): Problem[] {
  let validate = compiled.get(schema);
  if (!validate) compiled.set(schema, (validate = compile(schema, name)));
  return validate(value) ? [] : explain((validate.errors ?? []).slice(0, MAX_ERRORS), value);
}

/** Longer words are no slips of the pen, and of more candidates each costs its time for every problem. */
const MAX_WORD = 64;
const MAX_CANDIDATES = 256;

export function suggest(word: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0 || candidates.length > MAX_CANDIDATES || word.length > MAX_WORD) return undefined;
  const best = closest(word, [...candidates]);
  return distance(word, best) <= Math.max(2, word.length / 3) ? best : undefined;
}

/** As many as somebody reads. */
const MAX_LISTED = 20;

/** "a, b, c", or the first of many. */
export const listed = (names: readonly string[]): string =>
  names.length <= MAX_LISTED ? names.join(', ') : `${names.slice(0, MAX_LISTED).join(', ')}, … (${names.length} in all)`;

function toPath(pointer: string, root: unknown): Path {
  const path: (string | number)[] = [];
  let value = root;
  for (const raw of pointer.split('/').slice(1)) {
    const key = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    const step = Array.isArray(value) ? Number(key) : key;
    path.push(step);
    value = (value as Record<string | number, unknown> | undefined)?.[step];
  }
  return path;
}

function explain(errors: readonly ErrorObject[], root: unknown): Problem[] {
  const dropped = new Set<ErrorObject>();
  const replaced: Problem[] = [];
  // Outermost unions first: what they drop needs no explanation of its own.
  const unions = errors.filter((e) => e.keyword === 'anyOf').sort((a, b) => a.instancePath.length - b.instancePath.length);
  for (const union of unions) {
    if (dropped.has(union)) continue;
    const inside = errors.filter(
      (e) => e !== union && e.schemaPath.startsWith(`${union.schemaPath}/`) && e.instancePath.startsWith(union.instancePath),
    );
    const branches = Map.groupBy(inside, (e) => e.schemaPath.slice(union.schemaPath.length + 1).split('/')[0]);
    const plausible = [...branches.values()].filter((branch) => !branch.some((e) => excludes(e, union)));
    dropped.add(union);
    const only = plausible.length === 1 ? plausible[0] : undefined;
    for (const e of inside) if (!only?.includes(e)) dropped.add(e);
    if (!only)
      replaced.push({ path: toPath(union.instancePath, root), message: `expected ${describeUnion(union)}, found ${show(union.data)}` });
  }
  const plain = errors.filter((e) => !dropped.has(e)).map((e) => sentence(e, root));
  return [...plain, ...replaced];
}

/** The branch is not the one that was meant: another type, or another discriminating constant. */
function excludes(error: ErrorObject, union: ErrorObject): boolean {
  if (error.instancePath === union.instancePath)
    return error.keyword === 'type' || error.keyword === 'const' || error.keyword === 'pattern';
  return (
    (error.keyword === 'const' || error.keyword === 'not') && error.instancePath.slice(union.instancePath.length).split('/').length === 2
  );
}

interface Describable {
  expectation?: string;
  const?: unknown;
  enum?: unknown[];
  type?: string;
  anyOf?: Describable[];
  properties?: Record<string, Describable>;
  /** What the keys of a mapping must be. */
  keys?: string;
}

function describeUnion(union: ErrorObject): string {
  const branches = union.schema as Describable[];
  const tags = branches.map((b) => b.properties?.['check']?.const).filter((t) => typeof t === 'string');
  if (tags.length > 0) return `a target whose "check" is one of ${tags.join(', ')}`;
  return [...new Set(branches.map(describe))].join(' or ');
}

function describe(schema: Describable): string {
  if (schema.expectation) return schema.expectation;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map(String).join(' | ');
  if (schema.anyOf) return [...new Set(schema.anyOf.map(describe))].join(' or ');
  const names: Record<string, string> = {
    object: 'a mapping',
    array: 'a list',
    string: 'a text',
    integer: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
    null: 'nothing',
  };
  return names[schema.type ?? ''] ?? 'something else';
}

export function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function sentence(error: ErrorObject, root: unknown): Problem {
  const path = toPath(error.instancePath, root);
  const schema = error.parentSchema as Describable;
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params['additionalProperty']);
      if (schema.keys !== undefined) return { path: [...path, key], atKey: true, message: `expected ${schema.keys}, found ${show(key)}` };
      const known = Object.keys(schema.properties ?? {});
      const near = suggest(key, known);
      return {
        path: [...path, key],
        atKey: true,
        message: `unknown key "${key}"`,
        hint: near ? `did you mean "${near}"?` : known.length > 0 ? `known here: ${known.join(', ')}` : 'nothing is known here',
      };
    }
    case 'required':
      return { path, message: `missing key "${String(error.params['missingProperty'])}"` };
    case 'enum': {
      const values = (schema.enum ?? []).map(String);
      const near = suggest(String(error.data), values);
      return {
        path,
        message: `expected one of ${values.join(', ')}, found ${show(error.data)}`,
        ...(near ? { hint: `did you mean "${near}"?` } : {}),
      };
    }
    case 'pattern':
      return { path, message: `expected ${describe(schema)}, found ${show(error.data)}` };
    case 'type':
      return { path, message: `expected ${describe(schema)}, found ${show(error.data)}` };
    default:
      return { path, message: `${error.message ?? 'invalid'} (found ${show(error.data)})` };
  }
}
