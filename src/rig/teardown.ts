/** Removes a lab with nothing but its journal: whoever made it may be long dead. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import { isAlive, journalledNamespaces, listLabs, readRecord, removeState, stateDirOf } from './journal.ts';
import { LAB_ENV } from './local.ts';
import { NETNS_DIR, Rig } from './rig.ts';

/** Removes everything the journal names: processes first, then namespaces (and with them links, switches, qdiscs), then files. */
export async function destroyLab(lab: string, options: { force?: boolean } = {}): Promise<void> {
  if (!existsSync(stateDirOf(lab))) throw new NetrigError('LAB_UNKNOWN', `no lab "${lab}" on this machine`, { hint: `labs: ${listLabs().join(', ') || 'none'}` });
  const record = readRecord(lab);
  if (!options.force && record && record.owner.pid !== process.pid && isAlive(record.owner)) {
    throw new NetrigError('LAB_EXISTS', `lab "${lab}" is in use by a running netrig (process ${record.owner.pid})`, { hint: 'stop that run first, or netrig destroy --force' });
  }
  // What still makes namespaces dies first; then nothing can appear behind the list.
  await killLabProcesses(lab, []);
  const namespaces = journalledNamespaces(lab).filter((name) => existsSync(join(NETNS_DIR, name)));
  await killLabProcesses(lab, namespaces);
  if (namespaces.length > 0) {
    // -force: a namespace whose mount was cut short by a crash must not keep the others.
    await Rig.machine().exec(['ip', '-force', '-batch', '-'], { stdin: namespaces.map((name) => `netns del ${name}\n`).join(''), allowFailure: true });
  }
  const left = namespaces.filter((name) => existsSync(join(NETNS_DIR, name)));
  if (left.length > 0) throw new NetrigError('STEP_FAILED', `could not remove the namespaces ${left.join(', ')}`, { hint: 'see what holds them: ip netns pids NAME' });
  removeState(lab);
}

/** Removes a lab on the way out of a failure, whose cause must not be hidden by another. */
export async function removeAfterFailure(ctx: Context, lab: string): Promise<void> {
  await destroyLab(lab, { force: true }).catch((error: unknown) => ctx.events.emit({ type: 'note', level: 'error', text: `clean-up failed: ${(error as Error).message}` }));
}

/** Removes namespaces of capability probes whose process is gone; returns their names. */
export async function sweepProbes(): Promise<string[]> {
  const dead = (existsSync(NETNS_DIR) ? readdirSync(NETNS_DIR) : []).filter((name) => {
    const pid = /^nr\.\+[a-z]+\.(\d+)$/.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
  for (const name of dead) await Rig.machine().exec(['ip', 'netns', 'del', name], { allowFailure: true });
  return dead;
}

async function killLabProcesses(lab: string, namespaces: readonly string[]): Promise<void> {
  const inside = async () => {
    const pids = new Set(taggedProcesses(lab));
    const inodes = new Set(namespaces.flatMap(namespaceInode));
    if (inodes.size > 0) for (const pid of processesIn(inodes)) pids.add(pid);
    pids.delete(process.pid);
    return [...pids];
  };
  const deadline = Date.now() + 5000;
  for (let pids = await inside(); pids.length > 0; pids = await inside()) {
    for (const pid of pids) {
      try { process.kill(pid, 'SIGKILL'); } catch { /* gone already */ }
    }
    if (Date.now() > deadline) throw new NetrigError('TIMEOUT', `processes ${pids.join(', ')} of lab "${lab}" do not end`);
    await sleep(10);
  }
}

const allPids = (): number[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);

export function taggedProcesses(lab: string): number[] {
  const mark = `${LAB_ENV}=${lab}`;
  return allPids().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark) && !isZombie(pid);
    } catch {
      return false;
    }
  });
}

function isZombie(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z';
}

function namespaceInode(name: string): string[] {
  try {
    return [String(statSync(join(NETNS_DIR, name)).ino)];
  } catch {
    return [];
  }
}

function processesIn(inodes: ReadonlySet<string>): number[] {
  return allPids().filter((pid) => {
    try {
      const match = /\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/net`));
      return match !== null && inodes.has(match[1] as string);
    } catch {
      return false;
    }
  });
}
