/** Evidence to verdicts: pure functions over what the evidence folder holds. */
import { clockProblem } from '../clocks/samples.ts';
import { mean } from 'simple-statistics';
import { formatDurationUs, formatPercent, formatRate, parseDurationUs, parseRateOf } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { matches } from '../topology/matrix.ts';
import type { TargetFile } from '../topology/schema.ts';
import { isBounded, isBuiltIn, unitOfTarget, type Unit } from '../topology/units.ts';
import type { Checks, Figures } from './check.ts';
import { figuresOf } from './figures.ts';
import { batches, decide, meanInterval, quantileOf, ratio, shareInterval, shifted, type Bounds, type Estimate, type Outcome } from './statistics.ts';

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

/** Batches of one run, each of at least two 100 ms windows. */
const BATCHES = 8;
const LEAST_WINDOWS = 2;
/** A quantile needs this many values beyond it in every batch. */
const BEYOND_QUANTILE = 2;
/** With fewer sound repeats than planned, and fewer than this, a lucky one would decide. */
const ENOUGH_REPEATS = 3;
/** A repeat is not trusted if more than this share of its load samples is above the limit. */
const SATURATED_SHARE = 0.1;

/** All repeats of a cell; undefined: it was not run. */
export type CellLookup = (variant: Readonly<Record<string, string>>) => readonly CellEvidence[] | undefined;

export interface JudgeOptions {
  /** How many repeats the run was to have (default: those that there are). */
  readonly planned?: number;
  /** Finds the cells that targets compare with. */
  readonly lookup?: CellLookup;
  /** What systems bring. */
  readonly checks?: Checks;
}

type Judging = Required<JudgeOptions>;

export function verdictsOf(repeats: readonly CellEvidence[], options: JudgeOptions = {}): Verdict[] {
  const judging: Judging = { planned: repeats.length, lookup: () => undefined, checks: new Map(), ...options };
  const lab = repeats[0]?.lab;
  return lab ? lab.targets.map((target) => judge(target, repeats, judging)) : [];
}

/** Start and end of a phase (default: the last) in epoch milliseconds. */
function timeOf(evidence: CellEvidence, phaseName?: string): [fromMs: number, toMs: number] | undefined {
  const phase = phaseName === undefined ? evidence.phases.at(-1) : evidence.phases.find((p) => p.phase === phaseName);
  if (!phase) return undefined;
  const fromMs = Number(BigInt(phase.startedNs) / 1_000_000n);
  return [fromMs, fromMs + phase.durationUs / 1000];
}

/** Why the clocks make the judged time worth nothing; undefined: they were good. */
export function clockTrouble(evidence: CellEvidence, target: Pick<TargetFile, 'phase' | 'from' | 'to'>): string | undefined {
  const time = timeOf(evidence, target.phase);
  if (!time) return undefined;
  const [fromMs, toMs] = time;
  return clockProblem(evidence.clocks, fromMs + parseDurationUs(target.from ?? '0s') / 1000, target.to === undefined ? toMs : fromMs + parseDurationUs(target.to) / 1000);
}

/** Was a machine the limit while this phase ran (default: the last)? An idle phase must not dilute a busy one. */
export function isSaturated(evidence: CellEvidence, phaseName?: string): boolean {
  const [fromMs, toMs] = timeOf(evidence, phaseName) ?? [-Infinity, Infinity];
  const samples = evidence.load.filter((s) => s.atMs >= fromMs && s.atMs <= toMs);
  return [...Map.groupBy(samples, (s) => s.machine).values()].some((own) => own.filter((s) => s.busy > evidence.lab.saturation).length / own.length > SATURATED_SHARE);
}

