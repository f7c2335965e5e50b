/** Where endpoints are, by the topology and by what was moved in a phase; and what operations of a phase did. */
import { conform } from '../../../src/core/json.ts';
import { expandAll } from '../../../src/core/config/ranges.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import type { Lab } from '../../../src/topology/model.ts';
import { addressOf, deviceOn, segmentOf } from '../../lib/lab.ts';
import { validated } from '../../lib/params.ts';
import { meshSchema, type MeshFile } from '../config.ts';
import { CONTROLLER_OPERATIONS } from '../operations.ts';
import { endpointsOf } from '../plan.ts';

export interface Stay {
  readonly host: string;
  /** From the start of the phase; a packet that left before its end may still go there. */
  readonly fromUs: number;
  readonly untilUs: number;
}

export interface Whereabouts {
  readonly vnid: number;
  readonly stays: readonly Stay[];
}

export const meshConfigOf = ({ systems }: Lab): MeshFile | undefined => {
  const system = systems.find((s) => s.name === 'mesh');
  return system && conform(meshSchema, system.config, 'config of mesh', 'system mesh');
};

/** An operation of a phase that was done. */
export interface Done {
  readonly beganUs: number;
  readonly doneUs: number;
  readonly params: Readonly<Record<string, unknown>>;
}

export const doneIn = (evidence: CellEvidence, phase: string, operation: string): Done[] =>
  (evidence.events[phase] ?? []).flatMap((e) =>
    isRequest(e) && e.action.operation === operation && e.outcome.state === 'done'
      ? [{ beganUs: e.beganUs, doneUs: e.beganUs + e.tookUs, params: e.action.params }]
      : [],
  );

/** Endpoints by their addresses, as they are in a phase. */
export function whereabouts(evidence: CellEvidence, phase: PhaseRecord): Map<string, Whereabouts> {
  const config = meshConfigOf(evidence.lab);
  if (!config) return new Map();
  const order = evidence.phases.map((p) => p.phase);
  const before = order.slice(0, order.indexOf(phase.phase));
  const moves = (name: string): Map<string, Done[]> =>
    Map.groupBy(doneIn(evidence, name, 'MoveEndpoint'), ({ params }) => validated(CONTROLLER_OPERATIONS.MoveEndpoint, params).endpoint);
  const [own, earlier] = [moves(phase.phase), before.map(moves)];
  const found = new Map<string, Whereabouts>();
  for (const [network, { vnid }] of Object.entries(config.networks))
    for (const { name, addresses, host } of endpointsOf(config, evidence.lab, network, [])) {
      const to = ({ params }: Done): string => validated(CONTROLLER_OPERATIONS.MoveEndpoint, params).host;
      const start = earlier.flatMap((m) => m.get(name) ?? []).at(-1);
      let stay = { host: start ? to(start) : host, fromUs: -Infinity, untilUs: Infinity };
      const stays: Stay[] = [];
      for (const move of own.get(name) ?? []) {
        stays.push({ ...stay, untilUs: move.doneUs });
        stay = { host: to(move), fromUs: move.beganUs, untilUs: Infinity };
      }
      stays.push(stay);
      for (const address of addresses) found.set(address, { vnid, stays });
    }
  return found;
}

/** Hosts, gateways and controllers by their addresses on the underlay. */
export function placesOf({ lab }: CellEvidence): Map<string, string> {
  const config = meshConfigOf(lab);
  if (!config) return new Map();
  const controllers = expandAll(config.controllers);
  const underlay = segmentOf(lab, controllers[0] ?? '');
  return new Map(
    [...controllers, ...expandAll(config.hosts), ...expandAll(config.gateways ?? [])].map((name) => [
      addressOf(deviceOn(lab, name, underlay)) ?? '',
      name,
    ]),
  );
}
