/** A run with its verdicts: what every renderer takes. */
import { isDeepStrictEqual } from 'node:util';
import type { Outcome } from '../checks/statistics.ts';
import { overall, verdictsOf, type CellLookup, type Verdict } from '../checks/verdict.ts';
import { systemChecks } from '../systems/registry.ts';
import { readRun, type CellEvidence, type RunManifest } from '../evidence/cell.ts';

export interface JudgedRun {
  readonly manifest: RunManifest;
  readonly cells: ReadonlyMap<string, readonly CellEvidence[]>;
  readonly verdicts: readonly Verdict[];
  readonly outcome: Outcome;
  readonly results: string;
}

export async function evaluateRun(results: string): Promise<JudgedRun> {
  const { manifest, cells } = await readRun(results);
  const lookup: CellLookup = (variant) => [...cells.values()].find((repeats) => isDeepStrictEqual(repeats[0]?.lab.variant, variant));
  const checks = await systemChecks([...cells.values()].flatMap((repeats) => repeats[0]?.lab.targets ?? []));
  const verdicts = [...cells.values()].flatMap((repeats) => verdictsOf(repeats, { planned: manifest.repeat, lookup, checks }));
  // A run that was stopped, or a cell that left nothing, has not met its targets.
  const incomplete = manifest.stopped !== null || manifest.endedAt === null || [...cells.values()].some((repeats) => repeats.length < manifest.repeat);
  const outcome = overall(verdicts);
  return { manifest, cells, verdicts, outcome: outcome === 'pass' && incomplete ? 'inconclusive' : outcome, results };
}
