/** How long an experiment takes, and which cells share a deployment. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { Experiment, Lab } from '../topology/model.ts';

/** Start-up of agents, captures and tools per cell, and deployment with linktest, for the expected time only. */
const CELL_OVERHEAD_S = 1.5;
const DEPLOY_S = 4;

/** Without the repeats that undecided cells may need. */
export const expectedSeconds = (experiment: Experiment): number => secondsOf(experiment.cells, experiment.repeat);

export function secondsOf(cells: readonly Lab[], repeats: number): number {
  const perRepeat = cells.reduce((sum, lab) => sum + CELL_OVERHEAD_S + lab.phases.reduce((s, p) => s + p.durationUs / 1e6, 0), 0);
  return Math.round(repeats * perRepeat + groupByFabric(cells).length * DEPLOY_S);
}

/** Cells with the same fabric use the same deployment. */
export const sameFabric = (a: Lab, b: Lab): boolean => isDeepStrictEqual(a.fabric, b.fabric);

export function groupByFabric(cells: readonly Lab[]): Lab[][] {
  const groups: Lab[][] = [];
  for (const lab of cells) {
    const group = groups.find((g) => sameFabric(g[0] as Lab, lab));
    if (group) group.push(lab);
    else groups.push([lab]);
  }
  return groups;
}