function judge(target: TargetFile, repeats: readonly CellEvidence[], judging: Judging): Verdict {
  const lab = (repeats[0] as CellEvidence).lab;
  const bounds = boundsOf(target);
  const control = isControl(target, lab.variant);
  const unit = target['relative-to'] === undefined ? unitOf(target, judging.checks) : 'fraction';
  const base = { cell: lab.cell, target: target.name, requirement: target.requirement ?? null, check: target.check, control, bounds, unit, wanted: describeBounds(bounds, target, unit, control) };
  const measurement = measure(target, repeats, judging);
  if (typeof measurement === 'string') return { ...base, outcome: 'inconclusive', estimate: null, measured: '–', reason: measurement };
  const { estimate, detail } = measurement;
  const raw = decide(estimate, bounds);
  const outcome: Outcome = control ? (raw === 'fail' ? 'pass' : raw === 'pass' ? 'fail' : 'inconclusive') : raw;
  return {
    ...base, outcome, estimate,
    measured: describeEstimate(estimate, unit),
    reason: outcome === 'inconclusive' ? whyOpen(estimate, unit) : control && outcome === 'fail' ? 'negative control: this check had to fail here' : (detail ?? null),
  };
}

interface Measurement {
  readonly estimate: Estimate;
  readonly detail?: string;
}

/** The figure of a target over all repeats, or why there is none. */
function measure(target: TargetFile, repeats: readonly CellEvidence[], judging: Judging): Measurement | string {
  const own = measureHere(target, repeats, judging);
  const reference = target['relative-to'];
  if (reference === undefined || typeof own === 'string') return own;
  const variant = { ...repeats[0]?.lab.variant, ...reference.cell };
  const there = reference.cell === undefined ? repeats : judging.lookup(variant);
  const place = [...Object.values(reference.cell ?? {}), reference.phase ?? ''].filter(Boolean).join(' ');
  if (!there || there.length === 0) return `the cell to compare with (${place}) was not run`;
  const theirs = measureHere({ ...target, ...(reference.phase === undefined ? {} : { phase: reference.phase }) }, there, judging);
  if (typeof theirs === 'string') return `${place}: ${theirs}`;
  const allowanceUs = reference.allowance === undefined ? 0 : parseDurationUs(reference.allowance);
  return { estimate: ratio(shifted(own.estimate, -allowanceUs), theirs.estimate) };
}

function measureHere(target: TargetFile, repeats: readonly CellEvidence[], { planned, checks }: Judging): Measurement | string {
  const lab = (repeats[0] as CellEvidence).lab;
  const sound = repeats.filter((r) => r.voided.length === 0);
  if (sound.length === 0) return repeats.map((r) => r.voided[0]).filter(Boolean).join('; ');
  const timed = sound.filter((r) => clockTrouble(r, target) === undefined);
  if (timed.length === 0) return sound.map((r) => clockTrouble(r, target)).find(Boolean) as string;
  const trusted = timed.filter((r) => !isSaturated(r, target.phase));
  if (trusted.length === 0) return `the machine was saturated (CPU above ${formatPercent(lab.saturation, 0)}): lower the rate or use a larger machine`;
  const figures = trusted.map((evidence) => figuresOf(target, evidence, checks));
  const present = figures.filter((f) => f.kind !== 'missing');
  const absent = figures.find((f) => f.kind === 'missing');
  if (present.length < planned && present.length < ENOUGH_REPEATS) {
    if (planned === 1 && absent) return absent.reason;
    return `only ${present.length} of ${planned} repeats can be judged: ${absent?.reason ?? 'the others are incomplete, voided, saturated or with clocks out of bounds'}`;
  }
  const exact = present.find((f) => f.kind === 'exact');
  const clockBoundUs = Math.max(0, ...present.map((f) => f.clockBoundUs ?? 0));
  const bounds = boundsOf(target);
  const finest = Math.min(bounds.atMost ?? Infinity, bounds.atLeast ?? Infinity);
  if (target['relative-to'] === undefined && finest < 2 * clockBoundUs) return `the target is below twice what the clocks are known to (± ${formatDurationUs(clockBoundUs)}): better clocks would settle it`;
  return { estimate: widened(combine(present, bounds), clockBoundUs), ...(exact?.kind === 'exact' && exact.detail !== undefined ? { detail: exact.detail } : {}) };
}

function isControl(target: TargetFile, variant: Readonly<Record<string, string>>): boolean {
  const expectation = target['expect-fail'];
  if (typeof expectation !== 'object') return expectation ?? false;
  return (Array.isArray(expectation) ? expectation : [expectation]).some((w) => matches(w, variant));
}

