/** All ways to spoil the evidence of a cell. Every target must be missed, or left undecided with a reason, by one of them. */
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { gatekeeper } from './gatekeeper.ts';
import { general } from './general.ts';
import { hub } from './hub.ts';
import { mesh } from './mesh.ts';
import { pop } from './pop.ts';
import { replication } from './replication.ts';
import type { Spoil } from './spoil.ts';

export type { Spoil };

const ALL: readonly Spoil[] = [...general, ...gatekeeper, ...replication, ...pop, ...hub, ...mesh];

export const spoilsOf = (evidence: CellEvidence): readonly Spoil[] => {
  const systems = evidence.lab.systems.map((s) => s.name);
  const isShaped = evidence.lab.targets.some((t) => t.check === 'bandwidth-isolation');
  return ALL.filter((s) => s.system === undefined || systems.includes(s.system) || (s.system === 'gatekeeper' && isShaped));
};
