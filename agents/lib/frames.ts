/** Captures of a run, frame by frame, as a system reads them. */
import { join } from 'node:path';
import { readCapture } from '../../src/capture/reader.ts';
import { defectOf, startNsIn } from '../../src/evidence/captures.ts';
import type { CellEvidence } from '../../src/evidence/cell.ts';
import type { PhaseRecord } from '../../src/evidence/records.ts';

export type Timed<F> = F & { readonly atUs: number };

/**
 * Frames of a capture point in the order of time, from the start of a phase; each capture is read once. A text says why there are none.
 * `dissect`: what a frame is, of which `length` bytes were on the wire; undefined: nothing of interest.
 */
export function frameReader<F extends object>(
  dissect: (frame: Buffer, length: number) => F | undefined,
): (evidence: CellEvidence, at: string, phase: PhaseRecord) => readonly Timed<F>[] | string {
  const known = new WeakMap<CellEvidence, Map<string, readonly Timed<F>[]>>();
  return (evidence, at, phase) => {
    const record = evidence.captures.find((c) => c.at === at);
    if (!record) return `no capture at ${at}`;
    const defect = defectOf(record);
    if (defect !== undefined) return `the capture at ${at} is incomplete: ${defect}`;
    let captures = known.get(evidence);
    if (!captures) known.set(evidence, (captures = new Map<string, readonly Timed<F>[]>()));
    const key = `${at} ${phase.phase}`;
    let frames = captures.get(key);
    if (!frames) {
      const startNs = startNsIn(record, phase);
      const read: Timed<F>[] = [];
      readCapture(join(evidence.folder, record.file), ({ data, offset, captured, length, seconds, nanoseconds }) => {
        const frame = dissect(data.subarray(offset, offset + captured), length);
        if (frame) read.push({ ...frame, atUs: Number(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds) - startNs) / 1000 });
      });
      captures.set(key, (frames = read));
    }
    return frames.length === 0 ? `the capture at ${at} holds no packet` : frames;
  };
}
