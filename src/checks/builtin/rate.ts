/** Rate of a flow, as its receiver reports it, or of a group of nodes at a capture point. */
import { name, opt } from '../../core/config/parts.ts';
import type { CellEvidence } from '../../evidence/cell.ts';
import type { PhaseRecord } from '../../evidence/records.ts';
import type { KeysOf } from '../../topology/checks.ts';
import { missing, type Check, type Figures, type Window } from '../check.ts';
import { EDGE_US, findFlow, flowWindow } from '../figures.ts';
import { needsFlow, needsGroups } from '../problems.ts';
import { carriesGroups, groupKeys, NOTHING_SEEN, readGroups, windowRates, WINDOW_US } from '../series.ts';

const keys = { ...groupKeys, flow: opt(name('Flow, as its receiver reports it; or give a capture and group.')) };
type Keys = KeysOf<typeof keys>;

/** Shaped links carry the same in every run (docs/statistics.md), so that one run decides. */
export const rate: Check<Keys> = {
  name: 'rate',
  keys,
  unit: () => 'rate',
  problems(target, lab, phase) {
    if (target.flow !== undefined) return needsFlow(target.flow, phase);
    if (target.group === undefined) return [{ path: [], message: 'a rate needs a flow, or a capture and a group' }];
    return needsGroups(target, lab);
  },
  figures(target, evidence, phase, window) {
    return target.flow === undefined ? ofGroup(target, evidence, phase, window) : ofFlow(target.flow, evidence, phase, window);
  },
  drawn: ({ flow, capture, label = 'tenant' }) => (flow === undefined ? { capture, label, capacityBps: null, level: null } : undefined),
};

function ofFlow(name: string, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const flow = findFlow(phase, name);
  if (typeof flow === 'string') return missing(flow);
  const { fromUs, toUs } = flowWindow(name, evidence, phase, window);
  // The last interval of iperf3 is a fragment that ends with the connection.
  const values = flow.intervals
    .filter((i) => i.startS * 1e6 >= fromUs - EDGE_US && i.endS * 1e6 <= toUs + WINDOW_US / 2 && i.endS - i.startS > 0.05)
    .map((i) => i.rateBps);
  return values.length > 0 ? { kind: 'series', values, steady: true } : missing(`flow ${name} reported no interval in the window`);
}

function ofGroup(target: Keys, evidence: CellEvidence, phase: PhaseRecord, window: Window): Figures {
  const series = readGroups(target, evidence, phase);
  if (typeof series === 'string') return missing(series);
  const bytes = target.group === undefined ? undefined : series.bytes.get(target.group);
  if (!bytes) return missing(`no interface is labelled ${target.label ?? 'tenant'}=${target.group ?? '?'}`);
  if (!carriesGroups(series, window)) return missing(NOTHING_SEEN);
  return { kind: 'series', values: windowRates(bytes, series.binUs, WINDOW_US, window.fromUs, window.toUs), steady: true };
}
