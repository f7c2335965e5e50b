/**
 * Current rates for the progress line: the busiest shaped links, from the counters of their emulation. Only of this
 * machine's: elsewhere a reading is a load of its own.
 */
import { formatRate } from '../core/units.ts';
import { emulationDevices } from '../fabric/links/site.ts';
import type { DeployedLab } from '../rig/deployment/deployed-lab.ts';
import type { EndpointRef, Lab } from '../topology/model.ts';
import { endpointName, isImpaired } from '../topology/lab.ts';

const SHOWN = 3;

export class LinkRates {
  readonly #deployed: DeployedLab;
  /** By machine and device: what it is called to a person. */
  readonly #names = new Map<string, string>();
  readonly #machines = new Set<string>();
  #last = new Map<string, number>();
  #lastMs = 0;

  constructor(deployed: DeployedLab, lab: Lab) {
    this.#deployed = deployed;
    lab.fabric.links.forEach((link, i) => {
      if (!link.impairments.some(isImpaired)) return;
      // What leaves the emulation towards an end is what that end receives.
      emulationDevices(i).forEach((device, side) => {
        const end = link.ends[side] as EndpointRef;
        const carrier = deployed.carrier(end.node);
        if (!carrier.isHere) return;
        const machine = carrier.name;
        this.#machines.add(machine);
        this.#names.set(`${machine}/${device}`, endpointName(end));
      });
    });
  }

  async read(): Promise<string> {
    if (this.#names.size === 0) return '';
    const nowMs = performance.now();
    const current = new Map<string, number>();
    await Promise.all(
      [...this.#machines].map(async (machine) => {
        const { stdout } = await this.#deployed.host({ on: 'links', machine }).exec(['cat', '/proc/net/dev']);
        for (const line of stdout.split('\n')) {
          const match = /^\s*(\S+):\s*(.*)$/.exec(line);
          const key = `${machine}/${match?.[1]}`;
          if (match && this.#names.has(key)) current.set(key, Number((match[2] as string).split(/\s+/)[8]));
        }
      }),
    );
    const seconds = (nowMs - this.#lastMs) / 1000;
    const rates = [...current].map(
      ([device, bytes]) => [this.#names.get(device) as string, ((bytes - (this.#last.get(device) ?? bytes)) * 8) / seconds] as const,
    );
    this.#last = current;
    this.#lastMs = nowMs;
    return rates
      .filter(([, bps]) => bps > 1e5)
      .sort((a, b) => b[1] - a[1])
      .slice(0, SHOWN)
      .map(([name, bps]) => `→${name} ${formatRate(bps)}`)
      .join('  ');
  }
}
