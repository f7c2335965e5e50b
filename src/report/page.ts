/** What a system adds to the report of its runs: SystemDefinition.page names a module that exports `page`. */
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { seriesColour } from './charts.ts';
import type { JudgedRun } from './judge.ts';

export interface ReportPage {
  /** Sections with a heading each, in the order of the report; none where the run has nothing for them. */
  sections(run: JudgedRun): Promise<readonly VNode[]>;
}

/** Charts are SVG that this program made; everything else is escaped. */
export const raw = (markup: string): VNode => html`<div dangerouslySetInnerHTML=${{ __html: markup }}></div>`;

/** Names of series beside their colours. */
export const key = (series: readonly string[], extra?: string): VNode =>
  html`<div class="key">${series.map((s, i) => html`<span><i style="background:${seriesColour(i)}"></i>${s}</span>`)}${extra && html`<span>${extra}</span>`}</div>`;