/** Several repeats: the interval over repeats. One repeat: over its batches, where the figure has any. */
function combine(figures: readonly Exclude<Figures, { kind: 'missing' }>[], { atLeast }: Bounds): Estimate {
  const first = figures[0] as Exclude<Figures, { kind: 'missing' }>;
  if (first.kind === 'exact') {
    const values = figures.map((f) => (f as typeof first).value);
    const worst = atLeast !== undefined && Math.min(...values) < atLeast ? Math.min(...values) : Math.max(...values);
    return { value: worst, low: worst, high: worst, n: figures.length };
  }
  if (first.kind === 'share') {
    const sum = (of: 'count' | 'of') => figures.reduce((n, f) => n + (f as typeof first)[of], 0);
    return shareInterval(sum('count'), sum('of'));
  }
  const never = figures.some((f) => f.kind === 'single' && f.value === Infinity);
  if (never) return { value: Infinity, low: Infinity, high: Infinity, n: figures.length };
  if (figures.length > 1) return interval(figures.map((f) => figureOf(f)));
  if (first.kind === 'samples') return interval(batches(first.values, BATCHES, LEAST_WINDOWS).map((values) => mean(values)));
  if (first.kind === 'quantile') {
    const least = Math.ceil(BEYOND_QUANTILE / Math.min(first.quantile, 1 - first.quantile));
    return interval(batches(first.values, BATCHES, least).map((values) => quantileOf(values, first.quantile)));
  }
  return interval([figureOf(first)]);
}

/** One repeat as one number. */
function figureOf(f: Exclude<Figures, { kind: 'missing' }>): number {
  if (f.kind === 'samples') return mean([...f.values]);
  if (f.kind === 'share') return f.count / f.of;
  return f.kind === 'quantile' ? quantileOf(f.values, f.quantile) : f.value;
}

/** Infinite parts (requests that were never answered) leave no finite mean: then the figure is infinite, for certain. */
function interval(values: readonly number[]): Estimate {
  return values.includes(Infinity) ? { value: Infinity, low: Math.min(...values), high: Infinity, n: values.length } : meanInterval(values);
}

const unitOf = (target: TargetFile, checks: Checks): Unit => (isBuiltIn(target) ? unitOfTarget(target) : (checks.get(target.check)?.unit(target) ?? 'count'));

/** By what the clocks leave open. */
const widened = (e: Estimate, byUs: number): Estimate => (byUs === 0 ? e : { ...e, low: e.low - byUs, high: e.high + byUs });

function boundsOf(target: TargetFile): Bounds {
  if (!isBounded(target)) return { atMost: 0 };
  const read = (text: string | number | undefined): number | undefined => {
    if (text === undefined || typeof text === 'number') return text;
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
    case 'count': return String(Number.isInteger(value) ? value : Number(value.toPrecision(3)));
  }
}

function describeEstimate(e: Estimate, unit: Unit): string {
  const value = formatValue(e.value, unit);
  if (e.value === Infinity || (e.low === e.value && e.high === e.value)) return value;
  return Number.isFinite(e.low) || Number.isFinite(e.high) ? `${value} [${formatValue(e.low, unit)}, ${formatValue(e.high, unit)}]` : `${value} (one run)`;
}

function describeBounds({ atLeast, atMost }: Bounds, target: TargetFile, unit: Unit, control: boolean): string {
  if (target.check === 'reachability') return control ? 'a wrong flow' : 'no wrong flow';
  if (target.check === 'answers') return control ? 'a wrong answer' : 'no wrong answer';
  const parts = [atLeast === undefined ? '' : `≥ ${formatValue(atLeast, unit)}`, atMost === undefined ? '' : `≤ ${formatValue(atMost, unit)}`].filter(Boolean);
  const reference = target['relative-to'];
  const of = reference === undefined ? '' : ` of ${[...Object.values(reference.cell ?? {}), reference.phase ?? ''].filter(Boolean).join(' ')}`;
  return `${control ? 'not ' : ''}${parts.join(' and ')}${of}`;
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
