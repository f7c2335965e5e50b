/** What several targets and the report ask of the same phase is read once. */
import type { PhaseRecord } from './records.ts';
import type { CellEvidence } from './cell.ts';

type Reader<T> = (evidence: CellEvidence, phase: PhaseRecord) => T;

export function perPhase<T>(read: Reader<T>): Reader<T> {
  const known = new WeakMap<CellEvidence, Map<string, T>>();
  return (evidence, phase) => {
    let phases = known.get(evidence);
    if (!phases) known.set(evidence, (phases = new Map<string, T>()));
    if (!phases.has(phase.phase)) phases.set(phase.phase, read(evidence, phase));
    return phases.get(phase.phase) as T;
  };
}
