/** The hub's part of the report: who reached whom, what a decision costs, what was translated, and what every node counted. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { Type } from 'typebox';
import { quantileOf } from '../../../src/checks/statistics.ts';
import { conform } from '../../../src/core/json.ts';
import { formatDurationUs } from '../../../src/core/units.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import { isIn } from '../../../src/evidence/phases.ts';
import { cumulative } from '../../../src/report/charts.ts';
import type { JudgedRun } from '../../../src/report/judge.ts';
import { key, raw, type ReportPage } from '../../../src/report/page.ts';
import { partsOf, type Part } from '../../../src/report/parts.ts';
import { reached } from '../../lib/probing/reached.ts';
import { metadata } from '../model.ts';
import { ainDevices, ainsOf } from './config.ts';
import { framesAt } from './frames.ts';
import { passages } from './measures.ts';
import { names } from './names.ts';

export const page: ReportPage = {
  async sections(run) {
    const parts = partsOf(run);
    return [reached(parts), names(parts), decisions(parts), translated(parts), counted(run)].filter((section) => section !== null);
  },
};

const KINDS = ['first', 'later'] as const;

/** R1-51: from the captures of AINs. */
function decisions(parts: readonly Part[]): VNode | null {
  const values = new Map(KINDS.map((kind) => [kind, [] as number[]]));
  for (const { evidence, phase } of parts) {
    const [ains, devices] = [ainsOf(evidence), ainDevices(evidence)];
    for (const { at } of evidence.captures.filter((c) => ains.includes(c.at.split(':')[0] ?? ''))) {
      const frames = framesAt(evidence, at, phase);
      if (typeof frames === 'string') continue;
      const own = frames.filter(isIn(phase));
      for (const kind of KINDS) values.get(kind)?.push(...passages(own, kind, devices));
    }
  }
  const series = [...values].filter(([, list]) => list.length > 0).map(([name, list]) => ({ series: `${name} packets`, values: list }));
  if (series.length === 0) return null;
  const figure = (list: readonly number[], at: number): string => formatDurationUs(quantileOf(list, at));
  return html`<section><h2>First packets and later ones</h2>
    <p class="soft">Time in an action implementation node, from one frame of a packet to the next at its captures, all phases. First packets of flows wait for a decision.</p>
    <div class="scroll"><table><thead><tr><th scope="col"></th><th scope="col">packets</th><th scope="col">half</th><th scope="col">99 %</th></tr></thead>
      <tbody>${series.map((s) => html`<tr><td>${s.series}</td><td class="figure">${s.values.length}</td><td class="figure">${figure(s.values, 0.5)}</td><td class="figure">${figure(s.values, 0.99)}</td></tr>`)}</tbody></table></div>
    ${key(series.map((s) => s.series))}
    <figure><figcaption>Time in a node</figcaption>${raw(cumulative(series, 'time', 'Distribution of the time that first and later packets spend in action implementation nodes'))}</figure></section>`;
}

const answer = Type.Object({ mappings: metadata.properties.mappings });

/** As the hub itself told, last. */
function translated(parts: readonly Part[]): VNode | null {
  const told = parts.flatMap(({ name, evidence, phase }) =>
    (evidence.events[phase.phase] ?? []).flatMap((event) => {
      if (!isRequest(event) || event.action.operation !== 'ShowTranslationMappingsInUse' || event.outcome.state !== 'done') return [];
      return [{ name, mappings: conform(answer, event.outcome.answer).mappings }];
    }),
  );
  const last = told.at(-1);
  if (!last || last.mappings.length === 0) return null;
  return html`<section><h2>Translation</h2>
    <p class="soft">Mappings in use, as the control plane told in ${last.name}.</p>
    <div class="scroll"><table><thead><tr><th scope="col">network</th><th scope="col">its addresses</th><th scope="col">are seen as</th><th scope="col">by</th><th scope="col">from</th></tr></thead>
      <tbody>${last.mappings.map((m) => html`<tr><td>${m.network}</td><td class="figure">${m.real}</td><td class="figure">${m.as}</td><td>${m.viewers?.join(', ') ?? 'all'}</td><td>${m.origin}</td></tr>`)}</tbody></table></div></section>`;
}

const COUNTERS = ['queries', 'installed', 'returned', 'repeated', 'undecided', 'decided', 'forged', 'stale'] as const;

function counted({ cells }: JudgedRun): VNode | null {
  const rows = [...cells].flatMap(([cell, [evidence]]) =>
    (evidence?.agents ?? [])
      .filter((a) => a.system === 'hub' && (a.counters['queries'] ?? 0) > 0)
      .map(
        (a) =>
          html`<tr><td>${[cell, a.node].filter(Boolean).join(' ')}</td>${COUNTERS.map((c) => html`<td class="figure">${a.counters[c] ?? '–'}</td>`)}<td class="figure">${a.cpuSeconds.toFixed(2)} s</td></tr>`,
      ),
  );
  if (rows.length === 0) return null;
  return html`<section><h2>Decisions</h2>
    <p class="soft">What nodes counted: of action implementation nodes (a) queries, actions installed and packets returned; of decision master nodes (d) queries and decisions.</p>
    <div class="scroll"><table><thead><tr><th scope="col">node</th>${COUNTERS.map((c) => html`<th scope="col">${c}</th>`)}<th scope="col">CPU</th></tr></thead><tbody>${rows}</tbody></table></div></section>`;
}
