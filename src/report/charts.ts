/** Charts as SVG text: colours are CSS variables of the page, so that they follow its light or dark scheme. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

const { document } = parseHTML('<html><body></body></html>');
/** Distinguishable without colour vision; the page defines them for both schemes. */
const SERIES_COLOURS = Array.from({ length: 8 }, (_, i) => `var(--series-${i + 1})`);
/** Of a series by its number; they repeat after eight. */
export const seriesColour = (i: number): string => SERIES_COLOURS[i % SERIES_COLOURS.length] as string;

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly series: string;
}
export interface Mark {
  readonly x: number;
  readonly label: string;
}
export interface Level {
  readonly y: number;
  readonly label: string;
  readonly series: string;
}

export function render(options: Plot.PlotOptions, description: string): string {
  const element = Plot.plot({ ...options, document: document, style: { background: 'none', fontSize: '11px' } as never });
  element.setAttribute('role', 'img');
  element.setAttribute('aria-label', description);
  // Plot adds a style block per chart with white halos; the page has its own.
  return element.outerHTML;
}

export const colourScale = (series: readonly string[]) => ({ domain: [...series], range: series.map((_, i) => seriesColour(i)) });

/** Vertical lines with their labels above. */
export const verticalLines = (marks: readonly Mark[]): Plot.Markish[] => [
  Plot.ruleX([...marks], { x: 'x', stroke: 'currentColor', strokeOpacity: 0.5, strokeDasharray: '2,3' }),
  Plot.text([...marks], { x: 'x', text: 'label', frameAnchor: 'top', dy: -14, fill: 'currentColor', fontSize: 10, textAnchor: 'start' }),
];

export interface TimeSeries {
  readonly points: readonly Point[];
  readonly series: readonly string[];
  /** Vertical lines: flows that start and end. */
  readonly marks: readonly Mark[];
  /** Horizontal lines: guarantees. */
  readonly levels: readonly Level[];
  readonly yLabel: string;
  readonly yMax: number;
  readonly description: string;
}

export function timeSeries(chart: TimeSeries): string {
  return render(
    {
      width: 640,
      height: 220,
      marginLeft: 44,
      marginBottom: 32,
      marginTop: 26,
      marginRight: 16,
      x: { label: 'seconds', grid: false },
      y: { label: chart.yLabel, domain: [0, chart.yMax], grid: true },
      color: colourScale(chart.series),
      marks: [
        Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
        ...verticalLines(chart.marks),
        Plot.ruleY([...chart.levels], { y: 'y', stroke: 'series', strokeOpacity: 0.7, strokeDasharray: '6,4' }),
        Plot.lineY([...chart.points], { x: 'x', y: 'y', stroke: 'series', strokeWidth: 1.6 }),
      ],
    },
    chart.description,
  );
}

export interface OffsetPoint {
  readonly series: string;
  readonly seconds: number;
  readonly us: number;
  readonly lowUs: number;
  readonly highUs: number;
}

/** Offsets of clocks with their bounds; a dashed line where the topology draws it, if they come near. */
export function clockOffsets(points: readonly OffsetPoint[], limitUs: number, description: string): string {
  // A step of a quarter of a second must not flatten everything else.
  const shown = Math.max(1, ...points.map((p) => Math.min(Math.max(Math.abs(p.lowUs), Math.abs(p.highUs)), limitUs * 3))) * 1.1;
  return render(
    {
      width: 720,
      height: 200,
      marginLeft: 56,
      marginBottom: 32,
      clip: true,
      x: { label: 's' },
      y: { label: 'µs from the reference', domain: [-shown, shown], grid: true },
      color: colourScale([...new Set(points.map((p) => p.series))]),
      marks: [
        Plot.ruleY([-limitUs, limitUs], { stroke: 'var(--fail)', strokeDasharray: '4,3' }),
        Plot.ruleX([...points], { x: 'seconds', y1: 'lowUs', y2: 'highUs', stroke: 'series', strokeOpacity: 0.55 }),
        Plot.dot([...points], { x: 'seconds', y: 'us', fill: 'series', r: 2 }),
        Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
      ],
    },
    description,
  );
}

