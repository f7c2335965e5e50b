/** Rates of groups as they would be without isolation, or with it. */
import { join } from 'node:path';
import { BIN_US } from '../../../src/checks/series.ts';
import { parseDurationUs, parseRateBps, parseRateOf } from '../../../src/core/units.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isIsolation, type IsolationTarget } from '../../../agents/gatekeeper/results/check.ts';
import type { Frame } from '../../support/pcap.ts';
import { writeFrames } from '../frames.ts';
import { of, type Spoil } from './spoil.ts';

/** Share of the capacity that each group has, at a time within the phase. */
type Shares = (group: string, order: number, atUs: number) => number;

/** Captures as they would be if groups had just these shares all the time. */
function withShares(evidence: CellEvidence, folder: string, shares: (targets: readonly IsolationTarget[]) => Shares): CellEvidence {
  for (const { at, file } of evidence.captures) {
    const targets = evidence.lab.targets.filter(isIsolation).filter((t) => t.capture === at);
    const [target] = targets;
    if (!target) continue;
    const label = target.label ?? 'tenant';
    const stations = new Map(
      evidence.lab.fabric.nodes.flatMap((n) =>
        n.interfaces.flatMap((i) => (i.labels[label] === undefined ? [] : [[i.labels[label], i.mac] as const])),
      ),
    );
    const capacityBps = parseRateBps(target.capacity);
    const share = shares(targets);
    const frames = evidence.phases.flatMap((phase) =>
      Array.from({ length: Math.floor(phase.durationUs / BIN_US) }, (_, bin) =>
        [...stations].map(([group, mac], order): Frame => {
          const atUs = (bin + 0.5) * BIN_US;
          const ns = BigInt(phase.startedNs) + BigInt(Math.round(atUs * 1000));
          const bytes = Buffer.concat([Buffer.alloc(6), Buffer.from(mac.replaceAll(':', ''), 'hex'), Buffer.from([8, 0])]);
          return {
            seconds: Number(ns / 1_000_000_000n),
            nanoseconds: Number(ns % 1_000_000_000n),
            length: Math.round((share(group, order, atUs) * capacityBps * BIN_US) / 8e6),
            bytes,
          };
        }),
      ).flat(),
    );
    writeFrames(join(folder, file), frames);
  }
  return evidence;
}

/** What targets guarantee to each group; of what is left, the others have equal parts. */
function guaranteed(targets: readonly IsolationTarget[], part = 1): Shares {
  const own = new Map(
    targets.flatMap((t) => (t.group !== undefined && t.guarantee !== undefined ? [[t.group, parseRateOf(t.guarantee, 1)] as const] : [])),
  );
  if (!own.has('B') && own.has('A')) own.set('B', 0.995 - own.get('A')!);
  return (group) => part * (own.get(group) ?? 0.05);
}

/** Where targets say that something happens. */
const eventUs = (targets: readonly IsolationTarget[], metric: IsolationTarget['metric']): number =>
  parseDurationUs(targets.find((t) => t.metric === metric)?.event ?? '0s');

export const gatekeeper: readonly Spoil[] = of('gatekeeper', [
  { name: 'every group has what it is guaranteed', spoil: (e, folder) => withShares(e, folder, (targets) => guaranteed(targets)) },
  {
    name: 'every group has half of what it is guaranteed',
    spoil: (e, folder) => withShares(e, folder, (targets) => guaranteed(targets, 0.5)),
  },
  {
    name: 'the second group takes nearly all',
    spoil: (e, folder) => withShares(e, folder, () => (_, order) => (order === 1 ? 0.9 : 0.08)),
  },
  {
    name: 'the first group takes nearly all',
    spoil: (e, folder) => withShares(e, folder, () => (_, order) => (order === 0 ? 0.97 : 0.02)),
  },
  { name: 'groups share alike', spoil: (e, folder) => withShares(e, folder, () => () => 0.24) },
  {
    name: 'B stops, and A never takes what is free',
    spoil: (e, folder) =>
      withShares(e, folder, (targets) => (_, order, atUs) => (order === 0 ? 0.7 : atUs < eventUs(targets, 'recovery') ? 0.29 : 0)),
  },
  {
    name: 'the law reacts at once',
    spoil: (e, folder) =>
      withShares(e, folder, (targets) => {
        const [begins, ends] = [eventUs(targets, 'reaction'), eventUs(targets, 'recovery')];
        return (_, order, atUs) => {
          const isBusy = atUs >= begins && atUs < ends;
          const isFirst = atUs >= begins && atUs < begins + 20_000;
          return order === 0 ? (!isBusy ? 0.99 : isFirst ? 0.5 : 0.7) : !isBusy ? 0 : isFirst ? 0.49 : 0.29;
        };
      }),
  },
  {
    name: 'a group rises as declared',
    spoil: (e, folder) =>
      withShares(e, folder, () => (_, order, atUs) => (order === 0 ? 0.2 : Math.min(0.75, Math.max(0.05, (atUs - 3_000_000) * 0.5e-6)))),
  },
]);
