/** Write-ahead journal of a lab: every step is on disk before it is done, so that a dead netrig can be cleaned up after. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { Type } from 'typebox';
import { nullable, opt, record } from '../../core/config/parts.ts';
import { NetrigError } from '../../core/errors.ts';
import { parsed } from '../../core/lightjson.ts';
import { isName } from '../../core/names.ts';
import type { Described } from '../../core/readonly.ts';
import type { Fabric } from '../../topology/model.ts';
import { assignments } from './assignment.ts';
import { borrowedNic, type BorrowedNic, type Step } from './steps.ts';

export const SYSTEM_STATE_ROOT = '/run/netrig';

/** NETRIG_STATE_DIR moves it, for tests and for machines whose /run is special. */
export const stateRoot = (): string =>
  process.env['NETRIG_STATE_DIR'] ??
  (process.getuid?.() === 0 ? SYSTEM_STATE_ROOT : join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'netrig'));

/** Never anything but a folder directly below the state root: `destroy` removes it whole. */
export function stateDirOf(lab: string): string {
  if (!isName(lab))
    throw new NetrigError('USAGE', `"${lab}" cannot be the name of a lab`, { hint: `labs: ${listLabs().join(', ') || 'none'}` });
  return join(stateRoot(), lab);
}

const RECORD = 'lab.json';
/** Of claims that are not made yet; the owner's number, start and boot follow. */
const DRAFT = '+claim.';

const owner = Type.Object({
  pid: Type.Number(),
  /** Clock ticks since boot at the process's start: tells a reused pid apart. */
  startTicks: Type.String(),
  /** Of the machine, when it last started. Absent: an earlier version did not say. */
  boot: opt(Type.String()),
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
  /** Who deployed it. Absent: an earlier version did not say. */
  user: opt(Type.String()),
  /** It is meant to outlive the process that made it. */
  standing: opt(Type.Boolean()),
});
export type LabRecord = Described<typeof labRecord>;

/** What a lab's maker says of it. */
export type LabClaim = Omit<LabRecord, 'owner' | 'createdAt' | 'standing' | 'user'>;

const container = Type.Object({ name: Type.String(), engine: Type.String() });
export type JournalledContainer = Described<typeof container>;

/** A line of the journal. */
const entry = Type.Object({
  at: Type.Number(),
  title: Type.String(),
  argv: Type.Array(Type.String()),
  borrows: opt(Type.Array(borrowedNic)),
  container: opt(container),
});
type Entry = Described<typeof entry>;