/** A sparkline of values in 0..1. */
export function sparkline(samples: readonly number[], limit: number, description: string): string {
  return render(
    {
      width: 160,
      height: 34,
      margin: 2,
      axis: null,
      y: { domain: [0, 1] },
      marks: [
        Plot.areaY([...samples], { x: (_: number, i: number) => i, y: (v: number) => v, fill: 'var(--series-1)', fillOpacity: 0.45 }),
        Plot.ruleY([limit], { stroke: 'var(--fail)', strokeDasharray: '3,2' }),
      ],
    },
    description,
  );
}

export interface Distribution {
  readonly series: string;
  /** Microseconds; those that never came are not drawn, and keep the curve below 100 %. */
  readonly values: readonly number[];
}

/** Points of a curve: more are not seen. */
const MOST_POINTS = 300;

/** Share of values up to a duration, on a logarithmic scale. */
export function cumulative(distributions: readonly Distribution[], label: string, description: string): string {
  const points = distributions.flatMap(({ series, values }) => {
    const sorted = Float64Array.from(values.filter(Number.isFinite)).sort();
    const step = Math.max(1, Math.floor(sorted.length / MOST_POINTS));
    return [...sorted.keys()]
      .filter((i) => i % step === 0 || i === sorted.length - 1)
      .map((i) => ({ series, us: Math.max(1, sorted[i]!), share: (100 * (i + 1)) / values.length }));
  });
  return render(
    {
      width: 480,
      height: 260,
      marginLeft: 44,
      marginBottom: 36,
      marginTop: 20,
      marginRight: 12,
      x: { label, type: 'log', tickFormat: microseconds as never, ticks: 5, grid: true },
      y: { label: '% of them', domain: [0, 100], grid: true },
      color: colourScale(distributions.map((d) => d.series)),
      marks: [
        Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
        Plot.line(points, { x: 'us', y: 'share', stroke: 'series', strokeWidth: 1.7, curve: 'step-after' }),
      ],
    },
    description,
  );
}

/** "12 ms", for the ticks of an axis. */
export const microseconds = (us: number): string => (us >= 1e6 ? `${us / 1e6} s` : us >= 1000 ? `${us / 1000} ms` : `${us} µs`);

export interface SharePoint {
  readonly seconds: number;
  readonly series: string;
  /** Of whatever is shared, in this part of a second. */
  readonly count: number;
}

/** Who takes which part of it, stacked, over time. `what`: is shared, as the axis calls it. */
export function sharesOverTime(
  points: readonly SharePoint[],
  series: readonly string[],
  events: readonly Mark[],
  stepSeconds: number,
  { what, description }: { readonly what: string; readonly description: string },
): string {
  return render(
    {
      width: 720,
      height: 220,
      marginLeft: 44,
      marginBottom: 34,
      marginTop: 34,
      marginRight: 16,
      x: { label: 'seconds' },
      y: { label: `% of ${what}`, percent: true, grid: true },
      color: colourScale(series),
      marks: [
        Plot.rectY(
          [...points],
          Plot.stackY(
            { offset: 'normalize', order: [...series] },
            {
              x1: (p: SharePoint) => p.seconds,
              x2: (p: SharePoint) => p.seconds + stepSeconds,
              y: 'count',
              fill: 'series',
              fillOpacity: 0.85,
            },
          ),
        ),
        ...verticalLines(events),
      ],
    },
    description,
  );
}

/** Counts of equal parts of the time. */
export function sharePoints(happened: readonly { readonly atUs: number; readonly series: string }[], stepSeconds: number): SharePoint[] {
  const binOf = (atUs: number): number => Math.floor(atUs / 1e6 / stepSeconds);
  const bins = Map.groupBy(happened, ({ atUs, series }) => `${binOf(atUs)} ${series}`);
  return [...bins.values()].map((own) => ({ seconds: binOf(own[0]!.atUs) * stepSeconds, series: own[0]!.series, count: own.length }));
}
