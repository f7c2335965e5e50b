/** The replication system's part of the report: how alike, how late, over which graph, and how exactly it was held. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { quantileOf } from '../../../src/checks/statistics.ts';
import { formatDurationUs } from '../../../src/core/units.ts';
import { isIn, phaseStartUs } from '../../../src/evidence/phases.ts';
import { cumulative } from '../../../src/report/charts.ts';
import type { JudgedRun } from '../../../src/report/judge.ts';
import { key, raw, type ReportPage } from '../../../src/report/page.ts';
import { marksOf, partsOf, type Part } from '../../../src/report/parts.ts';
import { releaseErrors, spreadOverTime, strips, type ErrorBar, type Strip } from './charts.ts';
import { entryLatencies } from './measures.ts';
import { passagesOf } from './wire.ts';
import { spreadOf } from './check.ts';
import { timelineOf, type DirectiveLog, type Message, type Timeline } from './evidence.ts';

/** The first graph is built while agents are starting. */
const SETTLED_US = 2_000_000;
const MOST_TIMELINES = 12;
const MOST_GRAPHS = 6;
/** Of a graph that is still legible. */
const MOST_DRAWN_NODES = 48;

interface MessagePart extends Part {
  readonly timeline: Timeline;
  /** After settling. */
  readonly messages: readonly Message[];
}

export const page: ReportPage = {
  async sections(run) {
    const parts = partsOf(run).flatMap(withMessages);
    return parts.length === 0
      ? []
      : [fairness(parts), perConsumer(parts), overTime(parts), await graphs(parts), exactness(run)].filter((section) => section !== null);
  },
};

function withMessages(part: Part): MessagePart[] {
  const { evidence, phase, index } = part;
  const timeline = timelineOf(evidence, phase);
  if (typeof timeline === 'string') return [];
  const from = index === 0 ? SETTLED_US : 0;
  const messages = timeline.messages.filter((m) => m.atUs >= from && m.atUs < phase.durationUs);
  return messages.length === 0 ? [] : [{ ...part, timeline, messages }];
}

const latencies = (m: Message): number[] => m.expected.map((c) => m.receipts.get(c)?.latencyUs ?? Infinity);

function fairness(parts: readonly MessagePart[]): VNode {
  const series = parts.map((p) => p.name);
  const rows = parts.map(({ name, messages, evidence, phase, timeline }) => {
    const spreads = messages.map((m) => spreadOf(latencies(m)));
    const all = messages.flatMap(latencies);
    const q = (values: number[], at: number) => (quantileOf(values, at) === Infinity ? 'never' : formatDurationUs(quantileOf(values, at)));
    const passages = passagesOf(evidence, timeline.nodes);
    const entered = typeof passages === 'string' ? [] : entryLatencies(messages, passages, BigInt(phase.startedNs));
    const lost = all.filter((us) => us === Infinity).length;
    return html`<tr><td>${name}</td><td class="figure">${messages.length}</td><td class="figure">${q(spreads, 0.5)}</td><td class="figure">${q(spreads, 0.99)}</td><td class="figure">${q(all, 0.5)}</td><td class="figure">${q(all, 0.99)}</td><td class="figure">${entered.length === 0 ? '–' : q(entered, 0.5)}</td><td class="figure">${lost}</td><td class="figure">${formatDurationUs(Math.max(...messages.map((m) => m.clockBoundUs)))}</td></tr>`;
  });
  return html`<section><h2>Fairness</h2>
    <p class="soft">From generation at the producer to the kernel's stamp at the consumer; first copies; first repeat. A latency from the entry PPN would leave out what it takes to get there (R0-35). A replica that never came is infinitely late.</p>
    <div class="scroll"><table><thead><tr><th scope="col">cell</th><th scope="col">messages</th><th scope="col">spread, half</th><th scope="col">99 %</th><th scope="col">latency, half</th><th scope="col">99 %</th><th scope="col">until the entry</th><th scope="col">replicas lost</th><th scope="col">clocks known to ±</th></tr></thead><tbody>${rows}</tbody></table></div>
    ${key(series)}
    <div class="cells">
      <figure><figcaption>Spread: largest less smallest latency of a message</figcaption>${raw(
        cumulative(
          parts.map((p) => ({ series: p.name, values: p.messages.map((m) => spreadOf(latencies(m))) })),
          'spread',
          'Distribution of the spread of messages',
        ),
      )}</figure>
      <figure><figcaption>Latency of all replicas</figcaption>${raw(
        cumulative(
          parts.map((p) => ({ series: p.name, values: p.messages.flatMap(latencies) })),
          'latency',
          'Distribution of latencies',
        ),
      )}</figure>
    </div></section>`;
}

