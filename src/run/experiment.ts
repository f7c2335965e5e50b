/** Runs an experiment: every cell, every repeat, on as few deployments as its fabrics need; leaves a results folder. */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Context } from '../core/context.ts';
import { asNetrigError, NetrigError } from '../core/errors.ts';
import { cellFolder, manifestPath, writeJson, writePart, type RunManifest } from '../evidence/cell.ts';
import { destroyAfterFailure, destroyRig } from '../rig/destroy.ts';
import { bundleScript } from '../core/bundle.ts';
import type { Experiment, Lab } from '../topology/model.ts';
import { describeMachine } from './machine.ts';
import type { Site } from './site.ts';
import { deployLab, runCell, sameFabric, type Deployment } from './street.ts';

export interface RunOptions {
  readonly topologyPath: string;
  readonly source: string;
  readonly resultsRoot: string;
  readonly command: readonly string[];
  /** Leave the last deployment standing. */
  readonly keep: boolean;
}

/** Start-up of agents, captures and tools per cell, and deployment with linktest, for the expected time only. */
const CELL_OVERHEAD_S = 1.5;
const DEPLOY_S = 4;

export function expectedSeconds(experiment: Experiment): number {
  const perRepeat = experiment.cells.reduce((sum, lab) => sum + CELL_OVERHEAD_S + lab.phases.reduce((s, p) => s + p.durationUs / 1e6, 0), 0);
  const deployments = groupByFabric(experiment.cells).length;
  return Math.round(experiment.repeat * perRepeat + deployments * DEPLOY_S);
}

/** Returns the results folder. On failure what was gathered stays, and the manifest says why the run stopped. */
export async function runExperiment(outer: Context, site: Site, experiment: Experiment, options: RunOptions): Promise<{ results: string; failure: NetrigError | null }> {
  const ctx = site.contextOf(outer);
  const results = createResultsFolder(options.resultsRoot, experiment.name);
  const stopLogging = ctx.events.on((event) => appendFileSync(join(results, 'events.jsonl'), `${JSON.stringify(event)}\n`));
  const manifest: RunManifest = {
    schema: 'netrig-run-2', name: experiment.name, description: experiment.description, topology: basename(options.topologyPath), command: options.command,
    startedAt: new Date().toISOString(), endedAt: null, repeat: experiment.repeat, dimensions: experiment.dimensions,
    cells: experiment.cells.map((c) => c.cell), rig: site.rig?.name ?? null, stopped: null,
    machines: Object.fromEntries(await Promise.all([...site.machines.values()].map(async (m) => [m.name, await describeMachine(m, site.factsOf(m.name).fabric)] as const))),
  };
  await writeFile(join(results, 'topology.yaml'), options.source);
  await writeJson(manifestPath(results), manifest);
  ctx.events.emit({ type: 'run-started', lab: experiment.name, topology: options.topologyPath, results, cells: experiment.cells.length * experiment.repeat, expectedSeconds: expectedSeconds(experiment) });

  let deployment: Deployment | undefined;
  let failure: NetrigError | null = null;
  try {
    const prober = await bundleScript(new URL('../traffic/prober.ts', import.meta.url), 'prober');
    const total = experiment.cells.length * experiment.repeat;
    let index = 0;
    // Cells grouped by fabric, repeats inside, so that a fabric is built once.
    for (const group of groupByFabric(experiment.cells)) {
      if (deployment) await destroyRig(deployment.rig);
      deployment = undefined;
      for (let repeat = 1; repeat <= experiment.repeat; repeat++) {
        for (const lab of group) {
          deployment ??= await deployFor(ctx, site, lab, repeat, options, results);
          ctx.events.emit({ type: 'cell-started', cell: lab.cell, index: ++index, of: total, repeat });
          const { clean } = await runCell(ctx, deployment, lab, repeat, results, prober);
          if (clean) continue;
          // What a dead agent or an event left would be in the next cell's evidence.
          ctx.events.emit({ type: 'note', level: 'warn', text: 'nodes or links are not as they were: deploying anew' });
          await destroyRig(deployment.rig);
          deployment = undefined;
        }
      }
    }
    if (deployment && !options.keep) await destroyRig(deployment.rig);
  } catch (error) {
    failure = site.failure ?? asNetrigError(error);
    manifest.stopped = failure.message;
    if (deployment && !options.keep) await destroyAfterFailure(ctx, deployment.rig);
  }
  manifest.endedAt = new Date().toISOString();
  await writeJson(manifestPath(results), manifest);
  stopLogging();
  return { results, failure };
}

/** Deploys and keeps the link measurements before they are judged: a refused run shows its figures too. */
function deployFor(ctx: Context, site: Site, lab: Lab, repeat: number, options: RunOptions, results: string): Promise<Deployment> {
  return deployLab(ctx, site, lab, options.topologyPath, { gate: true, onLinks: async (links) => {
    const folder = cellFolder(results, lab.cell, repeat);
    await writePart(folder, 'lab', lab);
    await writePart(folder, 'links', links);
  } });
}

function groupByFabric(cells: readonly Lab[]): Lab[][] {
  const groups: Lab[][] = [];
  for (const lab of cells) {
    const group = groups.find((g) => sameFabric(g[0] as Lab, lab));
    if (group) group.push(lab);
    else groups.push([lab]);
  }
  return groups;
}

function createResultsFolder(root: string, name: string): string {
  const stamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z').replaceAll(':', '');
  let folder = join(root, `${stamp}-${name}`);
  for (let n = 2; existsSync(folder); n++) folder = join(root, `${stamp}-${name}.${n}`);
  mkdirSync(folder, { recursive: true });
  return folder;
}
