/** The files of a repeat: each holds one part of the evidence, under the version of its schema. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Type, type Static, type TSchema } from 'typebox';
import { conform, parseJson } from '../core/json.ts';
import { NetrigError } from '../core/errors.ts';
import type { DeepReadonly } from '../core/readonly.ts';
import { labSchema } from '../topology/model.ts';
import {
  agentsSchema,
  capturesSchema,
  clocksSchema,
  eventsSchema,
  linksSchema,
  loadSchema,
  phasesSchema,
  voidedSchema,
} from './records.ts';

const part = <S extends TSchema>(version: number, schema: S) => ({ version, schema });

export const PARTS = {
  /** The cell as planned: nodes, links, systems, flows, events, targets. */
  lab: part(1, labSchema),
  links: part(1, linksSchema),
  phases: part(1, phasesSchema),
  captures: part(1, capturesSchema),
  events: part(1, eventsSchema),
  agents: part(1, agentsSchema),
  load: part(1, loadSchema),
  clocks: part(1, clocksSchema),
  /** Written last: its presence says that the repeat is whole. */
  voided: part(1, voidedSchema),
} as const;
export type PartName = keyof typeof PARTS;
export type Part<K extends PartName> = DeepReadonly<Static<(typeof PARTS)[K]['schema']>>;

/** {"schema": "netrig-phases-1", "data": …} */
const envelope = Type.Object({ schema: Type.String(), data: Type.Unknown() });
const schemaName = (name: PartName): string => `netrig-${name}-${PARTS[name].version}`;

export const partPath = (folder: string, name: PartName): string => join(folder, `${name}.json`);

export async function writePart<K extends PartName>(folder: string, name: K, data: Part<K>): Promise<void> {
  await writeJson(partPath(folder, name), { schema: schemaName(name), data });
}

/** RESULTS_UNREADABLE: there is none, it is of another version, or not what its schema describes. */
export async function readPart<K extends PartName>(folder: string, name: K): Promise<Part<K>> {
  const path = partPath(folder, name);
  const { schema, data } = await readJson(path, envelope, 'a part of a run, {"schema": …, "data": …}');
  if (schema !== schemaName(name))
    throw unreadable(path, `it is of "${schema}", and this netrig reads "${schemaName(name)}"`, OTHER_VERSION);
  try {
    return conform(PARTS[name].schema, data, '/data', schemaName(name)) as Part<K>;
  } catch (cause) {
    throw unreadable(path, (cause as Error).message, NOT_AS_WRITTEN, cause);
  }
}

export const OTHER_VERSION = 'its report.html stays readable; only the netrig that wrote the folder can judge it again';
export const NOT_AS_WRITTEN = 'the file was changed or damaged after it was written';

export const unreadable = (path: string, why: string, hint: string, cause?: unknown): NetrigError =>
  new NetrigError('RESULTS_UNREADABLE', `cannot read ${path}: ${why}`, { hint, cause });
export const unwritable = (path: string, cause: unknown): NetrigError =>
  new NetrigError('RESULTS_UNWRITABLE', `cannot write ${path}: ${(cause as Error).message}`, { cause });

export async function writeJson(path: string, value: unknown): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    // Renamed into place: a kill in the middle leaves the old file or none, never half of one.
    await writeFile(`${path}.part`, `${JSON.stringify(value)}\n`);
    await rename(`${path}.part`, path);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** `what`: in words, for a file that is something else. */
export async function readJson<S extends TSchema>(path: string, schema: S, what: string): Promise<DeepReadonly<Static<S>>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw unreadable(path, (cause as Error).message, 'is this a results folder, or a part of one?', cause);
  }
  try {
    return parseJson(schema, text);
  } catch (cause) {
    throw unreadable(path, `expected ${what}: ${(cause as Error).message}`, NOT_AS_WRITTEN, cause);
  }
}
