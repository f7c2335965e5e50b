/** A way to spoil recorded evidence, and what such ways are made of. */
import { join } from 'node:path';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isRequest, type AnsweredRequest } from '../../../src/evidence/events.ts';
import type { EventRecord, FlowResult } from '../../../src/evidence/records.ts';
import type { Frame } from '../../support/pcap.ts';
import { readFrames, rewriteLogs, writeFrames, type Line } from '../frames.ts';

export interface Spoil {
  readonly name: string;
  /** Systems that it is of; none: of all evidence. */
  readonly system?: 'gatekeeper' | 'replication' | 'pop' | 'hub' | 'mesh';
  readonly spoil: (evidence: CellEvidence, folder: string) => CellEvidence;
}

/** Ways to spoil the evidence of one system. */
export const of = (system: Spoil['system'], list: readonly Omit<Spoil, 'system'>[]): readonly Spoil[] =>
  list.map((s) => ({ ...s, ...(system === undefined ? {} : { system }) }));

/** Rewrites every capture. */
export const captures = (
  folder: string,
  evidence: CellEvidence,
  change: (frames: readonly Frame[], at: string) => readonly Frame[],
): CellEvidence => {
  for (const { file, at } of evidence.captures) writeFrames(join(folder, file), change(readFrames(join(folder, file)), at));
  return evidence;
};
/** Rewrites what agents logged. */
export const logs = (folder: string, evidence: CellEvidence, change: (line: Line, node: string) => readonly Line[]): CellEvidence => {
  rewriteLogs(folder, change);
  return evidence;
};
export const flows = (evidence: CellEvidence, change: (flow: FlowResult, phase: number) => FlowResult): CellEvidence => ({
  ...evidence,
  phases: evidence.phases.map((p, i) => ({ ...p, flows: p.flows.map((f) => change(f, i)) })),
});
export const counters = (evidence: CellEvidence, change: (value: number) => number): CellEvidence => ({
  ...evidence,
  agents: evidence.agents.map((a) => ({ ...a, counters: Object.fromEntries(Object.entries(a.counters).map(([k, v]) => [k, change(v)])) })),
});
/** Changes what became of every request. */
export const requests = (evidence: CellEvidence, change: (request: AnsweredRequest) => EventRecord['outcome']): CellEvidence => ({
  ...evidence,
  events: Object.fromEntries(
    Object.entries(evidence.events).map(([phase, list]) => [
      phase,
      list.map((event) => (isRequest(event) ? { ...event, outcome: change(event) } : event)),
    ]),
  ),
});
/** Changes the answers of an operation. */
export const answers = (evidence: CellEvidence, operation: string, change: (answer: unknown) => unknown): CellEvidence =>
  requests(evidence, ({ action, outcome }) =>
    action.operation === operation && outcome.answer !== null ? { ...outcome, answer: change(outcome.answer) } : outcome,
  );
/** Changes the first group of every match in what a value is written as. */
export const reworded = (value: unknown, pattern: RegExp, change: (group: string) => string): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll(pattern, (_, group: string) => change(group)));
