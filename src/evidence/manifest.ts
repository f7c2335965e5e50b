/** What a results folder says of itself: run.json. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { conform } from '../core/json.ts';
import { NOT_AS_WRITTEN, OTHER_VERSION, readJson, unreadable, writeJson } from './parts.ts';
import { MANIFEST_SCHEMA, manifestSchema, type RunManifest } from './records.ts';

const manifestPath = (results: string): string => join(results, 'run.json');

export const writeManifest = (results: string, manifest: RunManifest): Promise<void> => writeJson(manifestPath(results), manifest);

/** RESULTS_UNREADABLE: no results folder, or one of another version. */
export async function readManifest(results: string): Promise<RunManifest> {
  const path = manifestPath(results);
  const found = await readJson(path, Type.Object({ schema: Type.String() }), 'the description of a run');
  if (found.schema !== MANIFEST_SCHEMA)
    throw unreadable(path, `it is of "${found.schema}", and this netrig reads "${MANIFEST_SCHEMA}"`, OTHER_VERSION);
  try {
    return conform(manifestSchema, found, '', MANIFEST_SCHEMA);
  } catch (cause) {
    throw unreadable(path, (cause as Error).message, NOT_AS_WRITTEN, cause);
  }
}

/** Repeats that were planned of a cell. */
export const plannedRepeats = ({ repeat, more }: RunManifest, cell: string): number => more[cell] ?? repeat;
