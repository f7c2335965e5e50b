/** Write-ahead journal of a lab: every step is on disk before it is done, so that a dead netrig can be cleaned up after. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { nullable, opt, record } from '../../core/config/parts.ts';
import { NetrigError } from '../../core/errors.ts';
import { parsed } from '../../core/lightjson.ts';
import { isName } from '../../core/names.ts';
import type { Described } from '../../core/readonly.ts';
import type { Fabric } from '../../topology/model.ts';
import { assignments } from './assignment.ts';
import { borrowedNic, type BorrowedNic, type Step } from './steps.ts';

/** NETRIG_STATE_DIR moves it, for tests and for machines whose /run is special. */
export const stateRoot = (): string =>
  process.env['NETRIG_STATE_DIR'] ??
  (process.getuid?.() === 0 ? '/run/netrig' : join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'netrig'));

/** Never anything but a folder directly below the state root: `destroy` removes it whole. */
export function stateDirOf(lab: string): string {
  if (!isName(lab))
    throw new NetrigError('USAGE', `"${lab}" cannot be the name of a lab`, { hint: `labs: ${listLabs().join(', ') || 'none'}` });
  return join(stateRoot(), lab);
}

const owner = Type.Object({
  pid: Type.Number(),
  /** Clock ticks since boot at the process's start: tells a reused pid apart. */
  startTicks: Type.String(),
});
export type Owner = Described<typeof owner>;

/** Of another version of netrig it may be otherwise in detail, and the lab must still be removed. */
const fabric = Type.Unsafe<Fabric>(Type.Object({ nodes: Type.Array(Type.Object({})), links: Type.Array(Type.Object({})) }));

export const labRecord = Type.Object({
  lab: Type.String(),
  topology: Type.String(),
  createdAt: Type.String(),
  /** On a machine of a rig: the process there that serves the orchestrator. */
  owner,
  fabric,
  assignments,
  /** Path of the rig file; null: this machine alone. */
  rig: nullable(Type.String()),
  /** Tokens of the rig's machines, by name. */
  leases: record(Type.String()),
});
export type LabRecord = Described<typeof labRecord>;

/** What a lab's maker says of it. */
export type LabClaim = Omit<LabRecord, 'owner' | 'createdAt'>;

const container = Type.Object({ name: Type.String(), engine: Type.String() });
export type JournalledContainer = Described<typeof container>;

/** A line of the journal. */
const entry = Type.Object({
  at: Type.Number(),
  title: Type.String(),
  argv: Type.Array(Type.String()),
  namespaces: opt(Type.Array(Type.String())),
  borrows: opt(Type.Array(borrowedNic)),
  container: opt(container),
});
type Entry = Described<typeof entry>;

export class Journal {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Claims the lab's name. The mkdir is the lock: it cannot outlive `destroy`, and a dead owner is visible. */
  static create(claim: LabClaim): Journal {
    const { lab } = claim;
    const dir = stateDirOf(lab);
    mkdirSync(stateRoot(), { recursive: true });
    try {
      mkdirSync(dir);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      const record = readRecord(lab);
      const since = record ? `, deployed ${record.createdAt} from ${record.topology}` : '';
      const alive = record && isAlive(record.owner) ? `, in use by process ${record.owner.pid}` : '';
      throw new NetrigError('LAB_EXISTS', `lab "${lab}" exists already${since}${alive}`, {
        hint: `netrig destroy ${lab}, or --name OTHER`,
      });
    }
    const journal = new Journal(dir);
    const record: LabRecord = { ...claim, createdAt: new Date().toISOString(), owner: ownProcess() };
    writeFileSync(join(dir, 'lab.json'), JSON.stringify(record));
    return journal;
  }

  /** Of a lab that this process has claimed. */
  static of(lab: string): Journal {
    return new Journal(stateDirOf(lab));
  }

  before({ title, argv, namespaces, borrows, container }: Step, engine: string): void {
    const made: Entry = {
      at: Date.now(),
      title,
      argv,
      ...(namespaces ? { namespaces } : {}),
      ...(borrows ? { borrows } : {}),
      ...(container ? { container: { name: container.name, engine } } : {}),
    };
    appendFileSync(join(this.dir, 'journal.jsonl'), `${JSON.stringify(made)}\n`);
    records += 1;
    injectFault('before', records);
  }

  after(): void {
    injectFault('after', records);
  }
}

/** Steps that this process has journalled. */
let records = 0;

/** Fault injection for test/fault: NETRIG_FAULT="before:7" dies by SIGKILL right after record 7 is written. */
function injectFault(edge: 'before' | 'after', record: number): void {
  if (process.env['NETRIG_FAULT'] === `${edge}:${record}`) process.kill(process.pid, 'SIGKILL');
}

/** What the steps of a lab made or took, whether they got that far or not. */
export function journalled(lab: string): { namespaces: string[]; borrowed: BorrowedNic[]; containers: JournalledContainer[] } {
  let text = '';
  try {
    text = readFileSync(join(stateDirOf(lab), 'journal.jsonl'), 'utf8');
  } catch {
    /* it had not begun */
  }
  const namespaces = new Set<string>();
  const borrowed: BorrowedNic[] = [];
  const containers: JournalledContainer[] = [];
  for (const line of text.split('\n')) {
    try {
      const made = parsed(entry, line);
      for (const name of made.namespaces ?? []) namespaces.add(name);
      borrowed.push(...(made.borrows ?? []));
      if (made.container) containers.push(made.container);
    } catch {
      /* the last line of a killed writer */
    }
  }
  return { namespaces: [...namespaces], borrowed, containers };
}

export function listLabs(): string[] {
  try {
    return readdirSync(stateRoot(), { withFileTypes: true })
      .filter((d) => d.isDirectory() && isName(d.name))
      .map((d) => d.name);
  } catch {
    return [];
  }
}

export function readRecord(lab: string): LabRecord | undefined {
  try {
    return parsed(labRecord, readFileSync(join(stateDirOf(lab), 'lab.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

export function removeState(lab: string): void {
  rmSync(stateDirOf(lab), { recursive: true, force: true });
  try {
    rmdirSync(stateRoot());
  } catch {
    /* other labs are there */
  }
}

/** Field 22 of /proc/PID/stat (proc(5)), counted after the command name, which may contain blanks. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

export const ownProcess = (): Owner => ({ pid: process.pid, startTicks: startTicks(process.pid) ?? '' });
export const isAlive = (owner: Owner): boolean => startTicks(owner.pid) === owner.startTicks && owner.startTicks !== '';
