/** One self-contained HTML file: verdicts first, then figures, then what they rest on. No scripts, nothing fetched. */
import type { VNode } from 'preact';
import { clocks } from './clocks.ts';
import { html } from 'htm/preact';
import { renderToString } from 'preact-render-to-string';
import { NOTHING_JUDGED } from '../checks/wording.ts';
import { shellQuoted } from '../core/shell.ts';
import { isSaturated, type Verdict } from '../checks/verdict.ts';
import { formatDurationUs, formatPercent } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { describeImpairment } from '../topology/fabric.ts';
import { sparkline, timeSeries } from './charts.ts';
import { renderSvg } from './graph.ts';
import type { JudgedRun } from './judge.ts';
import { key, raw } from './page.ts';
import { STYLE } from './style.ts';
import { agentCosts, cellTimeSeries, describeMachines, describeRate, loadSummaries } from './views.ts';

const WORDS = { pass: 'met', fail: 'missed', inconclusive: 'inconclusive' } as const;
const SYMBOLS = { pass: '✔', fail: '✘', inconclusive: '?' } as const;

/** `sections`: what the systems of the run add. */
export async function renderHtml(run: JudgedRun, sections: readonly VNode[]): Promise<string> {
  const fabric = [...run.cells.values()].flat()[0]?.lab.fabric;
  const picture = fabric && fabric.nodes.length <= 60 ? await renderSvg(fabric).catch(() => undefined) : undefined;
  const page = html`<html lang="en">
    <head>
      <meta charset="utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>${run.manifest.name}: ${WORDS[run.outcome]}</title>
      <style dangerouslySetInnerHTML=${{ __html: STYLE }}></style>
    </head>
    <body>
      <header>
        <h1>${run.manifest.name}</h1>
        ${run.manifest.description && html`<p>${run.manifest.description}</p>`}
        <p class="soft">${run.manifest.startedAt.replace('T', ' ').slice(0, 19)} UTC · ${describeMachines(run.manifest)} · ${run.manifest.repeat} ${run.manifest.repeat === 1 ? 'repeat' : 'repeats'} per cell</p>
      </header>
      <main>
        ${banner(run)}
        <section aria-labelledby="verdicts"><h2 id="verdicts">Verdicts</h2>${verdictTable(run.verdicts)}</section>
        ${timelines(run)}
        ${sections}
        ${linkTable(run)}
        ${costs(run)}
        ${loads(run)}
        ${clocks(run)}
        ${picture && html`<section><h2>Topology</h2><div class="scroll">${raw(picture.slice(picture.indexOf('<svg')))}</div></section>`}
        ${reproduction(run)}
      </main>
    </body>
  </html>`;
  return `<!doctype html>\n${renderToString(page)}\n`;
}

function banner({ outcome, verdicts, manifest }: JudgedRun): VNode {
  const count = (o: Verdict['outcome']) => verdicts.filter((v) => v.outcome === o).length;
  const headline = { pass: 'All targets met', fail: 'Targets missed', inconclusive: 'Inconclusive' }[outcome];
  return html`<div class="banner ${outcome}" role="status"><strong>${SYMBOLS[outcome]} ${headline}</strong>
    ${verdicts.length === 0 && html`<div>${NOTHING_JUDGED}</div>`}
    <div>${count('pass')} met, ${count('fail')} missed, ${count('inconclusive')} inconclusive</div>
    ${manifest.stopped !== null && html`<div>The run was stopped: <span style="white-space:pre-wrap">${manifest.stopped}</span></div>`}
  </div>`;
}

/** "3 repeats" */
function countOf({ estimate, basis }: Verdict): string {
  if (!estimate || !basis) return '–';
  const n = Math.floor(estimate.n);
  return {
    observed: `${n} ${n === 1 ? 'repeat' : 'repeats'}`,
    repeats: `${n} repeats`,
    run: `${n} values`,
    'within-run': `${n} values of one run`,
  }[basis];
}

function verdictTable(verdicts: readonly Verdict[]): VNode {
  if (verdicts.length === 0) return html`<p>${NOTHING_JUDGED}</p>`;
  return html`<div class="scroll"><table>
    <thead><tr><th scope="col">verdict</th><th scope="col">cell</th><th scope="col">target</th><th scope="col">measured [95 % interval]</th><th scope="col">wanted</th><th scope="col">kind</th><th scope="col">n</th></tr></thead>
    <tbody>${verdicts.map(
      (v) => html`<tr>
      <td class="mark ${v.outcome}">${SYMBOLS[v.outcome]} ${WORDS[v.outcome]}</td><td>${v.cell || '–'}</td>
      <td>${v.target}${v.control && html` <span class="soft">(negative control)</span>`}${v.reason && html`<br /><span class="soft">${v.reason}</span>`}${v.dropped.map((d) => html`<br /><span class="soft">repeat ${d.repeat} left out: ${d.reason}</span>`)}</td>
      <td class="figure">${v.measured}</td><td class="figure">${v.wanted}</td><td>${v.kind}</td><td class="figure">${countOf(v)}</td></tr>`,
    )}</tbody>
  </table></div>`;
}

