/** A lab for as long as a bench needs it, with the agents of its systems. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quietContext } from '../src/core/context.ts';
import { destroyDeployedLab } from '../src/rig/deployment/destroy.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import { startAgents } from '../src/run/runner.ts';
import { Testbed } from '../src/run/testbed.ts';
import type { Supervisor } from '../src/systems/supervisor.ts';
import { checksOf } from '../src/systems/registry.ts';
import { parseExperiment } from '../src/topology/load.ts';
import type { Lab } from '../src/topology/model.ts';

/** `agents` null: no system is in it. */
export type Work = (deployed: DeployedLab, lab: Lab, agents: Supervisor | null) => Promise<void>;

export async function withLab(text: string, work: Work): Promise<void> {
  const ctx = quietContext();
  const lab = (await parseExperiment('bench.yaml', text, { checksOf })).cells[0]!;
  const folder = mkdtempSync(join(tmpdir(), 'netrig-bench-'));
  await using testbed = await Testbed.open(ctx, null, { lease: null });
  const deployed = await testbed.deploy(ctx, lab, 'bench');
  try {
    const agents = await startAgents(ctx, deployed, lab, folder);
    try {
      await work(deployed, lab, agents ?? null);
    } finally {
      await agents?.stop();
    }
  } finally {
    await destroyDeployedLab(deployed);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Address of a node's first device. */
export const macOf = (lab: Lab, node: string): string => lab.fabric.nodes.find((n) => n.name === node)!.interfaces[0]!.mac;
