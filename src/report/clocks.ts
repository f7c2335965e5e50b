/** The report's part on clocks: how far they were apart while every cell ran, and how well that is known. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { quantileSorted } from 'simple-statistics';
import { describeOffset, isBeyond, isKnown } from '../clocks/samples.ts';
import { formatDurationUs } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { clockOffsets } from './charts.ts';
import type { JudgedRun } from './judge.ts';
import { key, raw } from './page.ts';

export function clocks(run: JudgedRun): VNode {
  const timed = [...run.cells].flatMap(([cell, repeats]) =>
    repeats.filter((r) => r.clocks.reference !== null).map((r) => ({ cell, evidence: r })),
  );
  const first = timed[0];
  if (!first)
    return html`<section><h2>Clocks</h2><p>All nodes run on one kernel and share its clock: no two time stamps of this run come from different clocks, and the bound of every comparison is zero.</p></section>`;
  const { reference, sync, maxOffsetUs } = first.evidence.clocks;
  return html`<section><h2>Clocks</h2>
    <p class="soft">Synchronised by ${sync}. Every machine was compared with ${reference} all the time, by exchanges of netrig's own: the truth lies within each bar. What is measured while a clock may be further away than ${formatDurationUs(maxOffsetUs ?? 0)} (dashed) is inconclusive.</p>
    <div class="scroll"><table><thead><tr><th>cell</th><th>machine</th><th>median</th><th>95 %</th><th>largest</th><th>bound, median</th><th>beyond the limit</th></tr></thead>
      <tbody>${timed.flatMap(({ cell, evidence }) => machinesOf(evidence).map((machine) => row(cell, machine, evidence)))}</tbody></table></div>
    ${timed.map(({ cell, evidence }) => html`<figure><figcaption>${cell || 'run'}, repeat ${evidence.repeat}${key(machinesOf(evidence))}</figcaption>${raw(picture(evidence))}</figure>`)}
  </section>`;
}

const machinesOf = ({ clocks: { samples } }: CellEvidence): string[] => [...new Set(samples.map((s) => s.machine))].sort();

function row(cell: string, machine: string, { clocks: { samples, maxOffsetUs } }: CellEvidence): VNode {
  const own = samples.filter(isKnown).filter((s) => s.machine === machine);
  const sizes = own.map((s) => Math.abs(s.clock.offsetNs) / 1000).sort((a, b) => a - b);
  const bounds = own.map((s) => s.clock.boundNs / 1000).sort((a, b) => a - b);
  const beyond = own.filter((s) => isBeyond(s, maxOffsetUs ?? Infinity));
  const worst = own.toSorted((a, b) => Math.abs(b.clock.offsetNs) - Math.abs(a.clock.offsetNs))[0];
  const at = (values: readonly number[], q: number) => (values.length === 0 ? '–' : formatDurationUs(quantileSorted([...values], q)));
  return html`<tr><td>${cell || '–'}</td><td>${machine}</td><td class="figure">${at(sizes, 0.5)}</td><td class="figure">${at(sizes, 0.95)}</td><td class="figure">${worst ? describeOffset(worst.clock) : '–'}</td><td class="figure">± ${at(bounds, 0.5)}</td><td class="figure">${beyond.length} of ${own.length}</td></tr>`;
}

function picture({ clocks: { samples, maxOffsetUs } }: CellEvidence): string {
  const startMs = samples[0]?.atMs ?? 0;
  const points = samples
    .toSorted((a, b) => a.machine.localeCompare(b.machine))
    .filter(isKnown)
    .map(({ machine, atMs, clock: { offsetNs, boundNs } }) => ({
      series: machine,
      seconds: (atMs - startMs) / 1000,
      us: offsetNs / 1000,
      lowUs: (offsetNs - boundNs) / 1000,
      highUs: (offsetNs + boundNs) / 1000,
    }));
  return clockOffsets(points, maxOffsetUs ?? 0, 'Offset of every machine from the reference over time, with bounds');
}
