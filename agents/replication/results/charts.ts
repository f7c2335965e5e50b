/** Pictures of how alike and how late messages were. */
import * as Plot from '@observablehq/plot';
import { colourScale, microseconds, render, verticalLines, type Mark } from '../../../src/report/charts.ts';

export interface Strip {
  readonly consumer: string;
  readonly lowUs: number;
  readonly medianUs: number;
  readonly highUs: number;
  readonly estimatedUs: number | null;
}

/** One line a consumer: 98 % of its latencies, their median, and what was expected. */
export function strips(rows: readonly Strip[], mostUs: number, description: string): string {
  const expected = rows.filter((r) => r.estimatedUs !== null);
  return render(
    {
      width: 480,
      height: 40 + Math.min(rows.length, 64) * (rows.length > 16 ? 8 : 18),
      marginLeft: 44,
      marginBottom: 34,
      marginTop: 8,
      marginRight: 12,
      x: { label: 'ms from generation to receipt', domain: [0, (mostUs / 1000) * 1.05], grid: true },
      y: { label: null, domain: rows.map((r) => r.consumer), padding: 0.4 },
      marks: [
        Plot.ruleY([...rows], {
          y: 'consumer',
          x1: (r: Strip) => r.lowUs / 1000,
          x2: (r: Strip) => r.highUs / 1000,
          stroke: 'var(--series-1)',
          strokeWidth: 4,
          strokeOpacity: 0.5,
        }),
        Plot.tickX([...rows], { y: 'consumer', x: (r: Strip) => r.medianUs / 1000, stroke: 'var(--series-1)', strokeWidth: 2.5 }),
        Plot.dot(expected, {
          y: 'consumer',
          x: (r: Strip) => (r.estimatedUs ?? 0) / 1000,
          symbol: 'diamond',
          r: 3.5,
          fill: 'var(--page)',
          stroke: 'currentColor',
        }),
      ],
    },
    description,
  );
}

export interface SpreadPoint {
  readonly seconds: number;
  readonly us: number;
}

/** Every message's spread, with iterations that changed something (ticks below) and events (lines). */
export function spreadOverTime(
  points: readonly SpreadPoint[],
  lost: readonly number[],
  changes: readonly number[],
  events: readonly Mark[],
  description: string,
): string {
  const floor = 10;
  const most = Math.max(1000, ...points.map((p) => p.us));
  return render(
    {
      width: 720,
      height: 220,
      marginLeft: 56,
      marginBottom: 32,
      marginTop: 34,
      marginRight: 16,
      x: { label: 'seconds' },
      y: {
        label: 'spread of a message',
        type: 'log',
        domain: [floor * 0.8, most * 1.2],
        tickFormat: microseconds as never,
        ticks: 4,
        grid: true,
      },
      marks: [
        ...verticalLines(events),
        Plot.dot([...points], {
          x: 'seconds',
          y: (p: SpreadPoint) => Math.max(floor, p.us),
          r: 1.3,
          fill: 'var(--series-1)',
          fillOpacity: 0.7,
        }),
        Plot.ruleX([...lost], { y1: most, y2: most * 1.2, stroke: 'var(--fail)' }),
        Plot.ruleX([...changes], { y1: floor * 0.8, y2: floor * 1.4, stroke: 'currentColor', strokeWidth: 2 }),
      ],
    },
    description,
  );
}

export interface ErrorBar {
  readonly series: string;
  readonly bucket: string;
  readonly share: number;
}

/** Shares of releases by how late they were. */
export function releaseErrors(
  bars: readonly ErrorBar[],
  buckets: readonly string[],
  series: readonly string[],
  description: string,
): string {
  return render(
    {
      width: 720,
      height: 200,
      marginLeft: 44,
      marginBottom: 40,
      marginTop: 16,
      fx: { domain: [...buckets], label: 'late by less than' },
      x: { axis: null, domain: [...series] },
      y: { label: '% of releases', grid: true },
      color: colourScale(series),
      marks: [Plot.barY([...bars], { fx: 'bucket', x: 'series', y: 'share', fill: 'series' }), Plot.ruleY([0], { stroke: 'currentColor' })],
    },
    description,
  );
}
