/** A run with its verdicts: what every renderer takes. */
import { isDeepStrictEqual } from 'node:util';
import type { Outcome } from '../checks/statistics.ts';
import { confidenceOf } from '../core/sequential.ts';
import { overall, verdictsOf, wantsRepeats, type CellLookup, type Verdict } from '../checks/verdict.ts';
import type { Checks } from '../checks/check.ts';
import { checksOf } from '../systems/registry.ts';
import { readRun, type CellEvidence } from '../evidence/cell.ts';
import { plannedRepeats } from '../evidence/manifest.ts';
import type { RunManifest } from '../evidence/records.ts';

export interface JudgedRun {
  readonly manifest: RunManifest;
  readonly cells: ReadonlyMap<string, readonly CellEvidence[]>;
  readonly verdicts: readonly Verdict[];
  readonly outcome: Outcome;
  readonly results: string;
  readonly checks: Checks;
}

export async function evaluateRun(results: string): Promise<JudgedRun> {
  const { manifest, cells } = await readRun(results);
  const lookup: CellLookup = (variant) => [...cells.values()].find((repeats) => isDeepStrictEqual(repeats[0]?.lab.variant, variant));
  const checks = await checksOf([...cells.values()].flatMap((repeats) => repeats[0]?.lab.targets ?? []).map((t) => t.check));
  const verdicts = [...cells.values()].flatMap((repeats) =>
    verdictsOf(repeats, {
      planned: plannedRepeats(manifest, repeats[0]?.lab.cell ?? ''),
      lookup,
      checks,
      confidence: confidenceOf(manifest.looks?.length ?? 1),
    }),
  );
  // A run that was stopped, or a cell that left nothing, has not met its targets.
  const incomplete =
    manifest.stopped !== null ||
    manifest.endedAt === null ||
    [...cells].some(([cell, repeats]) => repeats.length < plannedRepeats(manifest, cell));
  const outcome = overall(verdicts);
  return { manifest, cells, verdicts, outcome: outcome === 'pass' && incomplete ? 'inconclusive' : outcome, results, checks };
}

/** Cells that need more repeats: those with an undecided measurement, and those that it is compared with. */
export async function undecidedCells(results: string): Promise<ReadonlySet<string>> {
  const { cells, verdicts } = await evaluateRun(results);
  const wanted = new Set<string>();
  for (const verdict of verdicts.filter(wantsRepeats)) {
    wanted.add(verdict.cell);
    const lab = cells.get(verdict.cell)?.[0]?.lab;
    const reference = lab?.targets.find((t) => t.name === verdict.target)?.['relative-to']?.cell;
    if (!lab || reference === undefined) continue;
    const variant = { ...lab.variant, ...reference };
    for (const [cell, [first]] of cells) if (isDeepStrictEqual(first?.lab.variant, variant)) wanted.add(cell);
  }
  return wanted;
}
