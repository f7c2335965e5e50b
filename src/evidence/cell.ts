/** The evidence folder: what a run leaves, and the only thing that checks and reports read. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CaptureRecord } from '../capture/live.ts';
import { ONE_CLOCK, type ClockRecord } from '../clocks/samples.ts';
import { NetrigError } from '../core/errors.ts';
import type { LinkMeasurement } from '../fabric/linktest.ts';
import type { Lab } from '../topology/model.ts';
import type { PhaseRecord } from '../traffic/run.ts';

export interface LoadSample {
  /** Epoch milliseconds. */
  readonly atMs: number;
  /** Fraction of all cores that was busy since the sample before. */
  readonly busy: number;
  readonly machine?: string;
}

export interface AgentRecord {
  readonly system: string;
  readonly node: string;
  readonly crashes: readonly { readonly atMs: number; readonly reason: string }[];
  /** Final counters as the agent reported them. */
  readonly counters: Readonly<Record<string, number>>;
  /** Agent's CPU seconds while it ran. */
  readonly cpuSeconds: number;
  /** That carried it; absent: this machine. */
  readonly machine?: string;
  /** Clock of its log minus the one that phases are dated by; absent: the same. */
  readonly clockAheadMs?: number;
  /** It stopped by itself and removed what it had made; if not, the deployment is not used again. */
  readonly clean: boolean;
}

/** An event of the topology, as it happened; offsets within its phase. */
export interface EventRecord {
  readonly what: string;
  readonly plannedUs: number;
  readonly beganUs: number;
  readonly tookUs: number;
  readonly request?: RequestRecord;
}

/** An operation that was asked of a system, and what became of it; null: it was done, or was to be. */
export interface RequestRecord {
  readonly node: string;
  readonly operation: string;
  readonly expected: string | null;
  /** Code of the error that it was refused with. */
  readonly refused: string | null;
  readonly answer: unknown;
}

/** One repeat of one cell. */
export interface CellEvidence {
  readonly lab: Lab;
  readonly repeat: number;
  readonly links: readonly LinkMeasurement[];
  readonly phases: readonly PhaseRecord[];
  readonly captures: readonly CaptureRecord[];
  /** Events by phase. */
  readonly events: Readonly<Record<string, readonly EventRecord[]>>;
  readonly agents: readonly AgentRecord[];
  readonly load: readonly LoadSample[];
  readonly clocks: ClockRecord;
  /** Why nothing may be concluded from this repeat; empty: sound. */
  readonly voided: readonly string[];
  readonly folder: string;
}

export interface RunManifest {
  readonly schema: 'netrig-run-3';
  readonly name: string;
  readonly description: string;
  readonly topology: string;
  readonly command: readonly string[];
  readonly startedAt: string;
  endedAt: string | null;
  /** Repeats that every cell was to have. */
  readonly repeat: number;
  /** Repeats after which figures were to be looked at, where the run went on until they were decided; else null. */
  readonly looks: readonly number[] | null;
  /** Repeats that a cell was to have in the end, where it is more than `repeat`. */
  readonly more: Record<string, number>;
  readonly dimensions: Readonly<Record<string, readonly string[]>>;
  readonly cells: readonly string[];
  /** Name of the rig file's rig; null: this machine alone. */
  readonly rig: string | null;
  readonly machines: Readonly<Record<string, MachineInfo>>;
  /** Set when the run was stopped before its end. */
  stopped: string | null;
}

export interface MachineInfo {
  readonly kernel: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly capabilities: { readonly ovsKernel: boolean; readonly netem: boolean };
}

const FILES = { lab: 'lab.json', links: 'links.json', phases: 'phases.json', captures: 'captures.json', events: 'events.json', agents: 'agents.json', load: 'load.json', clocks: 'clocks.json', voided: 'voided.json' } as const;

export const cellFolder = (results: string, cell: string, repeat: number): string => join(results, 'cells', cell || 'run', `r${repeat}`);

export const unwritable = (path: string, cause: unknown): NetrigError => new NetrigError('RESULTS_UNWRITABLE', `cannot write ${path}: ${(cause as Error).message}`, { cause });

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

/** Repeats that were planned of a cell. */
export const plannedRepeats = ({ repeat, more }: RunManifest, cell: string): number => more[cell] ?? repeat;

async function readJson<T>(path: string): Promise<T> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (cause) {
    throw new NetrigError('RESULTS_UNREADABLE', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

export async function writePart<K extends keyof typeof FILES>(folder: string, part: K, value: CellEvidence[K]): Promise<void> {
  await writeJson(join(folder, FILES[part]), value);
}

export async function readCell(folder: string, repeat: number): Promise<CellEvidence> {
  const part = async <K extends keyof typeof FILES>(name: K, fallback: CellEvidence[K]): Promise<CellEvidence[K]> => {
    const path = join(folder, FILES[name]);
    return existsSync(path) ? readJson<CellEvidence[K]>(path) : fallback;
  };
  const lab = await readJson<Lab>(join(folder, FILES.lab));
  const finished = existsSync(join(folder, FILES.voided));
  return {
    lab, repeat, folder,
    links: await part('links', []), phases: await part('phases', []), captures: await part('captures', []), events: await part('events', {}),
    agents: await part('agents', []), load: await part('load', []), clocks: await part('clocks', ONE_CLOCK),
    voided: finished ? await part('voided', []) : ['the run ended before this repeat was complete'],
  };
}

export const manifestPath = (results: string): string => join(results, 'run.json');

/** How runs were described before cells could have different numbers of repeats. */
type ManifestOfEqualRepeats = Omit<RunManifest, 'schema' | 'looks' | 'more'> & { readonly schema: 'netrig-run-2' };
/** How runs were described before they could use several machines. */
type ManifestOfOneMachine = Omit<ManifestOfEqualRepeats, 'schema' | 'rig' | 'machines'> & { readonly schema: 'netrig-run-1'; readonly machine: Omit<MachineInfo, 'capabilities'>; readonly capabilities: MachineInfo['capabilities'] };

export async function readManifest(results: string): Promise<RunManifest> {
  const found = await readJson<RunManifest | ManifestOfEqualRepeats | ManifestOfOneMachine>(manifestPath(results));
  switch (found.schema) {
    case 'netrig-run-3': return found;
    case 'netrig-run-2': return { ...found, schema: 'netrig-run-3', looks: null, more: {} };
    case 'netrig-run-1': {
      const { machine, capabilities, ...rest } = found;
      return { ...rest, schema: 'netrig-run-3', looks: null, more: {}, rig: null, machines: { local: { ...machine, capabilities } } };
    }
    default: throw new NetrigError('RESULTS_UNREADABLE', `${manifestPath(results)}: unknown schema "${String((found as { schema?: unknown }).schema)}"`, { hint: 'it was written by a newer netrig, or is no results folder' });
  }
}

/** Every repeat that left evidence, per cell, in the order of the manifest. */
export async function readRun(results: string): Promise<{ manifest: RunManifest; cells: ReadonlyMap<string, readonly CellEvidence[]> }> {
  const manifest = await readManifest(results);
  const cells = new Map<string, CellEvidence[]>();
  for (const cell of manifest.cells) {
    const repeats: CellEvidence[] = [];
    for (let repeat = 1; repeat <= plannedRepeats(manifest, cell); repeat++) {
      const folder = cellFolder(results, cell, repeat);
      if (existsSync(join(folder, FILES.lab))) repeats.push(await readCell(folder, repeat));
    }
    cells.set(cell, repeats);
  }
  return { manifest, cells };
}
