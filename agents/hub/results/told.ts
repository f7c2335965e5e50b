/** What operations of a phase set, and what was answered to them. */
import { Type } from 'typebox';
import { record } from '../../../src/core/config/parts.ts';
import { conform } from '../../../src/core/json.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { validated } from '../../lib/params.ts';
import { contains, parseAddress, prefixOf } from '../../lib/prefix.ts';
import { CONTROL_OPERATIONS } from '../operations.ts';
import { hubConfigOf } from './config.ts';
import type { RouteChange } from './measures.ts';

/** Routes to an address, as operations of the phase have set them: when they were answered, and when the next one was asked. */
export function routesTo(evidence: CellEvidence, phase: PhaseRecord, destination: string): RouteChange[] {
  const address = parseAddress(destination);
  const set = (evidence.events[phase.phase] ?? []).flatMap((e) => {
    if (!isRequest(e) || e.action.operation !== 'ModifyVTHConfig' || e.outcome.state !== 'done') return [];
    const { addRoutes = [] } = validated(CONTROL_OPERATIONS.ModifyVTHConfig, e.action.params);
    const route = addRoutes.find((r) => address && contains(prefixOf(r.prefix), address));
    return route ? [{ askedUs: e.beganUs, answeredUs: e.beganUs + e.tookUs, to: route.to ?? null }] : [];
  });
  return set.map(({ answeredUs, to }, i) => ({ fromUs: answeredUs, untilUs: set[i + 1]?.askedUs ?? phase.durationUs, to }));
}

/** Of the gateway that a capture is at. */
export function networkAt({ lab }: CellEvidence, at: string): string | undefined {
  const { networks = {} } = hubConfigOf(lab) ?? {};
  return Object.entries(networks).find(([, n]) => n.gateway === at.split(':')[0])?.[0];
}

const COUNTED = ['in', 'out', 'hits', 'strayed'] as const;
const tallies = record(record(Type.Number()));

/** What AINs counted of a network from their first answer of the phase to their last. undefined: one of them answered less than twice. */
export function metricsOf(
  evidence: CellEvidence,
  phase: PhaseRecord,
  network: string,
): Record<(typeof COUNTED)[number], number> | undefined {
  const answers = (evidence.events[phase.phase] ?? []).flatMap((e) =>
    isRequest(e) && e.action.operation === 'GetMetrics' && e.outcome.state === 'done'
      ? [{ node: e.action.node, of: conform(tallies, e.outcome.answer)[network] }]
      : [],
  );
  const sum = { in: 0, out: 0, hits: 0, strayed: 0 };
  const byNode = [...Map.groupBy(answers, (a) => a.node).values()];
  for (const own of byNode) {
    const [first, last] = [own[0]?.of, own.at(-1)?.of];
    if (own.length < 2 || !first || !last) return undefined;
    for (const what of COUNTED) sum[what] += (last[what] ?? 0) - (first[what] ?? 0);
  }
  return byNode.length === 0 ? undefined : sum;
}

/** Address of the device that a capture is at. */
export const gatewayOf = ({ lab }: CellEvidence, at: string): string => {
  const [node, name] = at.split(':');
  return lab.fabric.nodes.find((n) => n.name === node)?.interfaces.find((i) => i.name === name)?.mac ?? '';
};

/** Microseconds from the start of the phase at which the last operation of this name was done. undefined: none was. */
export function lastDoneUs(evidence: CellEvidence, phase: PhaseRecord, operation: string | undefined): number | undefined {
  const done = (evidence.events[phase.phase] ?? [])
    .filter((e) => isRequest(e) && e.action.operation === operation && e.outcome.state === 'done')
    .at(-1);
  return done && done.beganUs + done.tookUs;
}
