/** Runs the command line as a user does, and looks at what the machine is left with. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');
const NETRIG = join(ROOT, 'netrig');

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function netrig(args: readonly string[], env: Readonly<Record<string, string>> = {}, timeoutMs = 120_000): Outcome {
  const { status, signal, stdout, stderr } = spawnSync(NETRIG, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  return { status, signal, stdout, stderr };
}

export function startNetrig(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(NETRIG, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  const until = async (text: string, timeoutMs = 120_000): Promise<void> => {
    const deadline = Date.now() + timeoutMs;
    while (!output.includes(text)) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`never said "${text}":\n${output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { child, exited, until, output: () => output };
}

/** Results folder that a run announced. */
export const resultsOf = (output: string): string => /evidence in (\S+)/.exec(output)?.[1] ?? '';

export function scratch(): { dir: string; file: (name: string, content: string) => string; [Symbol.dispose](): void } {
  const dir = mkdtempSync(join(tmpdir(), 'netrig-test-'));
  return {
    dir,
    file: (name, content) => {
      const path = join(dir, name);
      writeFileSync(path, content);
      return path;
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

const run = (file: string, ...args: string[]): string => execFileSync(file, args, { encoding: 'utf8' });

/** Processes of a lab, by a word of their command line. */
export function labProcesses(lab: string, word = ''): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const own = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`NETRIG_LAB=${lab}`);
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
        return own && command.includes(word) ? [{ pid: Number(pid), command }] : [];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}

const SYSCTLS = [
  'net.ipv4.ip_forward',
  'net.ipv4.tcp_congestion_control',
  'net.core.rmem_max',
  'net.core.wmem_max',
  'net.ipv6.conf.all.forwarding',
  'net.ipv4.conf.all.rp_filter',
];

const entries = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).sort() : []);

/** What netrig has made on the machine: all of it, or what `isOwn` says of a lab, or of what is no lab's ("+engine"). */
function traces(isOwn?: (owner: string) => boolean) {
  const own = (text: string): boolean => !isOwn || isOwn(/nr\.([^.\s]+)/.exec(text)?.[1] ?? '');
  return {
    namespaces: entries('/run/netns').filter(own),
    state: entries('/run/netrig').filter((name) => isOwn?.(name) ?? true),
    mounts: readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes('nr.') && own(line)),
  };
}

/** What labs of these names have left, and what no lab may change. Other labs may stand beside them. */
export const labState = (...labs: readonly string[]): Record<string, unknown> => ({
  ...traces((owner) => labs.includes(owner)),
  processes: labs.flatMap((lab) => labProcesses(lab).map((p) => p.command)),
  ...ownNetwork(),
});

/** What a rig and its lab have left. Other labs may stand beside them. */
export const rigState = (lab: string): Record<string, unknown> => ({
  ...traces((owner) => owner === lab || (owner.startsWith('+') && !['+probe', '+doctor', '+lease'].includes(owner))),
  ...ownNetwork(),
});

/** Everything that any lab could leave on a machine. Only where no other lab is. */
export const machineState = (): Record<string, unknown> => ({ ...traces(), ...ownNetwork() });

/** The machine's own namespace. Counters and clocks are left out. */
function ownNetwork(): Record<string, unknown> {
  return {
    links: (JSON.parse(run('ip', '-j', 'link')) as { ifname: string }[]).map((l) => l.ifname).sort(),
    qdiscs: run('tc', 'qdisc', 'show'),
    sysctls: SYSCTLS.map((name) => readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8')),
    systemOvs: existsSync('/var/run/openvswitch/db.sock')
      ? spawnSync('ovs-vsctl', ['--timeout=2', 'show'], { encoding: 'utf8' }).stdout
      : null,
  };
}

/** Small, but with every kind of thing that a deployment makes: switch, bridge, shaping, delay line. */
// Not judged by load: these are tests of correctness.
export const SMALL_LAB = `
name: NAME
saturation: 100%
topology:
  nodes:
    a:
      exec: ["ip link show"]
    b: { sysctls: { net.ipv4.ip_forward: 1 } }
    sw: { kind: ovs-bridge }
    br: { kind: bridge }
  links:
    - { endpoints: ["a:eth1", "sw:p1"], rate: 50Mbit, delay: 5ms }
    - { endpoints: ["sw:p2", "br:p1"] }
    - { endpoints: ["br:p2", "b:eth1"], rate: 50Mbit }
traffic:
  - phase: transfer
    duration: 3s
    flows: [{ name: transfer, from: a, to: b }]
capture: [{ at: "b:eth1" }]
targets:
  - { name: it flows, kind: invariant, check: reachability, flow: transfer }
`;
export const smallLab = (name: string): string => SMALL_LAB.replace('NAME', name);
