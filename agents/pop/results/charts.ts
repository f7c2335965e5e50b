/** Pictures of who serves what: shares and loads over time, fates of connections, forwarding tables. */
import * as Plot from '@observablehq/plot';
import { colourScale, render, seriesColour, verticalLines, type Mark } from '../../../src/report/charts.ts';

export interface LoadLine {
  readonly seconds: number;
  readonly pop: string;
  readonly percent: number;
}

export function loadsOverTime(
  points: readonly LoadLine[],
  pops: readonly string[],
  thresholds: readonly number[],
  events: readonly Mark[],
  description: string,
): string {
  return render(
    {
      width: 720,
      height: 200,
      marginLeft: 44,
      marginBottom: 34,
      marginTop: 34,
      marginRight: 16,
      x: { label: 'seconds' },
      y: { label: 'CPU, % of capacity', grid: true, domain: [0, Math.max(100, ...points.map((p) => p.percent)) * 1.05] },
      color: colourScale(pops),
      marks: [
        Plot.ruleY([...thresholds], { stroke: 'currentColor', strokeOpacity: 0.6, strokeDasharray: '5,4' }),
        Plot.lineY([...points], { x: 'seconds', y: 'percent', stroke: 'pop', strokeWidth: 1.8 }),
        ...verticalLines(events),
      ],
    },
    description,
  );
}

export interface FateBar {
  readonly part: string;
  readonly fate: string;
  readonly count: number;
}

export const FATES = ['kept', 'moved', 'reset', 'refused', 'timeout', 'failed'] as const;
const FATE_COLOURS = ['var(--pass)', 'var(--series-4)', 'var(--fail)', 'var(--series-2)', 'var(--inconclusive)', 'var(--series-5)'];

const DECADES = [0, 1, 10, 100, 1000, 10_000, 100_000];

/** On a logarithmic scale: one broken connection of ten thousand is to be seen. */
export function fates(bars: readonly FateBar[], parts: readonly string[], description: string): string {
  return render(
    {
      width: 720,
      height: 60 + parts.length * 58,
      marginLeft: 120,
      marginBottom: 34,
      marginTop: 8,
      marginRight: 60,
      x: { label: 'connections', type: 'symlog', grid: true, ticks: DECADES },
      y: { axis: null, domain: [...FATES] },
      fy: { domain: [...parts], label: null },
      color: { domain: [...FATES], range: FATE_COLOURS },
      marks: [
        Plot.barX([...bars], { fy: 'part', y: 'fate', x: 'count', fill: 'fate' }),
        Plot.text(
          bars.filter((b) => b.count > 0),
          {
            fy: 'part',
            y: 'fate',
            x: 'count',
            text: (b: FateBar) => `${b.count} ${b.fate}`,
            textAnchor: 'start',
            dx: 4,
            fill: 'currentColor',
            fontSize: 10,
          },
        ),
      ],
    },
    description,
  );
}

const CELL = 6;

/** A table as a picture: a square an entry, its colour the PoP that it points to. Hand-made: a thousand squares are one path a colour. */
export function tablePicture(entries: readonly string[], pops: readonly string[], here: string, description: string): string {
  const columns = Math.min(64, entries.length);
  const rows = Math.ceil(entries.length / columns);
  const paths = pops.map((pop, i) => {
    const squares = entries.flatMap((to, slot) =>
      (to === '' ? here : to) === pop
        ? [`M${(slot % columns) * CELL} ${Math.floor(slot / columns) * CELL}h${CELL - 1}v${CELL - 1}h-${CELL - 1}z`]
        : [],
    );
    return squares.length === 0
      ? ''
      : `<path d="${squares.join('')}" fill="${seriesColour(i)}" fill-opacity="${pop === here ? 0.25 : 0.95}"/>`;
  });
  return `<svg role="img" aria-label="${description.replaceAll('"', '')}" width="${columns * CELL}" height="${rows * CELL}" viewBox="0 0 ${columns * CELL} ${rows * CELL}">${paths.join('')}</svg>`;
}
