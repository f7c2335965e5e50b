/** What several repeats say together. Pure. */
import { mean } from 'simple-statistics';
import type { Figures } from './check.ts';
import {
  clusteredShare,
  meanInterval,
  quantileInterval,
  quantileOf,
  seriesInterval,
  shareInterval,
  type Bounds,
  type Estimate,
  type Trials,
} from './statistics.ts';

export type Present = Exclude<Figures, { kind: 'missing' }>;

/**
 * Where the interval comes from. observed: nothing is estimated. run: from one run, of a figure that does not differ
 * between runs, or of independent trials. within-run: from one run, so that it leaves out what differs between runs;
 * such an interval decides nothing. repeats: from one figure of each repeat.
 */
export type Basis = 'observed' | 'run' | 'within-run' | 'repeats';

export interface Combined {
  readonly estimate: Estimate;
  readonly basis: Basis;
  readonly detail?: string;
}

/** `control`: the check must fail in every repeat, so the repeat that is nearest to its bounds counts. */
export function combine(figures: readonly Present[], bounds: Bounds, control: boolean, confidence: number): Combined {
  const first = figures[0] as Present;
  if (first.kind === 'exact') {
    const ranked = (figures as readonly (typeof first)[]).toSorted((a, b) => beyond(b.value, bounds) - beyond(a.value, bounds));
    const { value, detail } = (control ? ranked.at(-1) : ranked[0]) as typeof first;
    return {
      estimate: { value, low: value, high: value, n: figures.length },
      basis: 'observed',
      ...(detail === undefined ? {} : { detail }),
    };
  }
  if (first.kind === 'share') return shareOf(figures as readonly (typeof first)[], confidence);
  const values = figures.map(figureOf);
  // One repeat in which it never came about is enough: there is no mean to speak of.
  if (first.kind === 'single' && (control ? values.every((v) => v === Infinity) : values.includes(Infinity)))
    return { estimate: { value: Infinity, low: Infinity, high: Infinity, n: values.length }, basis: 'observed' };
  if (figures.length > 1) return { estimate: meanInterval(values, confidence), basis: 'repeats' };
  switch (first.kind) {
    case 'series':
      return { estimate: seriesInterval(first.values, confidence), basis: first.steady ? 'run' : 'within-run' };
    case 'quantile':
      return { estimate: quantileInterval(first.values, first.quantile, confidence), basis: 'within-run' };
    case 'single':
      return { estimate: meanInterval(values, confidence), basis: 'within-run' };
  }
}

/** How far a value is on the wrong side of its bounds; negative: on the right side. */
function beyond(value: number, { atLeast = -Infinity, atMost = Infinity }: Bounds): number {
  const [under, over] = [atLeast - value, value - atMost];
  return Number.isNaN(over) ? 0 : Math.max(under, over);
}

/** Independent trials of all repeats are one sample. Of clustered ones, what differs between runs counts too. */
function shareOf(figures: readonly (Present & { kind: 'share' })[], confidence: number): Combined {
  const trials = figures.flatMap((f) => f.trials);
  const { count, of } = total(trials);
  if (figures.every((f) => f.independent)) return { estimate: shareInterval(count, of, confidence), basis: 'run' };
  const pooled = clusteredShare(trials, confidence);
  if (figures.length === 1) return { estimate: pooled, basis: 'within-run' };
  const runs = meanInterval(figures.map(figureOf), confidence);
  return {
    estimate: {
      value: pooled.value,
      low: Math.max(0, Math.min(pooled.low, runs.low)),
      high: Math.min(1, Math.max(pooled.high, runs.high)),
      n: figures.length,
    },
    basis: 'repeats',
  };
}

/** One repeat as one number. */
function figureOf(f: Present): number {
  switch (f.kind) {
    case 'series':
      return f.values.length === 0 ? NaN : f.values.includes(Infinity) ? Infinity : mean([...f.values]);
    case 'share': {
      const { count, of } = total(f.trials);
      return count / of;
    }
    case 'quantile':
      return quantileOf(f.values, f.quantile);
    case 'single':
    case 'exact':
      return f.value;
  }
}

const total = (trials: readonly Trials[]): Trials =>
  trials.reduce((sum, t) => ({ count: sum.count + t.count, of: sum.of + t.of }), { count: 0, of: 0 });
