/** Bytes over time per group of nodes, from a capture. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { emptyHeaders, macToNumber, readHeaders } from '../capture/headers.ts';
import { readCapture } from '../capture/reader.ts';
import { opt } from '../core/config/parts.ts';
import { defectOf, startNsIn } from '../evidence/captures.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import type { PhaseRecord } from '../evidence/records.ts';
import type { Window } from './check.ts';

/** Windows that rates are judged by (R4-1: per-vNIC rate over 100 ms windows). */
export const WINDOW_US = 100_000;
/** Finest window: one period of the control under test. */
export const BIN_US = 10_000;

export interface GroupSeries {
  readonly binUs: number;
  /** Layer-2 bytes per bin, per group; bin 0 starts with the phase. */
  readonly bytes: ReadonlyMap<string, Float64Array>;
}

/** Keys of targets that judge groups at a capture point. */
export const groupKeys = {
  capture: opt(Type.String({ description: 'Capture point "node:interface" whose packets are judged (default: the first).' })),
  label: opt(Type.String({ description: 'Label of interfaces that packets are grouped by (default tenant).' })),
  group: opt(Type.String({ description: 'Value of that label, e.g. A.' })),
};

/** The series that a target judges, if its capture shows all packets and every flow was sent; else why not. */
export function readGroups(
  { capture, label = 'tenant' }: { readonly capture?: string; readonly label?: string },
  evidence: CellEvidence,
  phase: PhaseRecord,
): GroupSeries | string {
  const at = capture ?? evidence.captures[0]?.at;
  if (at === undefined) return 'no capture to judge';
  const record = evidence.captures.find((c) => c.at === at);
  if (!record) return `no capture at ${at}`;
  const defect = defectOf(record);
  if (defect !== undefined) return `the capture at ${at} is incomplete: ${defect}`;
  const idle = phase.flows.find((f) => !f.started);
  if (idle) return `flow ${idle.flow} never started${idle.error ? `: ${idle.error}` : ''}`;
  try {
    return groupSeries(evidence, at, label, phase) ?? `no capture at ${at}`;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A capture without a byte of any group in the window shows nothing that could be judged. */
export function carriesGroups(series: GroupSeries, { fromUs, toUs }: Window): boolean {
  return [...series.bytes.values()].some((bytes) => windowRates(bytes, series.binUs, series.binUs, fromUs, toUs).some((rate) => rate > 0));
}

export const NOTHING_SEEN = 'the capture holds no packet of these groups in the window';

/** Groups a capture's frames by a label of the interface whose MAC is their source (else destination). */
export function groupSeries(evidence: CellEvidence, captureAt: string, label: string, phase: PhaseRecord): GroupSeries | undefined {
  const record = evidence.captures.find((c) => c.at === captureAt);
  if (!record) return undefined;
  const bins = Math.ceil(phase.durationUs / BIN_US);
  const groupOf = new Map<number, Float64Array>();
  const bytes = new Map<string, Float64Array>();
  for (const itf of evidence.lab.fabric.nodes.flatMap((n) => n.interfaces)) {
    const group = itf.labels[label];
    if (group === undefined) continue;
    let series = bytes.get(group);
    if (!series) bytes.set(group, (series = new Float64Array(bins)));
    groupOf.set(macToNumber(itf.mac), series);
  }
  const startNs = startNsIn(record, phase);
  const startSeconds = Number(startNs / 1_000_000_000n);
  const startNanoseconds = Number(startNs % 1_000_000_000n);
  const headers = emptyHeaders();
  readCapture(join(evidence.folder, record.file), (packet) => {
    if (!readHeaders(packet, headers)) return;
    const series = groupOf.get(headers.sourceMac) ?? groupOf.get(headers.destinationMac);
    if (!series) return;
    const bin = Math.floor(((packet.seconds - startSeconds) * 1e9 + (packet.nanoseconds - startNanoseconds)) / (BIN_US * 1000));
    if (bin >= 0 && bin < bins) series[bin] = (series[bin] as number) + packet.length;
  });
  return { binUs: BIN_US, bytes };
}

/** Rates in bit/s over windows of `windowUs`, from bin `from` (inclusive) to bin `to`. */
export function windowRates(bytes: Float64Array, binUs: number, windowUs: number, fromUs: number, toUs: number): number[] {
  const size = Math.round(windowUs / binUs);
  const rates: number[] = [];
  for (let at = Math.round(fromUs / binUs); at + size <= Math.round(toUs / binUs); at += size) {
    let sum = 0;
    for (let i = at; i < at + size; i++) sum += bytes[i] as number;
    rates.push((sum * 8e6) / windowUs);
  }
  return rates;
}

export function totalSeries(series: GroupSeries): Float64Array {
  const all = [...series.bytes.values()];
  return Float64Array.from(all[0] ?? [], (_, i) => all.reduce((sum, bytes) => sum + (bytes[i] as number), 0));
}
