/** What makes a capture worth nothing as evidence. */
import type { CaptureRecord } from './records.ts';

/** Why a capture does not show all packets, in words; undefined: it does. */
export const defectOf = ({ error, droppedByKernel }: CaptureRecord): string | undefined =>
  error ?? (droppedByKernel > 0 ? `${droppedByKernel} packets dropped` : undefined);
