/** Evidence to verdicts: pure functions over what the evidence folder holds. */
import { clockProblem } from '../clocks/samples.ts';
import { isList } from '../core/readonly.ts';
import { CONFIDENCE } from '../core/sequential.ts';
import { formatDurationUs, formatPercent, parseDurationUs, parseRateOf } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { phaseStartUs } from '../evidence/phases.ts';
import { matches } from '../topology/matrix.ts';
import type { Unit } from '../topology/checks.ts';
import { kindOf, type TargetFile, type TargetKind } from '../topology/target.ts';
import { BUILT_IN } from './builtin/index.ts';
import { missing, type Check, type Checks, type Figures } from './check.ts';
import { combine, type Basis, type Combined, type Present } from './combine.ts';
import { figuresOf } from './figures.ts';
import { decide, ratio, shifted, type Bounds, type Estimate, type Outcome } from './statistics.ts';
import { describeBounds, describeEstimate, describeOpen } from './wording.ts';

export interface Verdict {
  readonly cell: string;
  readonly target: string;
  readonly requirement: string | null;
  readonly check: TargetFile['check'];
  /** invariant: does not depend on the machine's speed, so that it must hold in every run. */
  readonly kind: TargetKind;
  readonly outcome: Outcome;
  /** Negative control: passes because the check itself fails. */
  readonly control: boolean;
  readonly estimate: Estimate | null;
  /** Where the interval comes from; null: there is none. */
  readonly basis: Basis | null;
  readonly unit: Unit;
  readonly bounds: Bounds;
  /** "69.8% [69.1, 70.4]" */
  readonly measured: string;
  /** "≥ 63%" */
  readonly wanted: string;
  /** Why it is inconclusive, and what would settle it. */
  readonly reason: string | null;
  /** Repeats that the figure leaves out, and why. */
  readonly dropped: readonly DroppedRepeat[];
}

export interface DroppedRepeat {
  readonly repeat: number;
  /** no-figure: the repeat was sound, but holds nothing that could be judged; another one is not likely to. */
  readonly cause: 'voided' | 'clocks' | 'saturated' | 'no-figure';
  readonly reason: string;
}

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
  /** Default: those of the testbed itself. */
  readonly checks?: Checks;
  /** Of every interval (default 0.95); higher where a run looks at its figures several times (sequential.ts). */
  readonly confidence?: number;
}

type Judging = Required<JudgeOptions>;

export function verdictsOf(repeats: readonly CellEvidence[], options: JudgeOptions = {}): Verdict[] {
  const judging: Judging = { planned: repeats.length, lookup: () => undefined, checks: BUILT_IN, confidence: CONFIDENCE, ...options };
  const lab = repeats[0]?.lab;
  return lab ? lab.targets.map((target) => judge(target, repeats, judging)) : [];
}

/** Start and end of a phase (default: the last) in epoch milliseconds. */
function timeOf(evidence: CellEvidence, phaseName?: string): [fromMs: number, toMs: number] | undefined {
  const phase = phaseName === undefined ? evidence.phases.at(-1) : evidence.phases.find((p) => p.phase === phaseName);
  if (!phase) return undefined;
  const fromMs = phaseStartUs(phase) / 1000;
  return [fromMs, fromMs + phase.durationUs / 1000];
}

/** Why the clocks make the judged time worth nothing; undefined: they were good. */
export function clockTrouble(evidence: CellEvidence, target: Pick<TargetFile, 'phase' | 'from' | 'to'>): string | undefined {
  const time = timeOf(evidence, target.phase);
  if (!time) return undefined;
  const [fromMs, toMs] = time;
  return clockProblem(
    evidence.clocks,
    fromMs + parseDurationUs(target.from ?? '0s') / 1000,
    target.to === undefined ? toMs : fromMs + parseDurationUs(target.to) / 1000,
  );
}

/** Was a machine the limit while this phase ran (default: the last)? An idle phase must not dilute a busy one. */
export function isSaturated(evidence: CellEvidence, phaseName?: string): boolean {
  const [fromMs, toMs] = timeOf(evidence, phaseName) ?? [-Infinity, Infinity];
  const samples = evidence.load.filter((s) => s.atMs >= fromMs && s.atMs <= toMs);
  return [...Map.groupBy(samples, (s) => s.machine).values()].some(
    (own) => own.filter((s) => s.busy > evidence.lab.saturation).length / own.length > SATURATED_SHARE,
  );
}

function judge(target: TargetFile, repeats: readonly CellEvidence[], judging: Judging): Verdict {
  const lab = (repeats[0] as CellEvidence).lab;
  const check = judging.checks.get(target.check);
  const bounds = boundsOf(target, check);
  const control = isControl(target, lab.variant);
  const unit = target['relative-to'] === undefined ? (check?.unit(target) ?? 'count') : 'fraction';
  const { measurement, dropped } = measure(target, repeats, judging, control);
  const base = {
    cell: lab.cell,
    target: target.name,
    requirement: target.requirement ?? null,
    check: target.check,
    kind: kindOf(target),
    control,
    bounds,
    unit,
    wanted: describeBounds(bounds, target, check?.counts, unit, control),
    dropped,
  };
  if (typeof measurement === 'string')
    return { ...base, outcome: 'inconclusive', estimate: null, basis: null, measured: '–', reason: measurement };
  const { estimate, basis, detail } = measurement;
  const raw = basis === 'within-run' ? 'inconclusive' : decide(estimate, bounds);
  const outcome: Outcome = control ? (raw === 'fail' ? 'pass' : raw === 'pass' ? 'fail' : 'inconclusive') : raw;
  return {
    ...base,
    outcome,
    estimate,
    basis,
    measured: describeEstimate(estimate, unit, basis),
    reason:
      outcome === 'inconclusive'
        ? describeOpen(estimate, unit, basis)
        : control && outcome === 'fail'
          ? 'negative control: this check had to fail here'
          : (detail ?? null),
  };
}