export class Journal {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /**
   * Claims the lab's name. The rename of a folder that has its record already is the lock: it takes no folder's place that
   * holds anything, and there is no claim whose owner is not known.
   */
  static create(claim: LabClaim): Journal {
    const dir = stateDirOf(claim.lab);
    mkdirSync(stateRoot(), { recursive: true });
    const { pid, startTicks, boot } = ownProcess();
    const draft = join(stateRoot(), `${DRAFT}${pid}.${startTicks}.${boot}`);
    try {
      mkdirSync(draft, { recursive: true });
      const record: LabRecord = { ...claim, createdAt: new Date().toISOString(), owner: ownProcess(), user: userName() };
      writeFileSync(join(draft, RECORD), JSON.stringify(record));
      renameSync(draft, dir);
    } catch (cause) {
      rmSync(draft, { recursive: true, force: true });
      if (!['EEXIST', 'ENOTEMPTY'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
      throw exists(claim.lab);
    }
    return new Journal(dir);
  }

  /** Of a lab that this process has claimed. */
  static of(lab: string): Journal {
    return new Journal(stateDirOf(lab));
  }

  /** Makes what a process has left this one's own, to remove it. Of several that come only one can; LAB_EXISTS for others. */
  seize(): void {
    const lab = basename(this.dir);
    const record = readRecord(lab);
    if (!record || stateOf(record) === 'in use') throw exists(lab);
    const { pid, startTicks } = record.owner;
    const mark = join(this.dir, `seized.${pid}.${startTicks}`);
    try {
      writeFileSync(mark, '', { flag: 'wx' });
    } catch {
      throw exists(lab);
    }
    // Another may have removed it since it was read, and made a new one.
    const now = readRecord(lab);
    if (now?.owner.pid !== pid || now.owner.startTicks !== startTicks) {
      rmSync(mark, { force: true });
      throw exists(lab);
    }
    this.#rewrite({ ...now, owner: ownProcess(), standing: false });
  }

  /** The lab stays when this process ends. */
  keep(): void {
    const record = readRecord(basename(this.dir));
    if (!record) return;
    this.#rewrite({ ...record, standing: true });
  }

  #rewrite(record: LabRecord): void {
    const draft = join(this.dir, `${RECORD}.new`);
    writeFileSync(draft, JSON.stringify(record));
    renameSync(draft, join(this.dir, RECORD));
  }

  before({ title, argv, borrows, container }: Step, engine: string): void {
    const made: Entry = {
      at: Date.now(),
      title,
      argv,
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

/**
 * Fault injection for test/fault: NETRIG_FAULT="before:7" dies by SIGKILL right after record 7 is written, "destroy:3" at
 * step 3 of a removal.
 */
export function injectFault(edge: 'before' | 'after' | 'destroy', record: number): void {
  if (process.env['NETRIG_FAULT'] === `${edge}:${record}`) process.kill(process.pid, 'SIGKILL');
}

/** What the steps of a lab made or took, whether they got that far or not; and whether all of it can be read. */
export function journalled(lab: string): { isWhole: boolean; borrowed: BorrowedNic[]; containers: JournalledContainer[] } {
  let text = '';
  try {
    text = readFileSync(join(stateDirOf(lab), 'journal.jsonl'), 'utf8');
  } catch {
    /* it had not begun, or is gone */
  }
  const borrowed: BorrowedNic[] = [];
  const containers: JournalledContainer[] = [];
  let isWhole = text !== '';
  for (const line of text.split('\n').filter((l) => l !== '')) {
    try {
      const made = parsed(entry, line);
      borrowed.push(...(made.borrows ?? []));
      if (made.container) containers.push(made.container);
    } catch {
      isWhole = false; // the last line of a killed writer, or damage
    }
  }
  return { isWhole, borrowed, containers };
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
    return parsed(labRecord, readFileSync(join(stateDirOf(lab), RECORD), 'utf8'));
  } catch {
    return undefined;
  }
}

export function removeState(lab: string): void {
  rmSync(stateDirOf(lab), { recursive: true, force: true });
  try {
    for (const name of readdirSync(stateRoot())) {
      const [pid = '', startTicks = '', boot = ''] = name.startsWith(DRAFT) ? name.slice(DRAFT.length).split('.') : [];
      if (pid !== '' && !isAlive({ pid: Number(pid), startTicks, boot })) rmSync(join(stateRoot(), name), { recursive: true, force: true });
    }
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

/** Behind sudo too. */
export const userName = (): string => process.env['SUDO_USER'] ?? userInfo().username;

/** Changes with every start of the machine: numbers and clocks of before mean nothing. */
export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

export const ownProcess = (): Owner => ({ pid: process.pid, startTicks: startTicks(process.pid) ?? '', boot: bootId() });
export const isAlive = ({ pid, startTicks: ticks, boot }: Owner): boolean =>
  ticks !== '' && startTicks(pid) === ticks && (boot === undefined || boot === bootId());

/** in use: its netrig is at work. standing: it was left so. orphaned: its netrig died before it could remove it. */
export type LabState = 'in use' | 'standing' | 'orphaned';
export function stateOf({ owner, standing, user }: LabRecord): LabState {
  if (isAlive(owner)) return 'in use';
  // An earlier version, which named no user, did not tell the two apart.
  return standing === true || user === undefined ? 'standing' : 'orphaned';
}

/** Why the name of a lab cannot be had. */
export function exists(lab: string): NetrigError {
  const record = readRecord(lab);
  const since = record ? `, deployed ${record.createdAt} from ${record.topology}` : '';
  const alive = record && isAlive(record.owner) ? `, in use by process ${record.owner.pid}` : '';
  return new NetrigError('LAB_EXISTS', `lab "${lab}" exists already${since}${alive}`, {
    hint: alive === '' ? `netrig destroy ${lab}, ${record ? '--replace, ' : ''}or --name OTHER` : '--name OTHER deploys beside it',
  });
}
