/** What a metric of a system's check is, and the check that its metrics make. */
import { Type, type TProperties } from 'typebox';
import { missing, type Check, type Figures, type Window } from '../../src/checks/check.ts';
import { needsCapture, needsKeys } from '../../src/checks/problems.ts';
import type { CellEvidence } from '../../src/evidence/cell.ts';
import type { PhaseRecord } from '../../src/evidence/records.ts';

/** `Seen`: what it is made of. */
export interface Metric<Seen, Key extends string = never> {
  readonly what: string;
  /** Keys that its targets must have. */
  readonly needs?: readonly Key[];
  /** Default: count. */
  readonly unit?: 'durationUs';
  readonly figures: (seen: Seen) => Figures;
}

/** A table of metrics, by name. */
export const metrics =
  <Seen, Key extends string = never>() =>
  <Name extends string>(table: Readonly<Record<Name, Metric<Seen, Key>>>): Readonly<Record<Name, Metric<Seen, Key>>> =>
    table;

/** What metrics of a table are made of, for a target; a text says why there is nothing. */
type Look<Target, Seen> = (target: Target, ...at: Readings) => Seen | string;
type Readings = readonly [evidence: CellEvidence, phase: PhaseRecord, window: Window];

/** A metric that finds by itself what it is made of. */
interface Measure<Target> extends Omit<Metric<never, string>, 'figures'> {
  readonly figures: (target: Target, ...at: Readings) => Figures;
}

/** The metrics of a table as measures, by name. */
export const measures = <Target, Seen, Name extends string>(
  table: Readonly<Record<Name, Metric<Seen, string>>>,
  look: Look<Target, Seen>,
): Readonly<Record<Name, Measure<Target>>> => {
  const measure = ({ figures, ...rest }: Metric<Seen, string>): Measure<Target> => ({
    ...rest,
    figures: (target, ...at) => {
      const seen = look(target, ...at);
      return typeof seen === 'string' ? missing(seen) : figures(seen);
    },
  });
  return Object.fromEntries(Object.entries<Metric<Seen, string>>(table).map(([name, metric]) => [name, measure(metric)])) as Record<
    Name,
    Measure<Target>
  >;
};

interface Keys {
  readonly capture?: string | readonly string[];
}

/** A check whose key `metric` chooses one of them. `keys`: of its targets beside. */
export function metricCheck<Target extends Keys, Name extends string>(
  name: string,
  keys: TProperties,
  table: Readonly<Record<Name, Measure<Target>>>,
): Check<Target & { readonly metric: Name }> {
  return {
    name,
    keys: {
      metric: Type.Enum(Object.keys(table), {
        description: Object.entries<Measure<Target>>(table)
          .map(([metric, { what }]) => `${metric}: ${what}`)
          .join(' '),
      }),
      ...keys,
    },
    unit: ({ metric }) => table[metric].unit ?? 'count',
    problems: (target, lab) => [
      ...needsKeys(target, target.metric, table[target.metric].needs ?? []),
      ...(many(target.capture) ?? []).flatMap((at) => needsCapture(at, lab)),
    ],
    figures: (target, ...at) => table[target.metric].figures(target, ...at),
  };
}

export const many = (value: string | readonly string[] | undefined): readonly string[] | undefined =>
  value === undefined ? undefined : typeof value === 'string' ? [value] : value;

export const exact = (value: number, detail?: string): Figures => ({ kind: 'exact', value, ...(detail === undefined ? {} : { detail }) });
