/** Metrics of probes: who answered whom. */
import { Type } from 'typebox';
import { missing, type Window } from '../../../src/checks/check.ts';
import { names, oneOrMany, opt, percent, text } from '../../../src/core/config/parts.ts';
import { expandAll } from '../../../src/core/config/ranges.ts';
import { parseFraction } from '../../../src/core/units.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { exact, many, metrics } from '../metric.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { probesOf, type Probe } from './probes.ts';

export const probeKeys = {
  hosts: opt(oneOrMany(names('Hosts that ask (default: all).'))),
  asked: opt(oneOrMany(text('What they ask: address, or name of a host (default: all).'))),
  by: opt(text('Host that is meant (default: the one that is asked by its name).')),
  protocol: opt(Type.Enum(['tcp', 'udp'], { description: 'Only of this protocol.' })),
  quantile: opt(percent('Quantile (default 50%).')),
};
type Keys = KeysOf<typeof probeKeys>;

interface SeenProbes {
  readonly target: Keys;
  /** At least one. */
  readonly probes: readonly Probe[];
  readonly answered: readonly Probe[];
  /** Another host answered than the one that is meant, or nobody. */
  readonly isWrong: (probe: Probe) => boolean;
}

export function seenProbes(target: Keys, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): SeenProbes | string {
  const hosts = target.hosts === undefined ? undefined : expandAll(target.hosts);
  const asked = many(target.asked);
  const probes = probesOf(evidence, phase).filter(
    (p) =>
      p.atUs >= fromUs &&
      p.atUs < toUs &&
      (hosts?.includes(p.from) ?? true) &&
      (asked?.includes(p.to) ?? true) &&
      (target.protocol === undefined || p.protocol === target.protocol),
  );
  if (probes.length === 0) return 'no host asked';
  return { target, probes, answered: probes.filter((p) => p.by !== null), isWrong: (p) => p.by !== (target.by ?? p.to) };
}

/** Every flow has its own way: some are answered while others are not. */
function outageUs(probes: readonly Probe[]): number {
  const unanswered = probes.filter((p) => p.by === null).map((p) => p.atUs);
  return unanswered.length === 0 ? 0 : Math.max(...unanswered) - Math.min(...unanswered);
}

const NOBODY = missing('nobody answered');

export const PROBE_METRICS = metrics<SeenProbes>()({
  answered: { what: 'Probes that anybody answered.', figures: ({ answered }) => exact(answered.length) },
  unanswered: {
    what: 'Probes that the host that is meant did not answer.',
    figures: ({ probes, isWrong }) => exact(probes.filter(isWrong).length, `of ${probes.length}`),
  },
  astray: {
    what: 'Probes that another host answered than the one that is meant.',
    figures: ({ answered, isWrong }) => {
      const wrong = answered.filter(isWrong);
      return answered.length === 0 ? NOBODY : exact(wrong.length, wrong[0] && `${wrong[0].by} answered ${wrong[0].from}`);
    },
  },
  altered: {
    what: 'Answers whose data are not what was sent.',
    figures: ({ answered }) => (answered.length === 0 ? NOBODY : exact(answered.filter((p) => !p.intact).length)),
  },
  outage: {
    what: 'From the first probe that nobody answered to the last.',
    unit: 'durationUs',
    figures: ({ probes, answered }) => (answered.length === 0 ? NOBODY : exact(outageUs(probes))),
  },
  latency: {
    what: 'Until the answer, a quantile; what nobody answered took for ever.',
    unit: 'durationUs',
    figures: ({ target, probes }) => ({
      kind: 'quantile',
      values: probes.map((p) => p.us),
      quantile: parseFraction(target.quantile ?? '50%'),
    }),
  },
});
