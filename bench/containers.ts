/** Deploy and destroy of ten containers, against the bare engine starting and removing the same ones. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { mapConcurrent, quietContext } from '../src/core/context.ts';
import { destroyDeployedLab } from '../src/rig/deployment/destroy.ts';
import { NODE_IMAGE } from '../src/rig/images/docker/image.ts';
import { ownEngineSocket } from '../src/rig/images/docker/sockets.ts';
import { loadRig } from '../src/rig/rigfile.ts';
import { Testbed } from '../src/run/testbed.ts';
import { parseExperiment } from '../src/topology/load.ts';
import type { Lab } from '../src/topology/model.ts';
import { containersImpossible, testRig } from '../test/support/rigs.ts';
import { print, seconds, show } from './measure.ts';
import { checksOf } from '../src/systems/registry.ts';

const CONTAINERS = 10;
const ROUNDS = 5;
/** As many at once as netrig starts: the comparison is of what is done, not of how hard the engine is pushed. */
const AT_ONCE = { start: 4, remove: 8 };

export async function benchContainers(): Promise<void> {
  const impossible = containersImpossible();
  if (impossible) {
    process.stdout.write(`containers cannot run here: ${impossible}\n`);
    return;
  }
  const dir = mkdtempSync(join(tmpdir(), 'netrig-bench-'));
  const rig = testRig(dir, 'containers', 'bench-containers');
  try {
    const { status, stderr } = rig.up();
    if (status !== 0) throw new Error(stderr);
    const names = Array.from({ length: CONTAINERS }, (_, i) => `c${i}`);
    const text = `name: bench\ntopology:\n  nodes:\n    sw: { kind: bridge }\n${names.map((n) => `    ${n}:\n`).join('')}  links:\n${names.map((n) => `    - endpoints: ["${n}:eth0", "sw:${n}"]\n`).join('')}`;
    const lab = (await parseExperiment('bench.yaml', text, { checksOf })).cells[0] as Lab;
    const ctx = quietContext();
    const docker = new Docker({ socketPath: ownEngineSocket() });
    await using testbed = await Testbed.open(ctx, await loadRig(rig.file), { lease: { purpose: 'bench', waitMs: 0 } });
    const ours: number[] = [];
    const bare: number[] = [];
    // In turn, so that what else the machine does befalls both.
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(
        ...(await seconds(1, async () => {
          await destroyDeployedLab(await testbed.deploy(ctx, lab, 'bench'));
        })),
      );
      bare.push(
        ...(await seconds(1, async () => {
          const made = await mapConcurrent(names, AT_ONCE.start, async (name) => {
            const container = await docker.createContainer({
              name: `bare-${name}`,
              Image: NODE_IMAGE,
              Cmd: ['sleep', 'infinity'],
              HostConfig: { NetworkMode: 'none', Init: true, CapAdd: ['NET_ADMIN', 'SYS_NICE'] },
            });
            await container.start();
            return container;
          });
          await mapConcurrent(made, AT_ONCE.remove, (container) => container.remove({ force: true, v: true }));
        })),
      );
    }
    const ratios = ours.map((o, i) => o / (bare[i] as number));
    print(
      ['containers', 'netrig, with a bridge and ten links [s]', 'bare engine [s]', 'ratio'],
      [[String(CONTAINERS), show(ours), show(bare), show(ratios)]],
    );
  } finally {
    rig.down();
    rmSync(dir, { recursive: true, force: true });
  }
}
