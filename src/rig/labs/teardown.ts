/** Removes a lab's part on this machine with nothing but its journal: whoever made it may be long dead. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { mapConcurrent, sleep } from '../../core/context.ts';
import { NetrigError } from '../../core/errors.ts';
import { journalled, removeState, stateDirOf, type JournalledContainer } from './journal.ts';
import { LocalHost } from '../hosts/local.ts';
import { LAB_ENV, NETNS_DIR } from './names.ts';
import type { BorrowedNic } from './steps.ts';

/** Processes first, then namespaces (and with them links, switches, qdiscs), then files. Nothing there is no error. */
export async function removeLab(lab: string): Promise<void> {
  if (!existsSync(stateDirOf(lab))) return;
  // What still makes namespaces dies first; then nothing can appear behind the list.
  await killLabProcesses(lab, []);
  const { namespaces: made, borrowed, containers } = journalled(lab);
  await removeContainers(containers);
  const namespaces = made.filter(isNamespace);
  await killLabProcesses(lab, namespaces);
  await giveBack(borrowed);
  if (namespaces.length > 0) {
    // -force: a namespace whose mount was cut short by a crash must not keep the others.
    await new LocalHost().exec(['ip', '-force', '-batch', '-'], {
      stdin: namespaces.map((name) => `netns del ${name}\n`).join(''),
      allowFailure: true,
    });
  }
  const left = namespaces.filter(isNamespace);
  if (left.length > 0)
    throw new NetrigError('STEP_FAILED', `could not remove the namespaces ${left.join(', ')}`, {
      hint: 'see what holds them: ip netns pids NAME',
    });
  removeState(lab);
}

/** Containers that are removed at once: the engine's own work is what takes the time. */
const REMOVALS = 8;

const isNamespace = (name: string): boolean => existsSync(join(NETNS_DIR, name));

async function removeContainers(containers: readonly JournalledContainer[]): Promise<void> {
  if (containers.length === 0) return;
  const { Engine } = await import('../images/docker/engine.ts');
  const engines = new Map(containers.map((c) => [c.engine, new Engine(c.engine)]));
  await mapConcurrent(containers, REMOVALS, async ({ name, engine }) =>
    engines
      .get(engine)
      ?.remove(name)
      .catch((error: unknown) => {
        // No engine to ask: their processes die with their network, and what the engine still knows of them is replaced
        // by the next of that name.
        if (!(error instanceof NetrigError && error.code === 'CAPABILITY_MISSING')) throw error;
      }),
  );
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
