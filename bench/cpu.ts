/** What CPU was spent on, of this machine: namespaces of a lab are its own processes. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Host } from '../src/rig/hosts/host.ts';

const TICK_MS = 10;

/** Of all cores, milliseconds. */
export function busyMs(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.split(/\s+/).slice(1).map(Number);
  return ((user ?? 0) + (nice ?? 0) + (system ?? 0) + (irq ?? 0) + (softirq ?? 0)) * TICK_MS;
}

/** Processes that are in the network namespace of a node. */
export async function processesOf(node: Host): Promise<string[]> {
  const network = (await node.exec(['readlink', '/proc/self/ns/net'])).stdout.trim();
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && gone(() => readlinkSync(`/proc/${pid}/ns/net`)) === network);
}

/** User and system time of processes, milliseconds. */
export const spentMs = (pids: readonly string[]): number =>
  pids.reduce((sum, pid) => {
    const stat = gone(() => readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? '';
    // proc(5): utime and stime are fields 14 and 15; the command in brackets may hold blanks.
    const [utime, stime] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number);
    return sum + ((utime ?? 0) + (stime ?? 0)) * TICK_MS;
  }, 0);

/** Time in programs for the kernel that processes hold, nanoseconds; the kernel counts it while kernel.bpf_stats_enabled is set. */
export function programNs(pids: readonly string[]): number {
  const seen = new Map<string, number>();
  for (const pid of pids)
    for (const fd of gone(() => readdirSync(`/proc/${pid}/fdinfo`)) ?? []) {
      const info = gone(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '';
      const [id, ns] = [/^prog_id:\s+(\d+)$/m.exec(info)?.[1], /^run_time_ns:\s+(\d+)$/m.exec(info)?.[1]];
      if (id !== undefined && ns !== undefined) seen.set(id, Number(ns));
    }
  return [...seen.values()].reduce((sum, ns) => sum + ns, 0);
}

/** undefined: the process has ended meanwhile. */
function gone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
