/** Deploy and destroy of N hosts on one Open vSwitch, against Mininet doing the same (userspace datapath, no controller). */
import { spawnSync } from 'node:child_process';
import { quietContext } from '../src/core/context.ts';
import { destroyDeployedLab } from '../src/rig/deployment/destroy.ts';
import { Testbed } from '../src/run/testbed.ts';
import { measureLinks } from '../src/run/runner.ts';
import { parseExperiment } from '../src/topology/load.ts';
import type { Lab } from '../src/topology/model.ts';
import { print, seconds, show } from './measure.ts';
import { checksOf } from '../src/systems/registry.ts';

const REPEATS = 3;

async function star(hosts: number): Promise<Lab> {
  const names = Array.from({ length: hosts }, (_, i) => `h${i}`);
  const text = `name: bench\ntopology:\n  nodes:\n    sw: { kind: ovs-bridge }\n${names.map((n) => `    ${n}:\n`).join('')}  links:\n${names.map((n) => `    - endpoints: ["${n}:eth0", "sw:${n}"]\n`).join('')}`;
  return (await parseExperiment('bench.yaml', text, { checksOf })).cells[0] as Lab;
}

export async function benchDeploy(): Promise<void> {
  const ctx = quietContext();
  await using testbed = await Testbed.open(ctx, null, { lease: null });
  const mininet = prepareMininet();
  const rows: string[][] = [];
  for (const hosts of [50, 200]) {
    const lab = await star(hosts);
    const own = await seconds(REPEATS, async () => {
      await destroyDeployedLab(await testbed.deploy(ctx, lab, 'bench'));
    });
    const deployed = await testbed.deploy(ctx, lab, 'bench');
    const linktest = await seconds(1, () => measureLinks(ctx, deployed, lab));
    await destroyDeployedLab(deployed);
    // A whole command from the shell, Node's start included, as Mininet's time includes Python's.
    const theirs = mininet ? await seconds(REPEATS, () => spawnSync('mn', ['--topo', `single,${hosts}`, '--switch', 'ovs,datapath=user', '--controller', 'none', '--test', 'none'], { stdio: 'ignore' })) : [];
    const ratio = theirs.length > 0 ? `1/${(mean(theirs) / mean(own)).toFixed(1)}` : 'mininet is not there';
    rows.push([String(hosts), show(own), theirs.length > 0 ? show(theirs) : '–', ratio, show(linktest)]);
  }
  print(['hosts', 'netrig [s]', 'mininet [s]', 'ratio', 'linktest of all links [s]'], rows);
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mininet uses the machine's own Open vSwitch, which must run for it. */
function prepareMininet(): boolean {
  if (spawnSync('mn', ['--version'], { stdio: 'ignore' }).status !== 0) return false;
  if (spawnSync('ovs-vsctl', ['--timeout=2', 'show'], { stdio: 'ignore' }).status === 0) return true;
  process.stdout.write('mininet needs the machine\'s Open vSwitch: service openvswitch-switch start\n');
  return false;
}
