/** Gatekeeper's charts: the response to a step, and shares of a link by variant. */
import * as Plot from '@observablehq/plot';
import { colourScale, render, type Point } from '../../../src/report/charts.ts';

export interface StepResponse {
  readonly series: readonly string[];
  /** x: ms relative to the step; y: Mbit/s. */
  readonly rates: readonly Point[];
  readonly allocations: readonly Point[];
  readonly feedback: readonly { readonly x: number; readonly count: number }[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly description: string;
}

/** Half a second around a step, one point per control period. */
export function stepResponse(chart: StepResponse): string {
  const yMax = Math.max(1, ...chart.rates.map((p) => p.y), ...chart.allocations.map((p) => p.y)) * 1.08;
  return render(
    {
      width: 480,
      height: 200,
      marginLeft: 40,
      marginBottom: 32,
      marginTop: 18,
      marginRight: 12,
      x: { label: 'ms from the step', domain: [chart.fromMs, chart.toMs] },
      y: { label: 'Mbit/s', domain: [-yMax * 0.06, yMax], grid: true },
      color: colourScale(chart.series),
      marks: [
        Plot.ruleX([0], { stroke: 'currentColor', strokeOpacity: 0.5, strokeDasharray: '2,3' }),
        Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
        Plot.lineY([...chart.allocations], {
          x: 'x',
          y: 'y',
          stroke: 'series',
          strokeOpacity: 0.75,
          strokeDasharray: '5,3',
          curve: 'step-after',
        }),
        Plot.lineY([...chart.rates], { x: 'x', y: 'y', stroke: 'series', strokeWidth: 1.5 }),
        Plot.dot([...chart.rates], { x: 'x', y: 'y', fill: 'series', r: 1.6 }),
        Plot.ruleX([...chart.feedback], { x: 'x', y1: -yMax * 0.055, y2: -yMax * 0.015, stroke: 'currentColor', strokeWidth: 1.2 }),
      ],
    },
    chart.description,
  );
}

export interface Bar {
  readonly facet: string;
  readonly group: string;
  readonly series: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly expected: number | null;
}

/** Grouped bars with intervals; a diamond marks what the literature expects. */
export function groupedBars(
  bars: readonly Bar[],
  series: readonly string[],
  options: { facets: readonly string[]; groups: readonly string[]; yLabel: string; description: string },
): string {
  const finite = bars.filter((b) => Number.isFinite(b.low) && Number.isFinite(b.high));
  const expected = bars.filter((b) => b.expected !== null);
  // One band per (group, series) inside each facet, so that bars stand side by side.
  const key = (b: Bar) => `${b.group}\u0000${b.series}`;
  const domain = options.groups.flatMap((g) => [...series.map((s) => `${g}\u0000${s}`), `${g}\u0000`]);
  return render(
    {
      width: Math.max(420, options.facets.length * (options.groups.length * (series.length + 1) * 17 + 40)),
      height: 280,
      marginLeft: 44,
      marginBottom: 60,
      marginTop: 30,
      fx: { domain: [...options.facets], label: null, padding: 0.06, axis: 'top' },
      x: { domain, axis: null, padding: 0.08 },
      y: { label: options.yLabel, domain: [0, 105], grid: true },
      color: colourScale(series),
      marks: [
        Plot.barY([...bars], { fx: 'facet', x: key, y: 'value', fill: 'series' }),
        Plot.ruleX(finite, { fx: 'facet', x: key, y1: 'low', y2: 'high', stroke: 'currentColor', strokeWidth: 1.2 }),
        Plot.dot(expected, {
          fx: 'facet',
          x: key,
          y: 'expected',
          symbol: 'diamond',
          r: 5,
          fill: 'var(--page)',
          stroke: 'currentColor',
          strokeWidth: 1.5,
        }),
        Plot.text(
          options.facets.flatMap((facet) => options.groups.map((group) => ({ facet, group }))),
          {
            fx: 'facet',
            x: ((d: { group: string }) => `${d.group}\u0000${series[Math.floor((series.length - 1) / 2)] ?? ''}`) as never,
            text: 'group',
            frameAnchor: 'bottom',
            dy: 10,
            rotate: -28,
            textAnchor: 'end',
            fill: 'currentColor',
            fontSize: 10,
          },
        ),
        Plot.ruleY([0], { stroke: 'currentColor' }),
      ],
    },
    options.description,
  );
}
