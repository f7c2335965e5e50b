/** Shares of the contended link by variant, beside what was published. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { Verdict } from '../../../src/checks/verdict.ts';
import type { JudgedRun } from '../../../src/report/judge.ts';
import { key, raw } from '../../../src/report/page.ts';
import { groupedBars, type Bar } from './charts.ts';
import { isIsolation } from './check.ts';

interface Comparison {
  readonly facets: readonly string[];
  readonly groups: readonly string[];
  readonly series: readonly string[];
  readonly bars: readonly Bar[];
}

/** Mean share per group in every cell of a two-dimensional matrix: the paper's bar charts. */
function shareComparison({ manifest, cells, verdicts }: JudgedRun): Comparison | undefined {
  const dimensions = Object.entries(manifest.dimensions);
  const [facetDimension, groupDimension] = dimensions.map(([name]) => name);
  if (dimensions.length !== 2 || facetDimension === undefined || groupDimension === undefined) return undefined;
  const bars: Bar[] = [];
  for (const repeats of cells.values()) {
    const first = repeats[0];
    if (!first) continue;
    for (const target of first.lab.targets.filter(isIsolation)) {
      if (target.metric !== 'share' || target.group === undefined) continue;
      const verdict = verdicts.find((v: Verdict) => v.cell === first.lab.cell && v.target === target.name);
      if (!verdict?.estimate) continue;
      const { value, low, high } = verdict.estimate;
      bars.push({
        facet: first.lab.variant[facetDimension] ?? '',
        group: first.lab.variant[groupDimension] ?? '',
        series: target.group,
        value: value * 100,
        low: low * 100,
        high: high * 100,
        expected: target.published === undefined ? null : Number.parseFloat(target.published),
      });
    }
  }
  if (bars.length === 0) return undefined;
  const present = (values: readonly string[], pick: (b: Bar) => string) => values.filter((v) => bars.some((b) => pick(b) === v));
  return {
    facets: present(manifest.dimensions[facetDimension] ?? [], (b) => b.facet),
    groups: present(manifest.dimensions[groupDimension] ?? [], (b) => b.group),
    series: [...new Set(bars.map((b) => b.series))].sort(),
    bars,
  };
}

export function comparison(run: JudgedRun): VNode | null {
  const c = shareComparison(run);
  if (!c) return null;
  const svg = groupedBars(c.bars, c.series, {
    facets: c.facets,
    groups: c.groups,
    yLabel: '% of the link',
    description: 'Share of the contended link per tenant, by variant; diamonds show the published shape',
  });
  return html`<section><h2>Share of the link per tenant</h2>${key(c.series, '◇ published shape · line: 95 % interval')}
    <div class="scroll">${raw(svg)}</div>
    <details><summary>The figures as a table</summary><div class="scroll"><table>
      <thead><tr><th>variant</th><th>tenant</th><th>measured</th><th>published</th></tr></thead>
      <tbody>${c.bars.map((b) => html`<tr><td>${b.facet} / ${b.group}</td><td>${b.series}</td><td>${b.value.toFixed(1)} %</td><td>${b.expected === null ? '–' : `${b.expected} %`}</td></tr>`)}</tbody>
    </table></div></details></section>`;
}
