/** The evidence folder: what a run leaves, and the only thing that checks and reports read. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { plannedRepeats, readManifest } from './manifest.ts';
import { partPath, readPart, type Part, type PartName } from './parts.ts';
import type { ClockRecord, RunManifest } from './records.ts';

/** One repeat of one cell. */
export type CellEvidence = { readonly [K in PartName]: Part<K> } & { readonly repeat: number; readonly folder: string };

/** All nodes are on one machine. */
export const ONE_CLOCK: ClockRecord = { reference: null, sync: 'one kernel', maxOffsetUs: null, samples: [] };

export const cellFolder = (results: string, cell: string, repeat: number): string => join(results, 'cells', cell || 'run', `r${repeat}`);

/** Of a repeat that was cut short, the parts that were written; it is voided. */
export async function readCell(folder: string, repeat: number): Promise<CellEvidence> {
  const part = <K extends PartName>(name: K, otherwise: Part<K>): Promise<Part<K>> =>
    existsSync(partPath(folder, name)) ? readPart(folder, name) : Promise.resolve(otherwise);
  return {
    repeat,
    folder,
    lab: await readPart(folder, 'lab'),
    links: await part('links', []),
    phases: await part('phases', []),
    captures: await part('captures', []),
    events: await part('events', {}),
    agents: await part('agents', []),
    load: await part('load', []),
    clocks: await part('clocks', ONE_CLOCK),
    voided: await part('voided', ['the run ended before this repeat was complete']),
  };
}

/** Every repeat that left evidence, per cell, in the order of the manifest. */
export async function readRun(results: string): Promise<{ manifest: RunManifest; cells: ReadonlyMap<string, readonly CellEvidence[]> }> {
  const manifest = await readManifest(results);
  const cells = new Map<string, CellEvidence[]>();
  for (const cell of manifest.cells) {
    const repeats: CellEvidence[] = [];
    for (let repeat = 1; repeat <= plannedRepeats(manifest, cell); repeat++) {
      const folder = cellFolder(results, cell, repeat);
      if (existsSync(partPath(folder, 'lab'))) repeats.push(await readCell(folder, repeat));
    }
    cells.set(cell, repeats);
  }
  return { manifest, cells };
}
