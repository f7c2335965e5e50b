/** Where the phases of a cell lie in time. */
import type { PhaseRecord } from './records.ts';

/** Microseconds since the epoch, in the clock of the machine that ran the experiment. */
export const phaseStartUs = (phase: Pick<PhaseRecord, 'startedNs'>): number => Number(BigInt(phase.startedNs) / 1000n);
