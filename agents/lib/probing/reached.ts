/** Section of a report: who asked whom, and who answered. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { Part } from '../../../src/report/parts.ts';
import { probesOf, type Probe } from './probes.ts';

/** "100", or how many of them; who else answered. */
function answersOf(probes: readonly Probe[]): { readonly text: string; readonly class: string } {
  const by = Map.groupBy(
    probes.filter((p) => p.by !== null),
    (p) => p.by as string,
  );
  const answered = probes.filter((p) => p.by !== null).length;
  if (answered === 0) return { text: `none of ${probes.length}`, class: 'soft' };
  const count = answered === probes.length ? String(answered) : `${answered} of ${probes.length}`;
  return { text: `${count} by ${[...by.keys()].join(', ')}`, class: 'figure' };
}

export function reached(parts: readonly Part[]): VNode | null {
  const asked = parts.map((part) => ({ part, probes: probesOf(part.evidence, part.phase) })).filter(({ probes }) => probes.length > 0);
  if (asked.length === 0) return null;
  return html`<section><h2>Who reached whom</h2>
    <p class="soft">Probes of hosts, and the hosts whose beacons answered; first repeat. A host asks an address, or another host by the address that it has in its own network.</p>
    ${asked.map(({ part, probes }) => {
      const hosts = [...new Set(probes.map((p) => p.from))].sort();
      const targets = [...new Set(probes.map((p) => p.to))].sort();
      return html`<h3>${part.name}</h3><div class="scroll"><table><thead><tr><th scope="col">from</th>${targets.map((to) => html`<th scope="col">to ${to}</th>`)}</tr></thead>
        <tbody>${hosts.map(
          (from) =>
            html`<tr><td>${from}</td>${targets.map((to) => {
              const own = probes.filter((p) => p.from === from && p.to === to);
              if (own.length === 0) return html`<td></td>`;
              const { text, class: kind } = answersOf(own);
              return html`<td class=${kind}>${text}</td>`;
            })}</tr>`,
        )}</tbody></table></div>`;
    })}</section>`;
}
