/** Evidence to verdicts: pure functions over what the evidence folder holds. */
import { formatDurationUs, formatPercent, formatRate, parseDurationUs } from '../core/units.ts';
import { wilson } from '../fabric/linktest.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { matches } from '../topology/matrix.ts';
import { parseRateOf } from '../topology/resolve.ts';
import type { TargetFile } from '../topology/schema.ts';
import { figuresOf, type Figures, type Unit } from './figures.ts';
import { batchMeans, decide, meanInterval, quantileInterval, type Bounds, type Estimate, type Outcome } from './statistics.ts';

export interface Verdict {
  readonly cell: string;
  readonly target: string;
  readonly requirement: string | null;
  readonly check: TargetFile['check'];
  readonly outcome: Outcome;
  /** Negative control: passes because the check itself fails. */
  readonly control: boolean;
  readonly estimate: Estimate | null;
  readonly unit: Unit;
  readonly bounds: Bounds;
  /** "69.8% [69.1, 70.4]" */
  readonly measured: string;
  /** "≥ 63%" */
  readonly wanted: string;
  /** Why it is inconclusive, and what would settle it. */
  readonly reason: string | null;
}

/** Batches per run: enough for an interval, long enough (≥ 300 ms each at 3 s) to be nearly independent. */
const BATCHES = 8;
/** A repeat is not trusted if more than this share of its load samples is above the limit. */
const SATURATED_SHARE = 0.1;

export function verdictsOf(repeats: readonly CellEvidence[]): Verdict[] {
  const lab = repeats[0]?.lab;
  return lab ? lab.targets.map((target) => judge(target, repeats)) : [];
}

export function isSaturated(evidence: CellEvidence): boolean {
  const above = evidence.load.filter((s) => s.busy > evidence.lab.saturation).length;
  return evidence.load.length > 0 && above / evidence.load.length > SATURATED_SHARE;
}

function judge(target: TargetFile, repeats: readonly CellEvidence[]): Verdict {
  const lab = (repeats[0] as CellEvidence).lab;
  const bounds = boundsOf(target);
  const control = isControl(target, lab.variant);
  const base = { cell: lab.cell, target: target.name, requirement: target.requirement ?? null, check: target.check, control, bounds };
  const open = (reason: string, unit: Unit = 'fraction'): Verdict => ({ ...base, outcome: 'inconclusive', estimate: null, unit, measured: '–', wanted: describeBounds(bounds, unit, control), reason });

  const sound = repeats.filter((r) => r.voided.length === 0);
  if (sound.length === 0) return open(repeats.map((r) => r.voided[0]).filter(Boolean).join('; '));
  const trusted = sound.filter((r) => !isSaturated(r));
  if (trusted.length === 0) return open(`the machine was saturated (CPU above ${formatPercent(lab.saturation, 0)}): lower the rate or use a larger machine`);

  const figures = trusted.map((evidence) => figuresOf(target, evidence));
  const firstMissing = figures.find((f) => f.kind === 'missing');
  if (firstMissing) return open(firstMissing.reason);
  const present = figures as Exclude<Figures, { kind: 'missing' }>[];
  const unit = (present[0] as { unit: Unit }).unit;
  const estimate = combine(present);
  const raw = decide(estimate, bounds);
  const outcome: Outcome = control ? (raw === 'fail' ? 'pass' : raw === 'pass' ? 'fail' : 'inconclusive') : raw;
  const detail = present.find((f) => f.kind === 'exact');
  return {
    ...base, outcome, estimate, unit,
    measured: detail?.kind === 'exact' ? `${estimate.value} (${detail.detail})` : describeEstimate(estimate, unit),
    wanted: describeBounds(bounds, unit, control),
    reason: outcome === 'inconclusive' ? whyOpen(estimate, unit) : control && outcome === 'fail' ? 'negative control: this check had to fail here' : null,
  };
}

