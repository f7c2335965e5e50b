/** The PoP system's part of the report: who served what and when, what became of connections, loads, forwarding tables. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { quantileOf, shareInterval } from '../../../src/checks/statistics.ts';
import { formatDurationUs, formatPercent } from '../../../src/core/units.ts';
import { isIn } from '../../../src/evidence/phases.ts';
import { sharePoints, sharesOverTime, type Mark } from '../../../src/report/charts.ts';
import { key, raw, type ReportPage } from '../../../src/report/page.ts';
import { marksOf, partsOf, type Part } from '../../../src/report/parts.ts';
import { lawOf } from '../system.ts';
import { FATES, fates, loadsOverTime, tablePicture, type FateBar } from './charts.ts';
import { configOf, timelineOf, type Connection, type TableDump, type Timeline } from './evidence.ts';
import { loadSeries, startedIn } from './measures.ts';

const MOST_TIMELINES = 10;
const MOST_TABLES = 6;
const STEPS = 100;
/** Below this, nobody was asked for work. */
const BUSY = 0.1;

interface PopPart extends Part {
  readonly timeline: Timeline;
  /** Begun in the phase. */
  readonly connections: readonly Connection[];
}

export const page: ReportPage = {
  async sections(run) {
    const parts = partsOf(run).flatMap(withConnections);
    return parts.length === 0 ? [] : [who(parts), became(parts), loads(parts), tables(parts)].filter((section) => section !== null);
  },
};

function withConnections(part: Part): PopPart[] {
  const timeline = timelineOf(part.evidence, part.phase);
  if (typeof timeline === 'string') return [];
  const connections = startedIn(timeline.connections, { fromUs: 0, toUs: part.phase.durationUs });
  return connections.length === 0 ? [] : [{ ...part, timeline, connections }];
}

const popsOf = (parts: readonly PopPart[]): string[] => [...new Set(parts.flatMap((p) => p.timeline.pops.map((pop) => pop.name)))];

/** Requests that are traffic, readings, or policies, which are drawn as such. */
const DRAWN_ELSEWHERE: ReadonlySet<string> = new Set(['Connect', 'SetPolicies', 'GetPolicies', 'PullFeedback', 'Flood']);

/** Policies and events, as lines in a chart. */
function linesOf(part: PopPart): Mark[] {
  const policies = part.timeline.policies
    .filter((p) => p.sentUs >= 0 && p.sentUs < part.phase.durationUs)
    .map((p) => ({
      x: p.sentUs / 1e6,
      label: Object.entries(p.policies)
        .flatMap(([from, services]) => {
          const [shares] = Object.values(services);
          return Object.entries(shares ?? {}).length === 0
            ? [`${from}: none`]
            : [
                `${from}→${Object.entries(shares ?? {})
                  .map(([to, amount]) => `${to} ${formatPercent(amount, 0)}`)
                  .join(', ')}`,
              ];
        })
        .join('; '),
    }));
  return marksOf(part, ({ action }) => action.kind !== 'request' || !DRAWN_ELSEWHERE.has(action.operation), policies);
}

