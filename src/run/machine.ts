/** What the figures were measured on: hardware, kernel, versions; and how busy it was meanwhile. */
import { until } from '../core/until.ts';
import type { LoadSample, MachineInfo } from '../evidence/records.ts';
import type { FabricCapabilities } from '../fabric/capabilities.ts';
import type { Host } from '../rig/hosts/host.ts';
import type { Machine } from '../rig/machines/machine.ts';

const VERSION_COMMANDS: readonly (readonly [name: string, argv: readonly string[], pattern: RegExp])[] = [
  ['Open vSwitch', ['ovs-vswitchd', '--version'], /\(Open vSwitch\) (\S+)/],
  ['iperf3', ['iperf3', '--version'], /iperf (\S+)/],
  ['tcpdump', ['tcpdump', '--version'], /tcpdump version (\S+)/],
  ['iproute2', ['ip', '-V'], /iproute2-([^,\s]+)/],
  ['nftables', ['nft', '--version'], /nftables v(\S+)/],
];

export async function describeMachine(machine: Machine, capabilities: FabricCapabilities): Promise<MachineInfo> {
  const found = await Promise.all(
    [...VERSION_COMMANDS, ['node', [machine.runtime.node, '--version'], /(v\S+)/] as const].map(async ([name, argv, pattern]) => {
      const result = await machine.exec(argv, { allowFailure: true }).catch(() => undefined);
      return [name, pattern.exec(`${result?.stdout}${result?.stderr}`)?.[1] ?? 'not installed'] as const;
    }),
  );
  const [release, cpuinfo, meminfo] = await Promise.all(
    ['/proc/sys/kernel/osrelease', '/proc/cpuinfo', '/proc/meminfo'].map(async (path) => (await machine.get(path)).toString()) as [
      Promise<string>,
      Promise<string>,
      Promise<string>,
    ],
  );
  return {
    kernel: release.trim(),
    cores: (cpuinfo.match(/^processor\s*:/gm) ?? []).length,
    cpu: /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? 'unknown',
    memoryGiB: Math.round(Number(/^MemTotal:\s*(\d+)/m.exec(meminfo)?.[1] ?? 0) / 2 ** 19) / 2,
    versions: Object.fromEntries(found),
    capabilities,
  };
}

/** Less busy than this, for so many samples: nothing but what will run on runs. */
const QUIET = 0.5;
const QUIET_SAMPLES = 2;

/** A machine over SSH is asked less often: the answer costs it something too. */
const SAMPLE_MS = { here: 200, elsewhere: 2000 } as const;

/** Samples the CPU of every machine until stopped. */
export class LoadSampler {
  readonly #samples: LoadSample[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #machines: string[] = [];

  constructor(machines: Iterable<Machine>, isHere: (machine: Machine) => boolean) {
    for (const machine of machines) this.#watch(machine, isHere(machine) ? SAMPLE_MS.here : SAMPLE_MS.elsewhere);
  }

  #watch(machine: Machine, everyMs: number): void {
    this.#machines.push(machine.name);
    let last: Ticks | undefined;
    let busy = false;
    const sample = async () => {
      if (busy) return; // the answer before is still awaited
      busy = true;
      try {
        const now = await readTicks(machine);
        if (last && now.total > last.total)
          this.#samples.push({
            atMs: Date.now(),
            machine: machine.name,
            busy: Math.round((1 - (now.idle - last.idle) / (now.total - last.total)) * 1000) / 1000,
          });
        last = now;
      } catch {
        /* a lost machine voids the run elsewhere */
      }
      busy = false;
    };
    void sample();
    this.#timers.push(setInterval(() => void sample(), everyMs));
  }

  /** Waits until programs that have just been started are done with starting, at most `timeoutMs`. */
  async untilQuiet(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const fromMs = Date.now();
    const isQuiet = (machine: string) => {
      const own = this.#samples.filter((s) => s.machine === machine && s.atMs > fromMs).slice(-QUIET_SAMPLES);
      return own.length === QUIET_SAMPLES && own.every((s) => s.busy < QUIET);
    };
    await until(() => this.#machines.every(isQuiet), { withinMs: timeoutMs, everyMs: SAMPLE_MS.here, signal });
  }

  get current(): number {
    return this.#samples.at(-1)?.busy ?? 0;
  }

  stop(): readonly LoadSample[] {
    for (const timer of this.#timers) clearInterval(timer);
    return this.#samples;
  }
}

interface Ticks {
  readonly total: number;
  readonly idle: number;
}

async function readTicks(host: Host): Promise<Ticks> {
  const stat = (await host.get('/proc/stat')).toString();
  const fields = (stat.split('\n')[0] as string).trim().split(/\s+/).slice(1, 9).map(Number);
  // user nice system idle iowait irq softirq steal (proc(5)). Waiting for a disk is idle; what runs nice gives way to the lab.
  return { total: fields.reduce((a, b) => a + b, 0), idle: (fields[1] ?? 0) + (fields[3] ?? 0) + (fields[4] ?? 0) };
}
