/** Current rates for the progress line: the busiest shaped links, from the counters of their wires. */
import { formatRate } from '../core/units.ts';
import { wireDevices } from '../fabric/plan.ts';
import type { Rig } from '../rig/rig.ts';
import { endpointName, isImpaired, type Lab } from '../topology/model.ts';

const SHOWN = 3;

export class WireRates {
  readonly #rig: Rig;
  readonly #names = new Map<string, string>();
  #last = new Map<string, number>();
  #lastMs = 0;

  constructor(rig: Rig, lab: Lab) {
    this.#rig = rig;
    lab.fabric.links.forEach((link, i) => {
      if (!link.impairments.some(isImpaired)) return;
      const [a, b] = wireDevices(i);
      // What leaves the wire towards an end is what that end receives.
      this.#names.set(a, endpointName(link.ends[0]));
      this.#names.set(b, endpointName(link.ends[1]));
    });
  }

  async read(): Promise<string> {
    if (this.#names.size === 0) return '';
    const { stdout } = await this.#rig.host({ on: 'wires' }).exec(['cat', '/proc/net/dev']);
    const nowMs = performance.now();
    const current = new Map<string, number>();
    for (const line of stdout.split('\n')) {
      const match = /^\s*(\S+):\s*(.*)$/.exec(line);
      if (match && this.#names.has(match[1] as string)) current.set(match[1] as string, Number((match[2] as string).split(/\s+/)[8]));
    }
    const seconds = (nowMs - this.#lastMs) / 1000;
    const rates = [...current].map(([device, bytes]) => [this.#names.get(device) as string, ((bytes - (this.#last.get(device) ?? bytes)) * 8) / seconds] as const);
    this.#last = current;
    this.#lastMs = nowMs;
    return rates.filter(([, bps]) => bps > 1e5).sort((a, b) => b[1] - a[1]).slice(0, SHOWN).map(([name, bps]) => `→${name} ${formatRate(bps)}`).join('  ');
  }
}
