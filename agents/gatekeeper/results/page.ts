/**
 * Gatekeeper's part of the report: shares beside what was published, the reaction to every step, the response functions
 * side by side, and the cost.
 */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { formatDurationUs, formatPercent } from '../../../src/core/units.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { describeEvent } from '../../../src/evidence/events.ts';
import { phaseStartUs } from '../../../src/evidence/phases.ts';
import { stepResponse, type StepResponse } from './charts.ts';
import { isIsolation, type IsolationTarget } from './check.ts';
import { comparison } from './comparison.ts';
import type { JudgedRun } from '../../../src/report/judge.ts';
import { key, raw, type ReportPage } from '../../../src/report/page.ts';
import { byTenant, readTrace } from './trace.ts';

const BEFORE_MS = 100;
const AFTER_MS = 400;
/** Plots per cell, and in all: a matrix of many cells shows its first steps. */
const STEPS_PER_CELL = 2;
const MOST_PLOTS = 24;

export const page: ReportPage = {
  async sections(run) {
    return [comparison(run), reactions(run), responseFunctions(run), cost(run)].filter((section) => section !== null);
  },
};

interface Step {
  readonly atMs: number;
  readonly what: string;
}

/** When something changes in a phase: flows start and stop, events happen. */
function stepsOf(evidence: CellEvidence): Step[] {
  return evidence.phases.flatMap((phase) => {
    const startMs = phaseStartUs(phase) / 1000;
    const planned = evidence.lab.phases.find((p) => p.name === phase.phase);
    const flows = (planned?.flows ?? []).filter((f) => f.protocol === 'udp');
    const edges = flows
      .flatMap((f) => [
        { us: f.startUs, what: 'flood starts' },
        { us: f.startUs + f.durationUs, what: 'flood stops' },
      ])
      .filter((e) => e.us > 0 && e.us < phase.durationUs);
    const events = (evidence.events[phase.phase] ?? []).slice(0, STEPS_PER_CELL).map((e) => ({ us: e.beganUs, what: describeEvent(e) }));
    const unique = [...edges, ...events].filter((e, i, all) => all.findIndex((o) => o.us === e.us) === i).sort((a, b) => a.us - b.us);
    return unique.map((e) => ({ atMs: startMs + e.us / 1000, what: e.what }));
  });
}

/** The server whose receive controller had most to say. */
const busiestServer = (evidence: CellEvidence): string | undefined =>
  evidence.agents
    .filter((a) => a.system === 'gatekeeper')
    .sort((a, b) => (b.counters['feedbackSent'] ?? 0) - (a.counters['feedbackSent'] ?? 0))[0]?.node;

function plotsOf(cell: string, evidence: CellEvidence): { caption: string; chart: StepResponse }[] {
  const server = busiestServer(evidence);
  if (server === undefined) return [];
  const label = evidence.lab.systems.find((s) => s.name === 'gatekeeper')?.config['label'];
  const sum = byTenant(evidence, typeof label === 'string' ? label : 'tenant');
  const periods = readTrace(evidence, server);
  return stepsOf(evidence)
    .slice(0, STEPS_PER_CELL)
    .flatMap(({ atMs, what }) => {
      const near = periods.filter((p) => p.atMs >= atMs - BEFORE_MS && p.atMs <= atMs + AFTER_MS);
      if (near.length === 0) return [];
      const points = (pick: (p: (typeof near)[number]) => Readonly<Record<string, number>>) =>
        near.flatMap((p) => [...sum(pick(p))].map(([series, bps]) => ({ x: p.atMs - atMs, y: bps / 1e6, series })));
      const series = [...new Set(points((p) => p.rates).map((p) => p.series))].sort();
      return [
        {
          caption: `${cell || evidence.lab.name}: ${what}`,
          chart: {
            series,
            rates: points((p) => p.rates),
            allocations: points((p) => p.allocated),
            feedback: near.filter((p) => p.feedback > 0).map((p) => ({ x: p.atMs - atMs, count: p.feedback })),
            fromMs: -BEFORE_MS,
            toMs: AFTER_MS,
            description: `Rates, allocations and feedback of ${server} around "${what}"`,
          },
        },
      ];
    });
}

function reactions({ cells }: JudgedRun): VNode | null {
  const plots = [...cells].flatMap(([cell, repeats]) => (repeats[0] ? plotsOf(cell, repeats[0]) : []));
  const first = plots[0];
  if (!first) return null;
  return html`<section><h2>Reaction, period by period</h2>
    <p class="soft">First repeat of every cell, at the receiving server. Lines: rates as its agent measured them; steps: what it allocated; ticks below: periods in which it sent feedback.</p>
    ${key(first.chart.series)}
    <div class="cells">${plots.slice(0, MOST_PLOTS).map(({ caption, chart }) => html`<figure><figcaption>${caption}</figcaption>${raw(stepResponse(chart))}</figure>`)}</div>
    ${plots.length > MOST_PLOTS && html`<p class="soft">${plots.length - MOST_PLOTS} more steps are not drawn.</p>`}</section>`;
}

