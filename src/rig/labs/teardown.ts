/**
 * Removes a lab's part on this machine with nothing but what is there: its journal, the names of its namespaces, the mark
 * of its processes, the labels of its containers. Whoever made it may be long dead, and its journal damaged or gone.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { mapConcurrent, sleep } from '../../core/context.ts';
import { NetrigError } from '../../core/errors.ts';
import { isName } from '../../core/names.ts';
import { injectFault, journalled, removeState, stateDirOf, type JournalledContainer } from './journal.ts';
import { DEFAULT_ENGINE, ownEngineSocket } from '../images/docker/sockets.ts';
import { LocalHost } from '../hosts/local.ts';
import { LAB_ENV, NETNS_DIR, namespaceOf } from './names.ts';
import type { BorrowedNic } from './steps.ts';

/** Namespaces that a lab of this name has, whoever made them. */
export const namespacesOf = (lab: string): string[] => namespaceNames().filter((name) => name.startsWith(namespaceOf(lab, '')));

/** Labs of which there are namespaces here. */
export const labsByNamespaces = (): string[] =>
  [...new Set(namespaceNames().flatMap((name) => /^nr\.([^.]+)\./.exec(name)?.[1] ?? []))].filter(isName);

/** Whether there is anything to remove, with a record or without one. */
export const isThere = (lab: string): boolean =>
  existsSync(stateDirOf(lab)) || namespacesOf(lab).length > 0 || processesOf(lab, []).length > 0;

/** Processes first, then namespaces (and with them links, switches, qdiscs), then files. Nothing there is no error. */
export async function removeLab(lab: string): Promise<void> {
  // What a dead netrig's steps still make dies first.
  await killLabProcesses(lab, []);
  injectFault('destroy', 1);
  const { isWhole, borrowed, containers } = journalled(lab);
  await removeContainers(lab, containers, isWhole);
  injectFault('destroy', 2);
  let before = Infinity;
  for (let left = namespacesOf(lab); left.length > 0; left = namespacesOf(lab)) {
    if (left.length >= before)
      throw new NetrigError('STEP_FAILED', `could not remove the namespaces ${left.join(', ')}`, {
        hint: 'see what holds them: ip netns pids NAME',
      });
    before = left.length;
    await killLabProcesses(lab, left);
    injectFault('destroy', 3);
    await giveBack(borrowed);
    injectFault('destroy', 4);
    // -force: a namespace whose mount was cut short by a crash must not keep the others.
    await new LocalHost().exec(['ip', '-force', '-batch', '-'], {
      stdin: left.map((name) => `netns del ${name}\n`).join(''),
      allowFailure: true,
    });
    injectFault('destroy', 5);
    await killLabProcesses(lab, []);
  }
  removeState(lab);
}

/** Containers that are removed at once: the engine's own work is what takes the time. */
const REMOVALS = 8;

function namespaceNames(): string[] {
  try {
    return readdirSync(NETNS_DIR);
  } catch {
    return [];
  }
}

/** Those of the journal; where that cannot be read, those too that an engine here has by the label. To ask one may start it. */
async function removeContainers(lab: string, journalled: readonly JournalledContainer[], isWhole: boolean): Promise<void> {
  const others = isWhole ? [] : [DEFAULT_ENGINE, ownEngineSocket()];
  const sockets = [...new Set([...journalled.map((c) => c.engine), ...others])].filter((path) => existsSync(path));
  if (sockets.length === 0) return;
  const { Engine } = await import('../images/docker/engine.ts');
  for (const socket of sockets) {
    const engine = new Engine(socket);
    try {
      const own = journalled.filter((c) => c.engine === socket).map((c) => c.name);
      const names = new Set([...own, ...(isWhole ? [] : await engine.containersOf(lab))]);
      await mapConcurrent([...names], REMOVALS, (name) => engine.remove(name));
    } catch (error) {
      // No engine to ask: their processes die with their network, and what the engine still knows of them is replaced
      // by the next of that name.
      if (!(error instanceof NetrigError && error.code === 'CAPABILITY_MISSING')) throw error;
    }
  }
}

/** NICs of the machine go back under their own name; the kernel would give them back under the one they had in the namespace. */
async function giveBack(borrowed: readonly BorrowedNic[]): Promise<void> {
  for (const { nic, namespace, as } of borrowed) {
    if (!existsSync(join(NETNS_DIR, namespace))) continue;
    await new LocalHost().exec(['ip', '-n', namespace, 'link', 'set', 'dev', as, 'down', 'promisc', 'off', 'name', nic, 'netns', '1'], {
      allowFailure: true,
    });
  }
}

/** Marked with the lab, or in one of these namespaces; not this process. */
function processesOf(lab: string, namespaces: readonly string[]): number[] {
  const pids = new Set(taggedProcesses(lab));
  const inodes = new Set(namespaces.flatMap(namespaceInode));
  if (inodes.size > 0) for (const pid of processesIn(inodes)) pids.add(pid);
  pids.delete(process.pid);
  return [...pids];
}

async function killLabProcesses(lab: string, namespaces: readonly string[]): Promise<void> {
  const deadline = Date.now() + 5000;
  for (let pids = processesOf(lab, namespaces); pids.length > 0; pids = processesOf(lab, namespaces)) {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        /* gone already */
      }
    }
    if (Date.now() > deadline) throw new NetrigError('TIMEOUT', `processes ${pids.join(', ')} of lab "${lab}" do not end`);
    await sleep(10);
  }
}

const allPids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

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
