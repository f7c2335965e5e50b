/** Changes what links do while they carry traffic. Pure. */
import { join } from 'node:path';
import type { Assignments } from '../rig/labs/assignment.ts';
import type { StepHost } from '../rig/labs/steps.ts';
import type { Fabric, LinkChange } from '../topology/model.ts';
import { shapedPassage, siteOf } from './links/site.ts';
import { delaySocket } from './plan.ts';
import { delayConfig, needsDelayLine, netemArguments } from './shaping.ts';

/** What must be known of the machine that shapes a direction. */
export interface ShapingMachine {
  readonly netem: boolean;
  readonly stateRoot: string;
  readonly nativeDir: string;
}

export interface ImpairCommand {
  readonly host: StepHost;
  readonly argv: readonly string[];
  readonly stdin: string;
}

/** Delay, jitter and loss of a link's directions; netem and the delay line take them without losing what is on the way. */
export function impairCommands(
  lab: string,
  { links }: Fabric,
  assignments: Assignments,
  machineOf: (name: string) => ShapingMachine,
  linkId: string,
  changes: readonly LinkChange[],
): ImpairCommand[] {
  const index = links.findIndex((l) => l.id === linkId);
  const link = links[index];
  if (!link) return [];
  const site = siteOf(link, index, assignments);
  return changes.map(({ direction, to }) => {
    const passage = shapedPassage(site, direction);
    const { netem, stateRoot, nativeDir } = machineOf(passage.machine);
    const host = { on: 'links', machine: passage.machine } as const;
    // Made by what the link was declared as: the qdisc or the delay line is there already.
    return needsDelayLine(link.impairments[direction], netem)
      ? {
          host,
          argv: [join(nativeDir, 'delayline'), 'set', delaySocket(stateRoot, lab)],
          stdin: `${delayConfig(passage.from, passage.to, to)}\n`,
        }
      : { host, argv: ['tc', '-batch', '-'], stdin: `qdisc change dev ${passage.to} root handle 2: netem ${netemArguments(to)}\n` };
  });
}
