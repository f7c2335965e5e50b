/** bandwidth-isolation: what groups get of a contended link, and how fast (R4 section 6). */
import { Type } from 'typebox';
import { mean } from 'simple-statistics';
import { missing, type Check, type Figures } from '../../../src/checks/check.ts';
import { needsGroups, needsKeys } from '../../../src/checks/problems.ts';
import { carriesGroups, groupKeys, NOTHING_SEEN, readGroups, WINDOW_US } from '../../../src/checks/series.ts';
import { duration, opt, percent, rate, rateOrPercent } from '../../../src/core/config/parts.ts';
import { formatPercent, parseDurationUs, parseRateOf } from '../../../src/core/units.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import type { TargetFile } from '../../../src/topology/target.ts';
import { highest, owedBytes, rampPerSecond, reactionUs, recoveryUs, shares, shortfalls, victimRecoveryUs } from './isolation.ts';

const METRICS = {
  share: 'Mean rate of the group over the capacity.',
  utilisation: 'Mean rate of all groups over the capacity.',
  shortfall: 'Bytes below the guarantee over guaranteed bytes.',
  'worst-shortfall': 'The same in the worst 100 ms window.',
  peak: 'Highest 100 ms window.',
  ramp: 'How fast the rate of the group rises in the window, as capacity per second.',
  reaction: 'From when the group exceeds `settles-at` after `event` until it stays at or below it (+ 5 %).',
  recovery: 'From when the group stops near `event` until ≥ 95 % of the capacity is used again.',
  'victim-recovery': 'From `event` until the group has ≥ 95 % of its guarantee again, for 200 ms.',
  owed: 'Bytes below the guarantee until then.',
} as const;
type Metric = keyof typeof METRICS;

const keys = {
  ...groupKeys,
  capacity: rate('Rate of the contended link; percentages below are of it.'),
  metric: Type.Enum(Object.keys(METRICS) as Metric[], {
    description: Object.entries(METRICS)
      .map(([name, what]) => `${name}: ${what}`)
      .join(' '),
  }),
  guarantee: opt(rateOrPercent('Guarantee of the group (for shortfall and victim-recovery, and drawn in the report).')),
  'settles-at': opt(rateOrPercent('Allocation that the group must settle at (reaction).')),
  published: opt(percent('What the literature reports or predicts here; drawn beside the measured figure.')),
  event: opt(duration('When the step happens, within the phase (reaction, recovery).')),
};
type Keys = KeysOf<typeof keys>;
/** A target of this check. */
export type IsolationTarget = TargetFile & Keys;

const NAME = 'bandwidth-isolation';
export const isIsolation = (target: TargetFile): target is IsolationTarget => target.check === NAME;

const NEEDS: Readonly<Record<Metric, readonly ('guarantee' | 'settles-at' | 'event' | 'group')[]>> = {
  utilisation: [],
  share: ['group'],
  peak: ['group'],
  ramp: ['group'],
  shortfall: ['group', 'guarantee'],
  'worst-shortfall': ['group', 'guarantee'],
  'victim-recovery': ['group', 'guarantee', 'event'],
  owed: ['group', 'guarantee', 'event'],
  reaction: ['group', 'settles-at', 'event'],
  recovery: ['group', 'event'],
};
const TIMES: readonly Metric[] = ['reaction', 'recovery', 'victim-recovery'];

/** A link cannot carry more than this part of its capacity for a whole window: then the capture or the capacity is wrong. */
const IMPOSSIBLE = 1.02;

const isolation: Check<Keys> = {
  name: NAME,
  keys,
  unit: ({ metric }) => (metric === 'owed' ? 'count' : TIMES.includes(metric) ? 'durationUs' : 'fraction'),
  problems: (target, lab) => [...needsKeys(target, target.metric, NEEDS[target.metric]), ...needsGroups(target, lab)],
  drawn({ capture, label = 'tenant', capacity, guarantee, group }) {
    const capacityBps = parseRateOf(capacity, 0);
    const level =
      guarantee === undefined || group === undefined
        ? null
        : { group, bps: parseRateOf(guarantee, capacityBps), label: `guarantee of ${group}` };
    return { capture, label, capacityBps, level };
  },
  figures(target, evidence, phase, window) {
    const series = readGroups(target, evidence, phase);
    if (typeof series === 'string') return missing(series);
    const capacityBps = parseRateOf(target.capacity, 0);
    const group = target.metric === 'utilisation' ? undefined : target.group;
    if (group !== undefined && !series.bytes.has(group)) return missing(`no interface is labelled ${target.label ?? 'tenant'}=${group}`);
    const { fromUs } = window;
    const eventUs = target.event === undefined ? fromUs : parseDurationUs(target.event);
    if (!carriesGroups(series, { fromUs: Math.min(fromUs, eventUs), toUs: window.toUs })) return missing(NOTHING_SEEN);
    const all = shares(series, undefined, capacityBps, window);
    if (all.length === 0) return missing(`the judged window holds no whole ${WINDOW_US / 1000} ms`);
    const used = mean(all);
    if (used > IMPOSSIBLE)
      return missing(`the capture shows ${formatPercent(used)} of the capacity: it holds both directions, or the capacity is wrong`);
    const guaranteeBps = target.guarantee === undefined ? null : parseRateOf(target.guarantee, capacityBps);
    const ofGuarantee = (figure: (bps: number) => Figures): Figures =>
      guaranteeBps === null ? missing(`${target.metric} needs a guarantee`) : figure(guaranteeBps);
    switch (target.metric) {
      case 'share':
      case 'utilisation':
        return { kind: 'series', values: shares(series, group, capacityBps, window), steady: true };
      case 'shortfall':
        return ofGuarantee((bps) => ({ kind: 'series', values: shortfalls(series, group, bps, window), steady: true }));
      case 'worst-shortfall':
        return ofGuarantee((bps) => ({ kind: 'exact', value: highest(shortfalls(series, group, bps, window)) }));
      case 'peak': {
        const value = highest(shares(series, group, capacityBps, window));
        return value > 0 ? { kind: 'exact', value } : missing(`the group ${group ?? ''} sent nothing in the window`);
      }
      case 'ramp':
        return { kind: 'single', value: rampPerSecond(series, group, capacityBps, window) };
      case 'victim-recovery':
        return ofGuarantee((bps) => ({ kind: 'single', value: victimRecoveryUs(series, group, bps, eventUs, window.toUs) }));
      case 'owed':
        return ofGuarantee((bps) => ({ kind: 'single', value: owedBytes(series, group, bps, eventUs, window.toUs) }));
      case 'reaction':
        if (target['settles-at'] === undefined) return missing('reaction needs settles-at');
        return single(
          reactionUs(series, group, parseRateOf(target['settles-at'], capacityBps), eventUs, window.toUs),
          'the group never exceeded its allocation',
        );
      case 'recovery':
        return single(recoveryUs(series, group, capacityBps, eventUs, window.toUs), 'the group did not stop');
    }
  },
};

const single = (value: number | null, otherwise: string): Figures => (value === null ? missing(otherwise) : { kind: 'single', value });

export const checks: readonly Check[] = [isolation];
