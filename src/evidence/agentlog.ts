/** What agents wrote down: one JSON object a line, in a file of each agent. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TSchema } from 'typebox';
import { conform } from '../core/json.ts';
import type { Described } from '../core/readonly.ts';
import type { CellEvidence } from './cell.ts';

export type LogLine = Readonly<Record<string, unknown>>;

const read = new WeakMap<CellEvidence, Map<string, readonly LogLine[]>>();

/** Read once for all checks and pages; empty where the agent left none. `at`: epoch milliseconds by the node's own clock. */
export function agentLog(evidence: CellEvidence, system: string, node: string): readonly LogLine[] {
  let files = read.get(evidence);
  if (!files) read.set(evidence, (files = new Map<string, readonly LogLine[]>()));
  const file = join(evidence.folder, 'agents', `${system}.${node}.jsonl`);
  let lines = files.get(file);
  if (!lines) files.set(file, (lines = existsSync(file) ? linesOf(file) : []));
  return lines;
}

/** A line and when it was written: epoch milliseconds of the clock that phases are dated by. */
export type Logged<Line> = { readonly atMs: number } & Line;

/** Lines of one event, in their order. An Error names the agent, and the place in a line that is not as `schema` describes it. */
export function loggedEvents<S extends TSchema>(
  evidence: CellEvidence,
  system: string,
  node: string,
  event: string,
  schema: S,
): readonly Logged<Described<S>>[] {
  const aheadMs = logAheadMs(evidence, node);
  return agentLog(evidence, system, node)
    .filter((line) => line['event'] === event)
    .map((line) => Object.assign({ atMs: Number(line['at']) - aheadMs }, conform(schema, line, `log of ${node}: ${event}`)));
}

const linesOf = (file: string): LogLine[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as LogLine];
      } catch {
        return []; // the last line of an agent that was killed
      }
    });

/**
 * How far the clock of an agent's log is ahead of the one that phases are dated by, milliseconds; NaN: not known, so
 * that nothing can be dated by it.
 */
export const logAheadMs = ({ agents }: CellEvidence, node: string): number =>
  (agents.find((a) => a.node === node)?.clock?.offsetNs ?? NaN) / 1e6;