function who(parts: readonly PopPart[]): VNode {
  const pops = popsOf(parts);
  const rows = parts.map(({ name, connections }) => {
    const share = (pop: string): string => {
      const { value, low, high } = shareInterval(connections.filter((c) => c.pops[0] === pop).length, connections.length);
      return `${formatPercent(value, 1)} [${formatPercent(low, 1)}, ${formatPercent(high, 1)}]`;
    };
    const first = (pop: string): string => {
      const own = connections.filter((c) => c.fate === 'ok' && c.pops[0] === pop).map((c) => c.firstUs);
      return own.length === 0 ? '–' : formatDurationUs(quantileOf(own, 0.5));
    };
    return html`<tr><td>${name}</td><td class="figure">${connections.length}</td>${pops.map((pop) => html`<td class="figure">${share(pop)}</td><td class="figure">${first(pop)}</td>`)}</tr>`;
  });
  return html`<section><h2>Who served</h2>
    <p class="soft">New connections by the PoP that took them, with their 95 % intervals, and the median of first answers (connecting included); first repeat. Dashed: policies and events.</p>
    <div class="scroll"><table><thead><tr><th scope="col">cell</th><th scope="col">connections</th>${pops.map((pop) => html`<th scope="col">${pop}</th><th scope="col">first answer</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>
    ${key(pops)}
    ${parts.slice(0, MOST_TIMELINES).map((part) => {
      const step = part.phase.durationUs / 1e6 / STEPS;
      const taken = part.connections.flatMap((c) => (c.pops[0] === undefined ? [] : [{ atUs: c.startedUs, series: c.pops[0] }]));
      const chart = { what: 'new connections', description: `Shares of new connections over time in ${part.name}` };
      return html`<figure><figcaption>${part.name}</figcaption>${raw(sharesOverTime(sharePoints(taken, step), pops, linesOf(part), step, chart))}</figure>`;
    })}</section>`;
}

function became(parts: readonly PopPart[]): VNode {
  const bars = parts.flatMap(({ name, connections }) => {
    const count = (fate: (typeof FATES)[number]): number =>
      connections.filter((c) =>
        fate === 'kept' ? c.fate === 'ok' && c.pops.length <= 1 : fate === 'moved' ? c.pops.length > 1 : c.fate === fate,
      ).length;
    return FATES.map((fate): FateBar => ({ part: name, fate, count: count(fate) }));
  });
  return html`<section><h2>What became of connections</h2>
    <p class="soft">Kept: all their requests were answered, by one PoP. Moved: by several. Others were broken by the other side, never opened, or left without an answer. Logarithmic.</p>
    ${raw(
      fates(
        bars,
        parts.map((p) => p.name),
        'Fates of connections',
      ),
    )}</section>`;
}

function loads(parts: readonly PopPart[]): VNode | null {
  const busy = parts
    .map((part) => ({
      part,
      lines: part.timeline.pops.flatMap((pop) =>
        loadSeries(part.timeline.loads, pop.name, part.timeline.feedbackUs)
          .filter(isIn(part.phase))
          .map((l) => ({ seconds: l.atUs / 1e6, pop: pop.name, percent: 100 * l.load })),
      ),
    }))
    .filter(({ lines }) => lines.some((l) => l.percent > 100 * BUSY));
  if (busy.length === 0) return null;
  const pops = popsOf(parts);
  return html`<section><h2>Load of PoPs</h2>
    <p class="soft">CPU of their servers, a part of their declared capacity, every control interval. Dashed: thresholds of donors and receivers, where the controller decides.</p>
    ${key(pops)}
    ${busy.slice(0, MOST_TIMELINES).map(({ part, lines }) => {
      const law = lawOf(configOf(part.evidence)?.law);
      return html`<figure><figcaption>${part.name}</figcaption>${raw(loadsOverTime(lines, pops, law ? [100 * law.donor.load, 100 * law.receiver.load] : [], linesOf(part), `Load of PoPs over time in ${part.name}`))}</figure>`;
    })}</section>`;
}

/** Every version of a cell's tables that changed entries, beside what was before. */
function tables(parts: readonly PopPart[]): VNode | null {
  const pops = popsOf(parts);
  const [part] = parts;
  if (!part) return null;
  const { timeline } = part;
  const services = timeline.services.map((s) => s.name);
  const donor = [...Map.groupBy(timeline.tables, (t) => t.pop)].sort(([, a], [, b]) => b.length - a.length)[0];
  if (!donor) return null;
  const [pop, dumps] = donor;
  const before: TableDump = {
    atUs: 0,
    pop,
    version: 0,
    tables: Object.fromEntries(services.map((s) => [s, new Array<string>(timeline.slots).fill('')])),
  };
  const changed = dumps
    .filter((d, i) => services.some((s) => d.tables[s]?.join() !== (dumps[i - 1] ?? before).tables[s]?.join()))
    .slice(0, MOST_TABLES);
  const service = services.find((s) => changed.some((d) => d.tables[s]?.some((to) => to !== ''))) ?? services[0]!;
  return html`<section><h2>Forwarding tables</h2>
    <p class="soft">Entries of ${pop}'s table for ${service}, a square each, from one version of its policies to the next; pale: served by ${pop} itself. ${part.name}.</p>
    ${key(pops)}
    <div class="cells">${[before, ...changed].map((dump, i, all) => {
      const previous = all[i - 1]?.tables[service];
      const entries = dump.tables[service] ?? [];
      const count = previous ? entries.filter((to, slot) => to !== previous[slot]).length : 0;
      return html`<figure><figcaption>${dump.version === 0 ? 'at first' : `version ${dump.version}: ${count} of ${entries.length} entries changed`}</figcaption>${raw(tablePicture(entries, pops, pop, `Forwarding table of ${pop}, version ${dump.version}`))}</figure>`;
    })}</div></section>`;
}
