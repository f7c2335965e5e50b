/** What a target of a topology file is: a figure held against a bound. */
import { Type, type Static } from 'typebox';
import type { DeepReadonly } from '../core/readonly.ts';
import { closed, duration, name, oneOrMany, opt, pattern, percent, rate, rateOrPercent, text } from '../core/config/parts.ts';

const ipv4 = (description: string) => pattern('^[0-9]{1,3}(\\.[0-9]{1,3}){3}$', 'an address such as "10.64.0.200"', description);

export const when = Type.Record(Type.String(), oneOrMany(Type.String()), {
  description: 'Only in cells whose matrix values match, e.g. {load: [tcp, udp]}.',
});

export const targetBase = {
  name: Type.String({ minLength: 1, description: 'Name in the verdict table; starts with the requirement id where there is one.' }),
  requirement: opt(pattern('^R[0-9]+-[0-9]+$', 'a requirement id such as "R4-6"', 'Requirement that this target tests.')),
  kind: opt(Type.Enum(['invariant', 'measurement'], { description: 'invariant: does not depend on the speed of the machine, so that it must hold in every run, also on a busy machine (counts, order, a control that must fail). measurement: judged by its interval (default).' })),
  when: opt(when),
  'expect-fail': opt(Type.Union([Type.Boolean(), when, Type.Array(when)], { description: 'Negative control: the check itself must fail here, or the target is missed.' })),
  phase: opt(name('Phase that is judged (default: the last).')),
  from: opt(duration('Start of the judged window within the phase.')),
  to: opt(duration('End of the judged window within the phase.')),
  'relative-to': opt(closed({
    cell: opt(Type.Record(Type.String(), Type.String(), { description: 'Matrix values of the reference, e.g. {load: idle}; the others are those of this cell.' })),
    phase: opt(name('Phase of the reference (default: the same).')),
    allowance: opt(duration('Subtracted from the figure first: what cannot be avoided, e.g. waiting behind a frame of another guarantee. For durations.')),
  }, { description: 'The figure is divided by the same figure there, and the bounds are percentages: 100% is no difference.' })),
};

const count = Type.Integer({ minimum: 0, description: 'Number.' });
export const bound = {
  'at-least': opt(Type.Union([rateOrPercent('Lower bound.'), duration('Lower bound.'), count])),
  'at-most': opt(Type.Union([rateOrPercent('Upper bound.'), duration('Upper bound.'), count])),
};
const sharedSource = {
  capture: opt(Type.String({ description: 'Capture point "node:interface" whose packets are judged.' })),
  label: opt(Type.String({ description: 'Node label that packets are grouped by (default tenant).' })),
  group: opt(Type.String({ description: 'Value of that label, e.g. A.' })),
};

/** Checks of the testbed itself; systems bring others. */
export const BUILT_IN_CHECKS = ['reachability', 'rate', 'loss', 'latency', 'bandwidth-isolation', 'counter', 'answers', 'packets'] as const;
declare const ofSystem: unique symbol;

/** A target whose check a system brings: its own keys are validated with that system's schema (src/systems). */
const systemTarget = Type.Object({
  check: Type.Unsafe<string & { readonly [ofSystem]: true }>(Type.String({ not: { enum: [...BUILT_IN_CHECKS] } })), ...targetBase, ...bound,
});

export const targetSchema = Type.Union([
  closed({ check: Type.Literal('reachability'), ...targetBase, flow: opt(name('Flow (default: all of the phase).')), blocked: opt(Type.Boolean({ description: 'The flow must NOT get through.' })) }),
  closed({ check: Type.Literal('rate'), ...targetBase, ...bound, ...sharedSource, flow: opt(name('Flow, as its receiver reports it; or give a capture and group.')) }),
  closed({ check: Type.Literal('loss'), ...targetBase, ...bound, flow: name('UDP flow.') }),
  closed({ check: Type.Literal('latency'), ...targetBase, ...bound, flow: name('Prober flow.'), quantile: opt(percent('Quantile of the round-trip time (default 99%).')) }),
  closed({
    check: Type.Literal('bandwidth-isolation'), ...targetBase, ...sharedSource,
    capacity: rate('Rate of the contended link; percentages below are of it.'),
    metric: Type.Enum(['share', 'utilisation', 'shortfall', 'worst-shortfall', 'peak', 'ramp', 'reaction', 'recovery', 'victim-recovery', 'owed'], { description: 'share: mean rate of the group over the capacity. utilisation: of all groups. shortfall: bytes below the guarantee over guaranteed bytes; worst-shortfall: in the worst 100 ms window. peak: highest 100 ms window. ramp: how fast the rate of the group rises in the window, as capacity per second. reaction: from when the group exceeds `settles-at` after `event` until it stays at or below it (+ 5 %). recovery: from when the group stops near `event` until ≥ 95 % of the capacity is used again. victim-recovery: from `event` until the group has ≥ 95 % of its guarantee again, for 200 ms. owed: bytes below the guarantee until then.' }),
    guarantee: opt(rateOrPercent('Guarantee of the group (for shortfall and victim-recovery, and drawn in the report).')),
    'settles-at': opt(rateOrPercent('Allocation that the group must settle at (reaction).')),
    published: opt(percent('What the literature reports or predicts here; drawn beside the measured figure.')),
    event: opt(duration('When the step happens, within the phase (reaction, recovery).')),
    ...bound,
  }),
  closed({ check: Type.Literal('counter'), ...targetBase, ...bound, system: name('System.'), counter: Type.String({ description: 'Final counter of its agents, e.g. limiters.' }), node: opt(name('Node of the agent (default: the sum over all).')) }),
  closed({ check: Type.Literal('answers'), ...targetBase, operation: opt(text('Operation of `request` events (default: all of the phase).')) }),
  closed({
    check: Type.Literal('packets'), ...targetBase, ...bound,
    capture: Type.String({ description: 'Capture point "node:interface" whose packets are counted; those that its filter and direction leave out are not.' }),
    protocol: opt(Type.Enum(['tcp', 'udp', 'icmp'], { description: 'Only of this protocol.' })),
    source: opt(ipv4('Only from this address.')), destination: opt(ipv4('Only to this address.')),
    port: opt(Type.Integer({ minimum: 0, maximum: 65_535, description: 'Only to this port.' })),
  }),
  systemTarget,
], { description: 'A figure held against a bound; decided by its interval.' });

export type TargetFile = DeepReadonly<Static<typeof targetSchema>>;
export type SystemTarget = DeepReadonly<Static<typeof systemTarget>>;
export type When = DeepReadonly<Static<typeof when>>;
