/** Hands the terminal to a command in a node, wherever the node is; the exit status is the command's. */
import { spawnSync } from 'node:child_process';
import type { LabRecord } from '../rig/labs/journal.ts';
import { LAB_ENV, namespaceOf } from '../rig/labs/names.ts';
import { assignmentOf } from '../rig/labs/assignment.ts';
import { requireRoot } from './root.ts';

/** `network`: in the node's network with the programs of its machine, also where the node is a container. */
export async function enter(
  record: LabRecord,
  node: string,
  command: readonly string[],
  options: { network?: boolean } = {},
): Promise<void> {
  const assignment = assignmentOf(record.assignments, node);
  const namespace = namespaceOf(record.lab, node);
  const marked = ['env', `${LAB_ENV}=${record.lab}`, `NETRIG_NODE=${node}`, ...command];
  // The first process of the container's network is its own first one.
  const argv =
    assignment.container && !options.network
      ? [
          'sh',
          '-c',
          'pid=$(ip netns pids "$1" | head -n 1); shift; exec nsenter --target "$pid" --mount --uts --ipc --net --pid -- "$@"',
          'sh',
          namespace,
          ...marked,
        ]
      : ['ip', 'netns', 'exec', namespace, ...marked];
  if (record.rig !== null) {
    const { findHost, loadRig } = await import('../rig/rigfile.ts');
    const rig = await loadRig(record.rig);
    const host = findHost(rig, assignment.machine);
    if (host.access.kind !== 'local') {
      const { runOnTerminal } = await import('../rig/machines/ssh/terminal.ts');
      process.exitCode = await runOnTerminal(rig, host, argv);
      return;
    }
  }
  requireRoot();
  const [program, ...args] = argv as [string, ...string[]];
  process.exitCode = spawnSync(program, args, { stdio: 'inherit' }).status ?? 1;
}
