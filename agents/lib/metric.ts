/** What a metric of a system's check is. */
import type { Figures } from '../../src/checks/check.ts';

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

export const many = (value: string | readonly string[] | undefined): readonly string[] | undefined =>
  value === undefined ? undefined : typeof value === 'string' ? [value] : value;

export const exact = (value: number, detail?: string): Figures => ({ kind: 'exact', value, ...(detail === undefined ? {} : { detail }) });