function perConsumer(parts: readonly MessagePart[]): VNode {
  const all = parts.map((part) => ({ part, rows: stripsOf(part) }));
  const most = Math.max(1, ...all.flatMap(({ rows }) => rows.map((r) => r.highUs)));
  return html`<section><h2>Every consumer</h2>
    <p class="soft">98 % of its latencies, their median (tick), and what the routing decisions node expected (diamond; R0-7).</p>
    <div class="cells">${all.map(({ part, rows }) => html`<figure><figcaption>${part.name}</figcaption>${raw(strips(rows, most, `Latency of every consumer in ${part.name}`))}</figure>`)}</div></section>`;
}

function stripsOf({ messages, timeline, phase }: MessagePart): Strip[] {
  const endMs = phaseStartUs(phase) / 1000 + phase.durationUs / 1000;
  const last = timeline.iterations.findLast((i) => i.atMs < endMs);
  const consumers = [...new Set(messages.flatMap((m) => m.expected))];
  return consumers.flatMap((consumer): Strip[] => {
    const values = messages.flatMap((m) => m.receipts.get(consumer)?.latencyUs ?? []);
    if (values.length === 0) return [];
    return [
      {
        consumer,
        lowUs: quantileOf(values, 0.01),
        medianUs: quantileOf(values, 0.5),
        highUs: quantileOf(values, 0.99),
        estimatedUs: last?.estimatedUs[consumer] ?? null,
      },
    ];
  });
}

/** Requests that are traffic, or change nothing. */
const ROUTINE: ReadonlySet<string> = new Set(['Send', 'GetLSAGMetrics']);

function overTime(parts: readonly MessagePart[]): VNode {
  return html`<section><h2>Spread over time</h2>
    <p class="soft">A dot is a message; red above: one that did not reach everybody. Ticks below: iterations that changed the graph, its order or its holds. Dashed: events of the topology.</p>
    <div>${parts.slice(0, MOST_TIMELINES).map((part) => {
      const { name, phase, timeline } = part;
      const messages = timeline.messages.filter(isIn(phase));
      const spreads = messages.map((m) => ({ seconds: m.atUs / 1e6, us: spreadOf(latencies(m)) }));
      const start = phaseStartUs(phase) / 1000;
      const changes = timeline.iterations
        .filter((i) => i.changed > 0)
        .map((i) => (i.atMs - start) / 1000)
        .filter((s) => s >= 0 && s <= phase.durationUs / 1e6);
      const events = marksOf(part, ({ action }) => action.kind !== 'request' || !ROUTINE.has(action.operation));
      return html`<figure><figcaption>${name}</figcaption>${raw(
        spreadOverTime(
          spreads.filter((s) => Number.isFinite(s.us)),
          spreads.filter((s) => s.us === Infinity).map((s) => s.seconds),
          changes,
          events,
          `Spread of messages over time in ${name}`,
        ),
      )}</figure>`;
    })}</div>${parts.length > MOST_TIMELINES && html`<p class="soft">${parts.length - MOST_TIMELINES} more are not drawn.</p>`}</section>`;
}

const quote = (text: string): string => `"${text.replaceAll('"', '')}"`;

