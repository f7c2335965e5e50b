/** What the figures were measured on: hardware, kernel, versions; and how busy it was meanwhile. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { LoadSample, MachineInfo } from '../evidence/cell.ts';
import type { Host } from '../rig/host.ts';

const VERSION_COMMANDS: readonly (readonly [name: string, argv: readonly string[], pattern: RegExp])[] = [
  ['Open vSwitch', ['ovs-vswitchd', '--version'], /\(Open vSwitch\) (\S+)/],
  ['iperf3', ['iperf3', '--version'], /iperf (\S+)/],
  ['tcpdump', ['tcpdump', '--version'], /tcpdump version (\S+)/],
  ['iproute2', ['ip', '-V'], /iproute2-([^,\s]+)/],
  ['nftables', ['nft', '--version'], /nftables v(\S+)/],
];

export async function describeMachine(machine: Host): Promise<MachineInfo> {
  const found = await Promise.all(VERSION_COMMANDS.map(async ([name, argv, pattern]) => {
    const result = await machine.exec(argv, { allowFailure: true }).catch(() => undefined);
    return [name, pattern.exec(`${result?.stdout}${result?.stderr}`)?.[1] ?? 'not installed'] as const;
  }));
  const processors = cpus();
  return {
    kernel: release(), cores: processors.length, cpu: processors[0]?.model ?? 'unknown', memoryGiB: Math.round(totalmem() / 2 ** 30),
    versions: { node: process.version, ...Object.fromEntries(found) },
  };
}

const SAMPLE_MS = 200;

/** Samples /proc/stat until stopped. */
export class LoadSampler {
  readonly samples: LoadSample[] = [];
  #last = readCpuTicks();
  readonly #timer = setInterval(() => this.#sample(), SAMPLE_MS);

  #sample(): void {
    const now = readCpuTicks();
    const total = now.total - this.#last.total;
    if (total > 0) this.samples.push({ atMs: Date.now(), busy: Math.round((1 - (now.idle - this.#last.idle) / total) * 1000) / 1000 });
    this.#last = now;
  }

  get current(): number {
    return this.samples.at(-1)?.busy ?? 0;
  }

  stop(): readonly LoadSample[] {
    clearInterval(this.#timer);
    return this.samples;
  }
}

function readCpuTicks(): { total: number; idle: number } {
  const fields = (readFileSync('/proc/stat', 'utf8').split('\n')[0] as string).trim().split(/\s+/).slice(1, 9).map(Number);
  // user nice system idle iowait irq softirq steal (proc(5)); waiting for a disk is idle.
  return { total: fields.reduce((a, b) => a + b, 0), idle: (fields[3] ?? 0) + (fields[4] ?? 0) };
}
