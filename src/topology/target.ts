/** What a target of a topology file is: a figure held against a bound. Which figure, its check says (checks.ts). */
import { Type, type Static } from 'typebox';
import type { DeepReadonly } from '../core/readonly.ts';
import { closed, duration, name, oneOrMany, opt, pattern, rateOrPercent, record } from '../core/config/parts.ts';

export const when = record(oneOrMany(Type.String()), { description: 'Only in cells whose matrix values match, e.g. {load: [tcp, udp]}.' });

export const targetBase = {
  name: Type.String({ minLength: 1, description: 'Name in the verdict table; starts with the requirement id where there is one.' }),
  requirement: opt(pattern('^R[0-9]+-[0-9]+$', 'a requirement id such as "R4-6"', 'Requirement that this target tests.')),
  kind: opt(
    Type.Enum(['invariant', 'measurement'], {
      description:
        'invariant: does not depend on the speed of the machine, so that it must hold in every run, also on a busy machine (counts, order, a control that must fail). measurement: judged by its interval (default).',
    }),
  ),
  when: opt(when),
  'expect-fail': opt(
    Type.Union([Type.Boolean(), when, Type.Array(when)], {
      description: 'Negative control: the check itself must fail here, or the target is missed.',
    }),
  ),
  phase: opt(name('Phase that is judged (default: the last).')),
  from: opt(duration('Start of the judged window within the phase.')),
  to: opt(duration('End of the judged window within the phase.')),
  'relative-to': opt(
    closed(
      {
        cell: opt(
          record(Type.String(), { description: 'Matrix values of the reference, e.g. {load: idle}; the others are those of this cell.' }),
        ),
        phase: opt(name('Phase of the reference (default: the same).')),
        allowance: opt(
          duration(
            'Subtracted from the figure first: what cannot be avoided, e.g. waiting behind a frame of another guarantee. For durations.',
          ),
        ),
      },
      { description: 'The figure is divided by the same figure there, and the bounds are percentages: 100% is no difference.' },
    ),
  ),
};

const count = Type.Integer({ minimum: 0, description: 'Number.' });
export const bound = {
  'at-least': opt(Type.Union([rateOrPercent('Lower bound.'), duration('Lower bound.'), count])),
  'at-most': opt(Type.Union([rateOrPercent('Upper bound.'), duration('Upper bound.'), count])),
};

/** Keys of its check come beside these. */
export const targetSchema = Type.Object(
  { check: Type.String({ description: 'Check that the target asks for.' }), ...targetBase, ...bound },
  { description: 'A figure held against a bound; decided by its interval.' },
);

/** Keys of checks are unknown here. */
export type TargetFile = DeepReadonly<Static<typeof targetSchema>> & Readonly<Record<string, unknown>>;
export type When = DeepReadonly<Static<typeof when>>;

export type TargetKind = 'invariant' | 'measurement';
export const kindOf = (target: TargetFile): TargetKind => target.kind ?? 'measurement';
