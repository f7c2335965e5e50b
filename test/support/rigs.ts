/** Rigs of virtual machines and containers for tests: up, faults in them, down. */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { netrig, ROOT, type Outcome } from './netrig.ts';

const has = (program: string): boolean =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .concat('/usr/sbin', '/sbin')
    .some((dir) => existsSync(join(dir, program)));
const canMakeTaps = (): boolean => {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
};

/** Why this machine cannot run virtual machines; undefined: it can. */
export function vmsImpossible(): string | undefined {
  const missing = ['qemu-system-x86_64', 'mmdebstrap', 'mksquashfs', 'cpio'].filter((p) => !has(p));
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (lab/setup.sh --with-rigs)`;
  return canMakeTaps() ? undefined : '/dev/net/tun is not there: no wires for virtual machines';
}

export function containersImpossible(): string | undefined {
  const missing = ['dockerd', 'mmdebstrap'].filter((p) => !has(p));
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (lab/setup.sh --with-rigs)`;
  return existsSync('/sys/fs/cgroup') ? undefined : 'no cgroups: no containers';
}

export interface TestRig {
  readonly file: string;
  /** Runs a script in a virtual machine, by the system's ssh: not by what is under test. */
  on(vm: string, script: string, input?: Buffer): { status: number | null; stdout: string; stderr: string };
  /** Starts one and goes on. */
  start(vm: string, script: string): ReturnType<typeof spawn>;
  pid(vm: string): number;
  sharedPage(vm: string): string;
  up(): Outcome;
  down(): Outcome;
}

/** A copy of a rig file that comes with netrig, under another name. */
export function testRig(dir: string, base: string, name: string, change: (text: string) => string = (text) => text): TestRig {
  const file = join(dir, `${name}.yaml`);
  writeFileSync(file, change(readFileSync(join(ROOT, `lab/rigs/${base}.yaml`), 'utf8')).replace(/^name: .*$/m, `name: ${name}`));
  const state = () =>
    JSON.parse(readFileSync(`/run/netrig/+rigs/${name}/rig.json`, 'utf8')) as {
      keyFile: string;
      vms: Record<string, { address: string; hostKey: string; dir: string; sharedPage: string | null }>;
    };
  const ssh = (vm: string, script: string): string[] => {
    const { keyFile, vms } = state();
    const { address, hostKey, dir: own } = vms[vm] as { address: string; hostKey: string; dir: string };
    writeFileSync(join(own, 'known_hosts'), `${address} ${hostKey}\n`);
    return [
      '-i',
      keyFile,
      '-o',
      `UserKnownHostsFile=${join(own, 'known_hosts')}`,
      '-o',
      'BatchMode=yes',
      '-o',
      'LogLevel=ERROR',
      '-o',
      'ConnectTimeout=20',
      `root@${address}`,
      script,
    ];
  };
  return {
    file,
    on: (vm, script, input) => spawnSync('ssh', ssh(vm, script), { encoding: 'utf8', timeout: 60_000, ...(input ? { input } : {}) }),
    start: (vm, script) => spawn('ssh', ssh(vm, script), { stdio: 'ignore' }),
    pid: (vm) => Number(readFileSync(join((state().vms[vm] as { dir: string }).dir, 'pid'), 'utf8')),
    sharedPage: (vm) => (state().vms[vm] as { sharedPage: string }).sharedPage,
    up: () => netrig(['rig', 'up', file], {}, 600_000),
    down: () => netrig(['rig', 'down', file], {}, 60_000),
  };
}

/** Two hosts on two machines behind a switch, short; `extra` is added to the file. */
export const spreadLab = (name: string, seconds: number, extra = ''): string => `
name: ${name}
saturation: 100%
topology:
  nodes:
    a: { place: { rack: left } }
    sw: { kind: ovs-bridge, place: { rack: left } }
    b: { place: { rack: right } }
  links:
    - { endpoints: ["a:eth1", "sw:p1"], rate: 2Mbit, delay: 20ms }
    - { endpoints: ["b:eth1", "sw:p2"] }
traffic:
  - phase: transfer
    duration: ${seconds}s
    flows: [{ name: transfer, from: a, to: b, tool: mgen, rate: 1Mbit }]
capture: [{ at: "b:eth1" }]
targets:
  - { name: it flows, check: rate, flow: transfer, at-least: 500kbit }
${extra}`;

export interface ReportVerdict {
  readonly cell: string;
  readonly target: string;
  readonly outcome: 'pass' | 'fail' | 'inconclusive';
  readonly control: boolean;
  readonly reason: string | null;
  readonly measured: string;
}

export function verdictsOf(output: string): ReportVerdict[] {
  const report = /report: (\S+)/.exec(output)?.[1] ?? '';
  return (JSON.parse(readFileSync(join(report, '../report.json'), 'utf8')) as { verdicts: ReportVerdict[] }).verdicts;
}
