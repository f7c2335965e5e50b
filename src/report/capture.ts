/** What a capture holds, as a page: rates over time, conversations, and the comparison with another place. */
import { html } from 'htm/preact';
import { renderToString } from 'preact-render-to-string';
import type { Comparison } from '../capture/analysis/compare.ts';
import { describeMeanRate, type CaptureSummary } from '../capture/analysis/conversations.ts';
import { formatDurationUs } from '../core/units.ts';
import { timeSeries } from './charts.ts';
import { raw } from './page.ts';
import { STYLE } from './style.ts';

const MOST_ROWS = 200;

export function renderCapturePage(file: string, summary: CaptureSummary, comparison: Comparison | null): string {
  const { packets, bytes, seconds, truncated, intervalS, intervalBytes, conversations } = summary;
  const points = intervalBytes.map((n, i) => ({ x: (i + 0.5) * intervalS, y: (n * 8) / intervalS / 1e6, series: 'all' }));
  const chart = timeSeries({
    points,
    series: ['all'],
    marks: [],
    levels: [],
    yLabel: 'Mbit/s',
    yMax: Math.max(0.001, ...points.map((p) => p.y)) * 1.1,
    description: `Rate over ${seconds.toFixed(3)} seconds`,
  });
  const us = (value: number): string => formatDurationUs(value * 1e6);
  const page = html`<html lang="en">
    <head><meta charset="utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" /><title>${file}</title><style dangerouslySetInnerHTML=${{ __html: STYLE }}></style></head>
    <body><header><h1>${file}</h1><p class="soft">${packets} packets, ${bytes} bytes in ${seconds.toFixed(3)} s${truncated ? '; the file ends within a packet' : ''}</p></header>
      <main>
        <section><h2>Rate over time</h2><figure><figcaption>intervals of ${formatDurationUs(intervalS * 1e6)}</figcaption>${raw(chart)}</figure></section>
        ${
          comparison &&
          html`<section><h2>Beside the other capture</h2><div class="scroll"><table>
          <thead><tr><th scope="col">packets told apart</th><th scope="col">lost</th><th scope="col">duplicated</th><th scope="col">reordered</th><th scope="col">latency p50</th><th scope="col">p99</th><th scope="col">least</th><th scope="col">most</th></tr></thead>
          <tbody><tr>${[comparison.sent, comparison.lost, comparison.duplicated, comparison.reordered].map((n) => html`<td class="figure">${n}</td>`)}
            ${comparison.latencyS ? [comparison.latencyS.p50, comparison.latencyS.p99, comparison.latencyS.min, comparison.latencyS.max].map((s) => html`<td class="figure">${us(s)}</td>`) : html`<td colspan="4">none arrived</td>`}</tr></tbody></table></div></section>`
        }
        <section><h2>Conversations</h2><div class="scroll"><table>
          <thead><tr><th scope="col">from</th><th scope="col">to</th><th scope="col">protocol</th><th scope="col">packets</th><th scope="col">bytes</th><th scope="col">mean rate</th></tr></thead>
          <tbody>${conversations.slice(0, MOST_ROWS).map(
            (
              c,
            ) => html`<tr><td>${c.from}</td><td>${c.to}</td><td>${c.protocol}</td><td class="figure">${c.packets}</td><td class="figure">${c.bytes}</td>
            <td class="figure">${describeMeanRate(c)}</td></tr>`,
          )}</tbody>
        </table></div>${conversations.length > MOST_ROWS && html`<p class="soft">${conversations.length - MOST_ROWS} more are not shown.</p>`}</section>
      </main></body>
  </html>`;
  return `<!doctype html>\n${renderToString(page)}\n`;
}