/** The graph that carried the last message, with the latencies that it was built from and the holds at its exits. */
function dotOf(directives: readonly DirectiveLog[]): string {
  const lines = directives.flatMap(({ entry, destinations, edgesUs }, g) => {
    const style = g === 0 ? '' : ', style=dashed';
    const latency = new Map(edgesUs.map(([from, to, us]) => [`${from} ${to}`, us]));
    return [
      `  ${quote(entry)} [fillcolor="#cfe2f7"];`,
      ...Object.entries(destinations).flatMap(([from, list]) =>
        list.map(({ to, hold, holdNs }, slot) => {
          const us = latency.get(`${from} ${to}`);
          const held =
            holdNs === 0
              ? ''
              : hold === 'absolute'
                ? `\\nout at ${formatDurationUs(holdNs / 1000)}`
                : `\\nheld ${formatDurationUs(holdNs / 1000)}`;
          return `  ${quote(from)} -> ${quote(to)} [label=${quote(`${slot + 1}. ${us === undefined ? '?' : formatDurationUs(us)}${held}`)}${style}];`;
        }),
      ),
    ];
  });
  return `digraph graph_ {\n  graph [rankdir=LR, bgcolor="transparent", nodesep=0.15];\n  node [shape=box, fontname="sans-serif", fontsize=11, style=filled, fillcolor="#eef2f7", color="#55657a"];\n  edge [fontname="sans-serif", fontsize=9, color="#55657a", fontcolor="#55657a"];\n${lines.join('\n')}\n}\n`;
}

async function graphs(parts: readonly MessagePart[]): Promise<VNode | null> {
  const found = parts
    .flatMap(({ name, timeline, phase, messages }) => {
      const lastMs = phaseStartUs(phase) / 1000 + (messages.at(-1)?.atUs ?? 0) / 1000;
      const last = [
        ...Map.groupBy(
          timeline.directives.filter((d) => d.atMs <= lastMs),
          (d) => d.graph,
        ).values(),
      ].flatMap((own) => own.at(-1) ?? []);
      const size = new Set(last.flatMap((d) => d.edgesUs.flat())).size;
      return last.length === 0 || size > 3 * MOST_DRAWN_NODES ? [] : [{ name, last }];
    })
    .slice(0, MOST_GRAPHS);
  if (found.length === 0) return null;
  const { instance } = await import('@viz-js/viz');
  const viz = await instance();
  return html`<section><h2>Graphs</h2>
    <p class="soft">As they ruled at the end: place in the order of sending, measured latency of the edge, hold. Dashed: the second path of those that get every message twice.</p>
    ${found.map(({ name, last }) => html`<h3>${name}</h3><div class="scroll">${raw(viz.renderString(dotOf(last), { format: 'svg', engine: 'dot' }))}</div>`)}</section>`;
}

const BUCKETS = 16;

/** R0-16: releases of the packet loop, and timers of the same process's event loop. */
function exactness({ cells }: JudgedRun): VNode | null {
  const agents = [...cells.values()].flatMap((repeats) => repeats[0]?.agents ?? []).filter((a) => a.system === 'replication');
  const sums = (prefix: string): number[] =>
    Array.from({ length: BUCKETS }, (_, i) => agents.reduce((sum, a) => sum + (a.counters[`${prefix}${2 ** i}`] ?? 0), 0));
  const series = ['packet loop', 'timers of Node'];
  const counts = [sums('releaseErrorUs'), sums('timerErrorUs')];
  if (counts[0]!.every((n) => n === 0)) return null;
  const buckets = Array.from({ length: BUCKETS }, (_, i) => formatDurationUs(2 ** i));
  const byKernel = agents.filter((a) => a.counters['kernelRelease'] === 1).length;
  const bars = counts.flatMap((own, s) => {
    const total = own.reduce((a, b) => a + b, 0);
    return own.map((n, i): ErrorBar => ({ series: series[s]!, bucket: buckets[i]!, share: total === 0 ? 0 : (100 * n) / total }));
  });
  return html`<section><h2>How exactly replicas are held</h2>
    <p class="soft">${byKernel > 0 && html`${byKernel} PPNs had their kernel release what they held (qdisc fq), by its own stamps. `}Lateness of ${counts[0]!.reduce((a, b) => a + b, 0)} releases, all cells, beside that of ${counts[1]!.reduce((a, b) => a + b, 0)} timers of the PPNs' event loops on the same machine at the same time.</p>
    ${key(series)}${raw(releaseErrors(bars, buckets, series, 'Histogram of lateness'))}</section>`;
}
