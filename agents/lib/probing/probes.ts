/** What hosts asked, and who answered: their own logs. Beacons name their host, so that an answer cannot be somebody else's. */
import { Type } from 'typebox';
import { logAheadMs, loggedEvents } from '../../../src/evidence/agentlog.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { perPhase } from '../../../src/evidence/perphase.ts';
import { isIn, phaseStartUs } from '../../../src/evidence/phases.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { probeRow, type ProbeRow } from './rows.ts';

const probesLine = Type.Object({ probes: Type.Array(probeRow) });

export interface Probe extends Omit<ProbeRow, 'sentMs' | 'us'> {
  readonly from: string;
  readonly atUs: number;
  /** Until the answer; Infinity: there was none. */
  readonly us: number;
}

/** In the order of time, from the start of the phase. */
export const probesOf = perPhase((evidence: CellEvidence, phase: PhaseRecord): readonly Probe[] => {
  const startMs = phaseStartUs(phase) / 1000;
  return evidence.agents
    .flatMap(({ system, node }) =>
      loggedEvents(evidence, system, node, 'probes', probesLine).flatMap(({ probes }) =>
        probes.map(({ sentMs, us, ...row }): Probe => ({
          ...row,
          from: node,
          atUs: (sentMs - logAheadMs(evidence, node) - startMs) * 1000,
          us: us ?? Infinity,
        })),
      ),
    )
    .filter(isIn(phase))
    .sort((a, b) => a.atUs - b.atUs);
});