interface Measured {
  /** A text says why there is none. */
  readonly measurement: Combined | string;
  readonly dropped: readonly DroppedRepeat[];
}

/** The figure of a target over all repeats. */
function measure(target: TargetFile, repeats: readonly CellEvidence[], judging: Judging, control: boolean): Measured {
  const own = measureHere(target, repeats, judging, control);
  const reference = target['relative-to'];
  if (reference === undefined || typeof own.measurement === 'string') return own;
  const open = (reason: string): Measured => ({ measurement: reason, dropped: own.dropped });
  const variant = { ...repeats[0]?.lab.variant, ...reference.cell };
  const there = reference.cell === undefined ? repeats : judging.lookup(variant);
  const place = [...Object.values(reference.cell ?? {}), reference.phase ?? ''].filter(Boolean).join(' ');
  if (!there || there.length === 0) return open(`the cell to compare with (${place}) was not run`);
  const { measurement: theirs, dropped } = measureHere(
    { ...target, ...(reference.phase === undefined ? {} : { phase: reference.phase }) },
    there,
    judging,
    false,
  );
  if (typeof theirs === 'string') return open(`${place}: ${theirs}`);
  const allowanceUs = reference.allowance === undefined ? 0 : parseDurationUs(reference.allowance);
  const basis = [own.measurement.basis, theirs.basis].includes('within-run')
    ? 'within-run'
    : theirs.basis === 'observed'
      ? own.measurement.basis
      : theirs.basis;
  return {
    measurement: { estimate: ratio(shifted(own.measurement.estimate, -allowanceUs), theirs.estimate), basis },
    dropped: [...own.dropped, ...dropped.map((d) => ({ ...d, reason: `${place}: ${d.reason}` }))],
  };
}

/** Why a repeat says nothing about a target; undefined: it does. */
function unsound(evidence: CellEvidence, target: TargetFile): Omit<DroppedRepeat, 'repeat'> | undefined {
  if (evidence.voided.length > 0) return { cause: 'voided', reason: evidence.voided.join('; ') };
  const trouble = clockTrouble(evidence, target);
  if (trouble !== undefined) return { cause: 'clocks', reason: trouble };
  // What does not depend on the machine's speed is true on a busy machine too.
  if (kindOf(target) === 'measurement' && isSaturated(evidence, target.phase))
    return {
      cause: 'saturated',
      reason: `the machine was saturated (CPU above ${formatPercent(evidence.lab.saturation, 0)}): lower the rate or use a larger machine`,
    };
  return undefined;
}

function measureHere(
  target: TargetFile,
  repeats: readonly CellEvidence[],
  { planned, checks, confidence }: Judging,
  control: boolean,
): Measured {
  const dropped: DroppedRepeat[] = [];
  const present: Present[] = [];
  for (const evidence of repeats) {
    const why = unsound(evidence, target);
    const figures: Figures = why ? missing(why.reason) : figuresOf(target, evidence, checks);
    if (figures.kind === 'missing') dropped.push({ repeat: evidence.repeat, cause: why?.cause ?? 'no-figure', reason: figures.reason });
    else present.push(figures);
  }
  const open = (reason: string): Measured => ({ measurement: reason, dropped });
  if (present.length === 0) return open([...new Set(dropped.map((d) => d.reason))].join('; '));
  if (present.length < planned && present.length < ENOUGH_REPEATS)
    return open(`only ${present.length} of ${planned} repeats can be judged: ${dropped[0]?.reason ?? 'the others were not run'}`);
  const clockBoundUs = Math.max(0, ...present.map((f) => f.clockBoundUs ?? 0));
  const bounds = boundsOf(target, checks.get(target.check));
  const finest = Math.min(bounds.atMost ?? Infinity, bounds.atLeast ?? Infinity);
  if (target['relative-to'] === undefined && finest < 2 * clockBoundUs)
    return open(
      `the bound (${formatDurationUs(finest)}) is smaller than twice the clock uncertainty (± ${formatDurationUs(clockBoundUs)}): use better clocks or a looser bound`,
    );
  const combined = combine(present, bounds, control, confidence);
  return { measurement: { ...combined, estimate: widened(combined.estimate, clockBoundUs) }, dropped };
}

function isControl(target: TargetFile, variant: Readonly<Record<string, string>>): boolean {
  const expectation = target['expect-fail'];
  if (typeof expectation !== 'object') return expectation ?? false;
  return (isList(expectation) ? expectation : [expectation]).some((w) => matches(w, variant));
}

/** By what the clocks leave open. */
const widened = (e: Estimate, byUs: number): Estimate => (byUs === 0 ? e : { ...e, low: e.low - byUs, high: e.high + byUs });

function boundsOf(target: TargetFile, check: Check | undefined): Bounds {
  if (check?.counts !== undefined) return { atMost: 0 };
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

/** More repeats may decide it. */
export const wantsRepeats = ({ outcome, kind, estimate, dropped }: Verdict): boolean =>
  outcome === 'inconclusive' && kind === 'measurement' && (estimate !== null || dropped.some((d) => d.cause !== 'no-figure'));

/** Nothing that was judged is nothing that was met. */
export function overall(verdicts: readonly Verdict[]): Outcome {
  if (verdicts.some((v) => v.outcome === 'fail')) return 'fail';
  return verdicts.length === 0 || verdicts.some((v) => v.outcome === 'inconclusive') ? 'inconclusive' : 'pass';
}
