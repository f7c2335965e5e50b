/** Section of a report: which backends of balancers took new connections, over time (R2-25, R2-26). From captures at the backends. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { expandAll } from '../../../src/core/config/ranges.ts';
import { isIn } from '../../../src/evidence/phases.ts';
import { sharePoints, sharesOverTime } from '../../../src/report/charts.ts';
import { key, raw } from '../../../src/report/page.ts';
import { marksOf, type Part } from '../../../src/report/parts.ts';
import { ROUTER_ADDRESS } from '../host/tables.ts';
import { framesAt } from './frames.ts';
import { meshConfigOf } from './places.ts';

const STEPS = 50;

interface Taken {
  readonly part: Part;
  readonly address: string;
  readonly begun: readonly { readonly atUs: number; readonly series: string }[];
}

export function shared(parts: readonly Part[]): VNode | null {
  const taken = parts.flatMap(takenIn);
  if (taken.length === 0) return null;
  const backends = [...new Set(taken.flatMap((t) => t.begun.map((b) => b.series)))].sort();
  return html`<section><h2>Connections of balancers</h2>
    <p class="soft">New connections from machines, by the backend that they came to; first repeat. Dashed: events.</p>
    ${key(backends)}
    ${taken.map(({ part, address, begun }) => {
      const step = part.phase.durationUs / 1e6 / STEPS;
      const title = `${part.name}: ${address}`;
      const marks = marksOf(part, ({ action }) => action.kind !== 'request');
      const chart = { what: 'new connections', description: `Shares of backends over time, ${title}` };
      return html`<figure><figcaption>${title}</figcaption>${raw(sharesOverTime(sharePoints(begun, step), backends, marks, step, chart))}</figure>`;
    })}</section>`;
}

function takenIn(part: Part): Taken[] {
  const { evidence, phase } = part;
  const config = meshConfigOf(evidence.lab);
  const machines = new Set(Object.values(config?.networks ?? {}).flatMap((n) => expandAll(n.endpoints)));
  const addresses = Object.values(config?.networks ?? {}).flatMap((n) => Object.values(n.balancers ?? {}).map((b) => b.address));
  return addresses.flatMap((address) => {
    const begun = evidence.captures.flatMap(({ at }) => {
      const [series = ''] = at.split(':');
      const frames = machines.has(series) ? framesAt(evidence, at, phase) : [];
      // Hosts that ask whether it lives are no machines.
      const isOne = (f: Exclude<typeof frames, string>[number]): boolean =>
        f.begins && f.destination === address && f.source !== ROUTER_ADDRESS;
      return typeof frames === 'string'
        ? []
        : frames
            .filter(isIn(phase))
            .filter(isOne)
            .map(({ atUs }) => ({ atUs, series }));
    });
    return begun.length === 0 ? [] : [{ part, address, begun }];
  });
}
