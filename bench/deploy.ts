/**
 * Whole commands, from the shell to the shell: start-up, and deploy and destroy of N hosts on one Open vSwitch against
 * Mininet doing the same.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mean } from 'simple-statistics';
import { print, seconds, show } from './measure.ts';

const REPEATS = 5;
const ROOT = join(import.meta.dirname, '..');
const NETRIG = join(ROOT, 'netrig');

function command(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${status}\n${stderr}`);
}

function star(hosts: number): string {
  const names = Array.from({ length: hosts }, (_, i) => `h${i}`);
  return `name: bench\ntopology:\n  nodes:\n    sw: { kind: ovs-bridge }\n${names.map((n) => `    ${n}:\n`).join('')}  links:\n${names.map((n) => `    - endpoints: ["${n}:eth0", "sw:${n}"]\n`).join('')}`;
}

export async function benchDeploy(): Promise<void> {
  const hello = join(ROOT, 'topologies/hello.yaml');
  const started = async (...args: string[]) =>
    show(
      await seconds(REPEATS, () => {
        command(NETRIG, ...args);
      }),
      3,
    );
  print(
    ['command', 'time [s]'],
    [
      ['netrig help', await started('help')],
      ['netrig validate hello.yaml', await started('validate', hello)],
    ],
  );

  const mininet = hasMininet();
  const folder = mkdtempSync(join(tmpdir(), 'netrig-bench-'));
  const rows: string[][] = [];
  try {
    for (const hosts of [10, 50, 200]) {
      const topology = join(folder, 'bench.yaml');
      writeFileSync(topology, star(hosts));
      const [own, theirs]: [number[], number[]] = [[], []];
      // In turn, so that both see the machine as it is.
      for (let i = 0; i < REPEATS; i++) {
        own.push(
          ...(await seconds(1, () => {
            command(NETRIG, 'deploy', topology);
            command(NETRIG, 'destroy', 'bench');
          })),
        );
        // Userspace datapath as here, no controller.
        if (mininet)
          theirs.push(
            ...(await seconds(1, () => {
              command('mn', '--topo', `single,${hosts}`, '--switch', 'ovs,datapath=user', '--controller', 'none', '--test', 'none');
            })),
          );
      }
      rows.push([
        String(hosts),
        show(own),
        theirs.length > 0 ? show(theirs) : '–',
        theirs.length > 0 ? (mean(own) / mean(theirs)).toFixed(2) : 'mininet is not there',
      ]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  print(['hosts', 'netrig deploy, linktest, destroy [s]', 'mininet [s]', 'netrig / mininet'], rows);
}

/** Mininet uses the machine's own Open vSwitch, which must run for it. */
function hasMininet(): boolean {
  if (spawnSync('mn', ['--version'], { stdio: 'ignore' }).status !== 0) return false;
  if (spawnSync('ovs-vsctl', ['--timeout=2', 'show'], { stdio: 'ignore' }).status === 0) return true;
  process.stdout.write("mininet needs the machine's Open vSwitch: service openvswitch-switch start\n");
  return false;
}
