/** What a metric of the traffic-hub check is, and the keys that its targets may have. */
import { Type } from 'typebox';
import type { Figures } from '../../../src/checks/check.ts';
import { names, oneOrMany, opt, pattern, percent, text } from '../../../src/core/config/parts.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';

export const keys = {
  hosts: opt(oneOrMany(names('Hosts that ask (default: all).'))),
  asked: opt(oneOrMany(text('What they ask: address, or name of a host (default: all).'))),
  by: opt(text('Host that is meant (default: the one that is asked by its name).')),
  protocol: opt(Type.Enum(['tcp', 'udp'], { description: 'Only of this protocol.' })),
  capture: opt(oneOrMany(text('Capture points, "node:interface".'))),
  packet: opt(Type.Enum(['first', 'later'], { description: 'delay: of flows, the first packets, or all others (default: all).' })),
  port: opt(Type.Integer({ minimum: 1, maximum: 65_535, description: 'sources, outside, unlike-flows: only to this port.' })),
  addresses: opt(pattern('^[0-9.]{7,15}/[0-9]{1,2}$', 'a prefix such as "100.127.0.0/20"', 'outside: allowed sources.')),
  ports: opt(
    Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), {
      minItems: 2,
      maxItems: 2,
      description: 'outside: the first and the last one.',
    }),
  ),
  destination: opt(text('handed, late, misdirected, staleness, miscopied, outside, unlike-flows: only to this address.')),
  operation: opt(text('late, staleness: operation.')),
  zone: opt(text('questions: only for names of this zone.')),
  network: opt(text('miscounted, strayed: isolated network.')),
  quantile: opt(percent('Quantile (default 50%).')),
};
export type Keys = KeysOf<typeof keys>;

/** `Seen`: what it is made of. */
export interface Metric<Seen> {
  readonly what: string;
  /** Keys that its targets must have. */
  readonly needs?: readonly (keyof Keys)[];
  /** Default: count. */
  readonly unit?: 'durationUs';
  readonly figures: (seen: Seen) => Figures;
}

/** A table of metrics, by name. */
export const metrics =
  <Seen>() =>
  <Name extends string>(table: Readonly<Record<Name, Metric<Seen>>>): Readonly<Record<Name, Metric<Seen>>> =>
    table;

export const many = (value: string | readonly string[] | undefined): readonly string[] | undefined =>
  value === undefined ? undefined : typeof value === 'string' ? [value] : value;

export const exact = (value: number, detail?: string): Figures => ({ kind: 'exact', value, ...(detail === undefined ? {} : { detail }) });
