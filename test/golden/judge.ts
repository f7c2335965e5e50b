/** Verdicts of a recording. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Checks } from '../../src/checks/check.ts';
import { verdictsOf, type Verdict } from '../../src/checks/verdict.ts';
import { readRun, type CellEvidence } from '../../src/evidence/cell.ts';
import { checksOf } from '../../src/systems/registry.ts';
import { loadExperiment } from '../../src/topology/load.ts';
import { ROOT } from '../support/netrig.ts';

export interface Recording {
  readonly cells: ReadonlyMap<string, CellEvidence>;
  readonly checks: Checks;
}

/**
 * The evidence of then against the targets of now: a bound that changes needs no other recording. How busy the machine was
 * is left out, for it would hide what is judged.
 */
export async function open(name: string, folder: string): Promise<Recording> {
  const [{ cells }, { experiment }] = await Promise.all([
    readRun(folder),
    loadExperiment(join(ROOT, `topologies/${name}.yaml`), { checksOf }),
  ]);
  const now = new Map(experiment.cells.map((lab) => [lab.cell, lab.targets]));
  const first = new Map(
    [...cells].flatMap(([cell, [evidence]]) =>
      evidence ? [[cell, { ...evidence, load: [], lab: { ...evidence.lab, targets: now.get(cell) ?? [] } }] as const] : [],
    ),
  );
  return { cells: first, checks: await checksOf([...first.values()].flatMap((e) => e.lab.targets.map((t) => t.check))) };
}

/** So many repeats that are all alike: what is judged by repeats is decided, by exactly the recorded figure. */
const REPEATS = 3;

/** Of one cell; `evidence`: instead of what is recorded of it. */
export function judgeCell({ cells, checks }: Recording, cell: string, evidence = cells.get(cell) as CellEvidence): Verdict[] {
  const repeated = (e: CellEvidence): CellEvidence[] => Array.from({ length: REPEATS }, () => e);
  const lookup = (variant: Readonly<Record<string, string>>): CellEvidence[] | undefined => {
    const found = [...cells.values()].find((e) => isDeepStrictEqual(e.lab.variant, variant));
    return found && repeated(found);
  };
  return verdictsOf(repeated(evidence), { lookup, checks });
}

/** What must not change: figures to the last digit that means something. */
export interface Judged {
  readonly cell: string;
  readonly target: string;
  readonly outcome: Verdict['outcome'];
  readonly figure: readonly (number | string)[] | null;
  readonly reason: string | null;
}

const DIGITS = 9;
const exact = (value: number): number | string => (Number.isFinite(value) ? Number(value.toPrecision(DIGITS)) : String(value));

export const judged = (v: Verdict): Judged => ({
  cell: v.cell,
  target: v.target,
  outcome: v.outcome,
  figure: v.estimate && [v.estimate.value, v.estimate.low, v.estimate.high].map(exact),
  reason: v.reason,
});
