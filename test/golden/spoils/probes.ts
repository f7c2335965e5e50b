/** Ways to spoil what hosts logged of their probes, captures and flows; for any system whose hosts probe. */
import type { ProbeRow } from '../../../agents/lib/probing/rows.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { Frame } from '../../support/pcap.ts';
import { captures, flows, logs, type Spoil } from './spoil.ts';

const probes = (e: CellEvidence, folder: string, change: (row: ProbeRow) => ProbeRow): CellEvidence =>
  logs(folder, e, (line) => (line['event'] === 'probes' ? [{ ...line, probes: (line['probes'] as ProbeRow[]).map(change) }] : [line]));

export const SECOND = 1e9;
export const later = (frame: Frame, ns: number): Frame => {
  const at = frame.nanoseconds + ns;
  return { ...frame, seconds: frame.seconds + Math.floor(at / SECOND), nanoseconds: at % SECOND };
};
export const inOrder = (frames: readonly Frame[]): Frame[] =>
  [...frames].sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds);
export const rewritten = (f: Frame, change: (bytes: Buffer) => void): Frame => {
  const bytes = Buffer.from(f.bytes);
  change(bytes);
  return { ...f, bytes };
};

export const anyProbes: readonly Omit<Spoil, 'system'>[] = [
  { name: 'nobody answers', spoil: (e, folder) => probes(e, folder, (row) => ({ ...row, by: null, us: null, intact: false })) },
  { name: 'everybody answers', spoil: (e, folder) => probes(e, folder, (row) => ({ ...row, by: row.by ?? row.to, us: row.us ?? 100 })) },
  { name: 'a stranger answers', spoil: (e, folder) => probes(e, folder, (row) => ({ ...row, by: 'stranger', us: 100 })) },
  { name: 'answers are damaged', spoil: (e, folder) => probes(e, folder, (row) => ({ ...row, intact: false })) },
  {
    name: 'now and then nobody answers',
    spoil: (e, folder) => {
      let i = 0;
      return probes(e, folder, (row) => (i++ % 25 === 0 ? { ...row, by: null, us: null, intact: false } : row));
    },
  },
  {
    name: 'many are not answered',
    spoil: (e, folder) => {
      let i = 0;
      return probes(e, folder, (row) => (i++ % 100 < 98 ? { ...row, by: null, us: null, intact: false } : row));
    },
  },
  { name: 'one packet in ten is there', spoil: (e, folder) => captures(folder, e, (frames) => frames.filter((_, i) => i % 10 === 0)) },
  {
    name: 'captures end after two thirds',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.slice(0, Math.floor((frames.length * 2) / 3))),
  },
  {
    name: 'packets go on for two seconds',
    spoil: (e, folder) => captures(folder, e, (frames) => inOrder([...frames, ...frames.map((f) => later(f, 2 * SECOND))])),
  },
  {
    name: 'every other phase is slow',
    spoil: (e) =>
      flows(e, (f, phase) =>
        phase % 2 === 0
          ? f
          : { ...f, receivedBytes: f.receivedBytes / 2, intervals: f.intervals.map((i) => ({ ...i, rateBps: i.rateBps / 2 })) },
      ),
  },
];