function timelines(run: JudgedRun): VNode | null {
  const charts = [...run.cells].flatMap(([cell, repeats]) => {
    const evidence = repeats[0];
    const chart = evidence && cellTimeSeries(evidence, run.checks);
    return chart ? [{ cell, chart }] : [];
  });
  const first = charts[0];
  if (!first) return null;
  return html`<section><h2>Rates over time</h2>
    <p class="soft">First repeat of every cell, 100 ms windows. Dashed: guarantees; dotted: traffic that starts and stops.</p>${key(first.chart.series)}
    <div class="cells">${charts.map(({ cell, chart }) => html`<figure><figcaption>${cell || run.manifest.name}</figcaption>${raw(timeSeries(chart))}</figure>`)}</div></section>`;
}

function linkTable(run: JudgedRun): VNode | null {
  const fabrics = new Map<string, CellEvidence>();
  for (const evidence of [...run.cells.values()].flat()) {
    const id = JSON.stringify(evidence.lab.fabric);
    if (evidence.links.length > 0 && !fabrics.has(id)) fabrics.set(id, evidence);
  }
  if (fabrics.size === 0) return null;
  return html`<section><h2>Links, measured against declared</h2>
    ${[...fabrics.values()].map(
      (
        evidence,
        i,
      ) => html`<details open=${fabrics.size === 1 && evidence.links.length <= 12}><summary>${fabrics.size > 1 ? `Fabric ${i + 1} (first used by ${evidence.lab.cell}): ` : ''}${evidence.links.length} directions, ${evidence.links.filter((l) => l.problems.length > 0).length} out of tolerance</summary>
      <div class="scroll"><table><thead><tr><th>from</th><th>to</th><th>declared</th><th>rate</th><th>one-way delay (p50, p90)</th><th>loss</th><th></th></tr></thead>
      <tbody>${evidence.links.map(
        (
          l,
        ) => html`<tr><td>${l.from}</td><td>${l.to}</td><td>${describeImpairment(l.declared)}</td><td class="figure">${describeRate(l.rateBps)}</td>
        <td class="figure">${l.delayUs === null ? '–' : `${formatDurationUs(l.delayUs)}, ${formatDurationUs(l.delayP90Us ?? 0)}`}</td><td class="figure">${l.lossSent - l.lossReceived} of ${l.lossSent}</td>
        <td class=${l.problems.length > 0 ? 'fail' : 'pass'}>${l.problems.join('; ') || '✔'}</td></tr>`,
      )}</tbody></table></div></details>`,
    )}</section>`;
}

function costs(run: JudgedRun): VNode | null {
  const rows = agentCosts(run);
  if (rows.length === 0) return null;
  return html`<section><h2>Agents</h2><div class="scroll"><table>
    <thead><tr><th>cell</th><th>agents</th><th>crashes</th><th>CPU of the busiest</th></tr></thead>
    <tbody>${rows.map((r) => html`<tr><td>${r.cell || '–'}</td><td>${r.agents}</td><td>${r.crashes}</td><td>${r.cpuPercent.toFixed(1)} % of a core</td></tr>`)}</tbody>
  </table></div></section>`;
}

function loads(run: JudgedRun): VNode | null {
  const rows = [...run.cells].flatMap(([cell, repeats]) => {
    return loadSummaries(repeats).map((load) => ({
      cell,
      load,
      limit: repeats[0]?.lab.saturation ?? 1,
      saturated: repeats.filter((r) => isSaturated(r)).length,
      of: repeats.length,
    }));
  });
  if (rows.length === 0) return null;
  return html`<section><h2>Host load</h2><p class="soft">CPU of all cores. A repeat with more than a tenth of its samples above the dashed limit is not judged.</p><div class="scroll"><table>
    <thead><tr><th>cell</th><th>machine</th><th>mean</th><th>max</th><th>over time</th><th>saturated</th></tr></thead>
    <tbody>${rows.map(
      (
        r,
      ) => html`<tr><td>${r.cell || '–'}</td><td>${r.load.machine}</td><td>${formatPercent(r.load.mean, 0)}</td><td>${formatPercent(r.load.max, 0)}</td>
      <td>${raw(sparkline(r.load.samples, r.limit, `CPU over time, mean ${formatPercent(r.load.mean, 0)}`))}</td><td>${r.saturated > 0 ? `${r.saturated} of ${r.of} repeats` : 'no'}</td></tr>`,
    )}</tbody>
  </table></div></section>`;
}

function reproduction({ manifest, results }: JudgedRun): VNode {
  return html`<section><h2>How to reproduce</h2>
    <p><code>${shellQuoted(manifest.command)}</code></p><p>The same verdicts again from this evidence: <code>netrig report ${shellQuoted([results])}</code></p>
    <div class="scroll"><table><tbody>
      <tr><th scope="row">topology</th><td>${manifest.topology} (a copy is beside this file: <a href="topology.yaml">topology.yaml</a>)</td></tr>
      <tr><th scope="row">rig</th><td>${manifest.rig ?? 'this machine alone: every node is a network namespace'}</td></tr>
      ${Object.entries(manifest.machines).map(
        ([name, m]) =>
          html`<tr><th scope="row">${name}</th><td>${m.cores} × ${m.cpu}, ${m.memoryGiB} GiB, Linux ${m.kernel}; links by HTB, delay, jitter and loss by ${m.capabilities.netem ? 'netem' : 'the delay line (no netem in this kernel)'}; ${Object.entries(
            m.versions,
          )
            .map(([program, version]) => `${program} ${version}`)
            .join(', ')}</td></tr>`,
      )}
    </tbody></table></div></section>`;
}
