/** Where the phases of a cell lie in time. */
import type { PhaseRecord } from './records.ts';

/** Of what happened so long after a phase began: is it of the phase? */
export const isIn =
  ({ durationUs }: Pick<PhaseRecord, 'durationUs'>) =>
  ({ atUs }: { readonly atUs: number }): boolean =>
    atUs >= 0 && atUs < durationUs;

/** Microseconds since the epoch, in the clock of the machine that ran the experiment. */
export const phaseStartUs = (phase: Pick<PhaseRecord, 'startedNs'>): number => Number(BigInt(phase.startedNs) / 1000n);