const METRICS: readonly (readonly [metric: IsolationTarget['metric'], title: string])[] = [
  ['reaction', 'reaction (R4-8)'],
  ['victim-recovery', 'victim recovers (R4-8)'],
  ['recovery', 'link used again (R4-9)'],
  ['utilisation', 'utilisation'],
];

/** One row per value of the dimension "law", from the verdicts: measured values, not their outcomes. */
function responseFunctions({ manifest, cells, verdicts }: JudgedRun): VNode | null {
  if (!manifest.dimensions['law']) return null;
  const rows = [...cells.values()].flatMap((repeats) => {
    const evidence = repeats[0];
    if (!evidence) return [];
    const targets = evidence.lab.targets.filter(isIsolation).filter((t) => t['relative-to'] === undefined);
    const measured = (pick: (t: IsolationTarget) => boolean) =>
      verdicts.find((v) => v.cell === evidence.lab.cell && targets.some((t) => t.name === v.target && pick(t)))?.measured ?? '–';
    const groups = [...new Set(targets.flatMap((t) => (t.metric === 'share' && t.group !== undefined ? [t.group] : [])))].sort();
    return [
      {
        law: evidence.lab.variant['law'] ?? '',
        repeats: repeats.length,
        shares: groups.map((group) => `${group} ${measured((t) => t.metric === 'share' && t.group === group)}`).join(', '),
        metrics: METRICS.map(([metric]) => measured((t) => t.metric === metric)),
      },
    ];
  });
  if (rows.length < 2) return null;
  return html`<section><h2>Response functions</h2><div class="scroll"><table>
    <thead><tr><th scope="col">law</th><th scope="col">share of the link</th>${METRICS.map(([, title]) => html`<th scope="col">${title}</th>`)}<th scope="col">repeats</th></tr></thead>
    <tbody>${rows.map((r) => html`<tr><td>${r.law}</td><td>${r.shares}</td>${r.metrics.map((m) => html`<td class="figure">${m}</td>`)}<td class="figure">${r.repeats}</td></tr>`)}</tbody>
  </table></div></section>`;
}

/** R4-18: what the busiest agent of each cell cost. */
function cost({ cells }: JudgedRun): VNode | null {
  const rows = [...cells].flatMap(([cell, repeats]) => {
    const evidence = repeats[0];
    const agents = (evidence?.agents ?? []).filter((a) => a.system === 'gatekeeper' && (a.counters['periods'] ?? 0) > 0);
    const busiest = agents.sort((a, b) => b.cpuSeconds - a.cpuSeconds)[0];
    if (!evidence || !busiest) return [];
    const seconds = evidence.phases.reduce((sum, p) => sum + p.durationUs / 1e6, 0);
    const count = (name: string) => busiest.counters[name] ?? 0;
    const perPeriod = (name: string) => formatDurationUs(count(name) / count('periods'));
    const total = (name: string) => agents.reduce((sum, a) => sum + (a.counters[name] ?? 0), 0);
    return [
      html`<tr><td>${cell || '–'}</td><td>${busiest.node}</td><td class="figure">${formatPercent(busiest.cpuSeconds / seconds)}</td><td class="figure">${perPeriod('meterMicroseconds')}</td><td class="figure">${perPeriod('lawMicroseconds')}</td>
      <td class="figure">${perPeriod('feedbackMicroseconds')}</td><td class="figure">${perPeriod('limiterMicroseconds')}</td><td class="figure">${total('latePeriods')} of ${total('periods')}</td>
      <td class="figure">${total('feedbackSent')} in ${total('messagesSent')}</td><td class="figure">${total('limitersCreated')}</td><td class="figure">${total('feedbackRejected')}, ${total('feedbackReplayed')}</td></tr>`,
    ];
  });
  if (rows.length === 0) return null;
  return html`<section><h2>Cost</h2>
    <p class="soft">The agent that used most CPU in the first repeat of each cell (share of one core, its start and its log of every period included), and what a period of it took. Against the number of pairs and per Gbit/s: <code>npm run bench gatekeeper</code>.</p>
    <div class="scroll"><table>
    <thead><tr><th scope="col">cell</th><th scope="col">busiest</th><th scope="col">CPU</th><th scope="col">read counters</th><th scope="col">decide</th><th scope="col">send feedback</th><th scope="col">set limiters</th><th scope="col">late periods, all agents</th><th scope="col">rates in messages</th><th scope="col">limiters made</th><th scope="col">refused: forged, stale</th></tr></thead>
    <tbody>${rows}</tbody></table></div></section>`;
}
