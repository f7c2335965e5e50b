/** Runs an experiment: every cell, every repeat, on as few deployments as its fabrics need; leaves a results folder. */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Context } from '../core/context.ts';
import { asNetrigError, NetrigError } from '../core/errors.ts';
import { cellFolder, manifestPath, writeJson, writePart, type RunManifest } from '../evidence/cell.ts';
import { probeFabric, type FabricCapabilities } from '../fabric/capabilities.ts';
import { Rig } from '../rig/rig.ts';
import { destroyLab, removeAfterFailure } from '../rig/teardown.ts';
import { bundleScript } from '../systems/bundle.ts';
import type { Experiment, Lab } from '../topology/model.ts';
import { describeMachine } from './machine.ts';
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
export async function runExperiment(ctx: Context, experiment: Experiment, options: RunOptions): Promise<{ results: string; failure: NetrigError | null }> {
  const results = createResultsFolder(options.resultsRoot, experiment.name);
  const stopLogging = ctx.events.on((event) => appendFileSync(join(results, 'events.jsonl'), `${JSON.stringify(event)}\n`));
  const machine = Rig.machine();
  const capabilities = await probeFabric(machine);
  const manifest: RunManifest = {
    schema: 'netrig-run-1', name: experiment.name, description: experiment.description, topology: basename(options.topologyPath), command: options.command,
    startedAt: new Date().toISOString(), endedAt: null, repeat: experiment.repeat, dimensions: experiment.dimensions,
    cells: experiment.cells.map((c) => c.cell), machine: await describeMachine(machine), capabilities, stopped: null,
  };
  await writeFile(join(results, 'topology.yaml'), options.source);
  await writeJson(manifestPath(results), manifest);
  ctx.events.emit({ type: 'run-started', lab: experiment.name, topology: options.topologyPath, results, cells: experiment.cells.length * experiment.repeat, expectedSeconds: expectedSeconds(experiment) });

  let deployment: Deployment | undefined;
  let failure: NetrigError | null = null;
  try {
    const tools = { node: process.execPath, prober: await bundleScript(new URL('../traffic/prober.ts', import.meta.url), 'prober') };
    const total = experiment.cells.length * experiment.repeat;
    let index = 0;
    // Cells grouped by fabric, repeats inside, so that a fabric is built once.
    for (const group of groupByFabric(experiment.cells)) {
      if (deployment) await destroyLab(experiment.name);
      deployment = undefined;
      for (let repeat = 1; repeat <= experiment.repeat; repeat++) {
        for (const lab of group) {
          deployment ??= await deployFor(ctx, lab, repeat, capabilities, options, results);
          ctx.events.emit({ type: 'cell-started', cell: lab.cell, index: ++index, of: total, repeat });
          const { clean } = await runCell(ctx, deployment, lab, repeat, results, tools);
          if (clean) continue;
          // What a dead agent left in its node would be in the next cell's evidence.
          ctx.events.emit({ type: 'note', level: 'warn', text: 'an agent left its node unclean: deploying anew' });
          await destroyLab(experiment.name);
          deployment = undefined;
        }
      }
    }
    if (deployment && !options.keep) await destroyLab(experiment.name);
  } catch (error) {
    failure = asNetrigError(error);
    manifest.stopped = failure.message;
    if (deployment && !options.keep) await removeAfterFailure(ctx, experiment.name);
  }
  manifest.endedAt = new Date().toISOString();
  await writeJson(manifestPath(results), manifest);
  stopLogging();
  return { results, failure };
}

/** Deploys and keeps the link measurements before they are judged: a refused run shows its figures too. */
function deployFor(ctx: Context, lab: Lab, repeat: number, capabilities: FabricCapabilities, options: RunOptions, results: string): Promise<Deployment> {
  return deployLab(ctx, lab, capabilities, options.topologyPath, async (links) => {
    const folder = cellFolder(results, lab.cell, repeat);
    await writePart(folder, 'lab', lab);
    await writePart(folder, 'links', links);
  });
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
