/** Namespaces in which it is tried out what a machine can do. They are of no lab, and of one process. */
import { existsSync, readdirSync } from 'node:fs';
import { LocalHost } from '../hosts/local.ts';
import { isAlive, ownProcess } from './journal.ts';
import { NETNS_DIR } from './names.ts';

/**
 * Its name has the process's number and start: a number comes again, and the namespace of one that was killed may be there
 * still.
 */
export function probeNamespace(purpose: 'probe' | 'doctor'): string {
  const { pid, startTicks } = ownProcess();
  return `nr.+${purpose}.${pid}.${startTicks}`;
}

/** Removes those whose process is gone; returns their names. */
export async function sweepProbes(): Promise<string[]> {
  const dead = (existsSync(NETNS_DIR) ? readdirSync(NETNS_DIR) : []).filter((name) => {
    const [, pid, startTicks = ''] = /^nr\.\+(?:probe|doctor)\.(\d+)(?:\.(\d+))?$/.exec(name) ?? [];
    return pid !== undefined && !isAlive({ pid: Number(pid), startTicks });
  });
  for (const name of dead) await new LocalHost().exec(['ip', 'netns', 'del', name], { allowFailure: true });
  return dead;
}
