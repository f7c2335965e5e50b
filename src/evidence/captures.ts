/** Captures as evidence: what makes one worth nothing, and its time. */
import type { CaptureRecord, PhaseRecord } from './records.ts';

/** Why a capture does not show all packets, in words; undefined: it does. */
export const defectOf = ({ error, droppedByKernel }: CaptureRecord): string | undefined =>
  error ?? (droppedByKernel > 0 ? `${droppedByKernel} packets dropped` : undefined);

/** Start of a phase on the clock that stamped the packets, epoch nanoseconds. */
export const startNsIn = ({ clock }: CaptureRecord, phase: PhaseRecord): bigint =>
  BigInt(phase.startedNs) + BigInt(Math.round(clock.offsetNs));