function isControl(target: TargetFile, variant: Readonly<Record<string, string>>): boolean {
  const expectation = target['expect-fail'];
  if (typeof expectation !== 'object') return expectation ?? false;
  return (Array.isArray(expectation) ? expectation : [expectation]).some((w) => matches(w, variant));
}

/** Several repeats: the interval over repeats. One repeat: over its batches, where the figure has any. */
function combine(figures: readonly Exclude<Figures, { kind: 'missing' }>[]): Estimate {
  const first = figures[0] as Exclude<Figures, { kind: 'missing' }>;
  if (first.kind === 'exact') {
    const worst = Math.max(...figures.map((f) => (f as typeof first).value));
    return { value: worst, low: worst, high: worst, n: figures.length };
  }
  if (first.kind === 'share') {
    const hits = figures.reduce((sum, f) => sum + (f as typeof first).hits, 0);
    const trials = figures.reduce((sum, f) => sum + (f as typeof first).trials, 0);
    const [low, high] = wilson(hits, trials, 1.96);
    return { value: hits / trials, low, high, n: trials };
  }
  if (first.kind === 'quantile') return quantileInterval(figures.flatMap((f) => (f as typeof first).values), first.quantile);
  const never = figures.some((f) => f.kind === 'single' && f.value === Infinity);
  if (never) return { value: Infinity, low: Infinity, high: Infinity, n: figures.length };
  if (figures.length > 1) return meanInterval(figures.map((f) => (f.kind === 'samples' ? meanInterval(f.values).value : (f as { value: number }).value)));
  return first.kind === 'samples' ? meanInterval(batchMeans(first.values, BATCHES)) : meanInterval([first.value]);
}

function boundsOf(target: TargetFile): Bounds {
  if (target.check === 'reachability') return { atMost: 0 };
  const read = (text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    if (/s$/.test(text) && !/bps$/i.test(text)) return parseDurationUs(text);
    // A percentage is a fraction of 1 here: shares and losses are fractions already.
    return parseRateOf(text, 1);
  };
  const atLeast = read(target['at-least']);
  const atMost = read(target['at-most']);
  return { ...(atLeast === undefined ? {} : { atLeast }), ...(atMost === undefined ? {} : { atMost }) };
}

export function formatValue(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return value > 0 && unit === 'durationUs' ? 'never' : value > 0 ? '∞' : '−∞';
  switch (unit) {
    case 'rate': return formatRate(value);
    case 'fraction': return formatPercent(value);
    case 'durationUs': return formatDurationUs(value);
    case 'flows': return String(value);
  }
}

function describeEstimate(e: Estimate, unit: Unit): string {
  const value = formatValue(e.value, unit);
  return Number.isFinite(e.low) || Number.isFinite(e.high) ? `${value} [${formatValue(e.low, unit)}, ${formatValue(e.high, unit)}]` : `${value} (one run)`;
}

function describeBounds({ atLeast, atMost }: Bounds, unit: Unit, control: boolean): string {
  if (unit === 'flows') return control ? 'a wrong flow' : 'no wrong flow';
  const parts = [atLeast === undefined ? '' : `≥ ${formatValue(atLeast, unit)}`, atMost === undefined ? '' : `≤ ${formatValue(atMost, unit)}`].filter(Boolean);
  return control ? `not ${parts.join(' and ')}` : parts.join(' and ');
}

function whyOpen(estimate: Estimate, unit: Unit): string {
  if (Number.isNaN(estimate.value)) return 'the judged window holds no figures: judge a longer one';
  if (estimate.n <= 1) return 'one run gives no interval: use --repeat 3 or more';
  return `the interval ${formatValue(estimate.low, unit)} to ${formatValue(estimate.high, unit)} contains the bound: more repeats would settle it`;
}

export function overall(verdicts: readonly Verdict[]): Outcome {
  if (verdicts.some((v) => v.outcome === 'fail')) return 'fail';
  return verdicts.some((v) => v.outcome === 'inconclusive') ? 'inconclusive' : 'pass';
}
