/** Runs an experiment: every cell, every repeat, on as few deployments as its fabrics need; leaves a results folder. */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Context } from '../core/context.ts';
import type { EventBus } from '../core/events.ts';
import { asNetrigError, NetrigError } from '../core/errors.ts';
import { cellFolder } from '../evidence/cell.ts';
import { writeManifest } from '../evidence/manifest.ts';
import { unwritable, writePart } from '../evidence/parts.ts';
import { MANIFEST_SCHEMA, type RunManifest } from '../evidence/records.ts';
import { destroyAfterFailure, destroyDeployedLab, requireFree } from '../rig/deployment/destroy.ts';
import { bundleScript } from '../core/bundle.ts';
import type { Experiment, Lab } from '../topology/model.ts';
import { describeMachine } from './machine.ts';
import type { Testbed } from './testbed.ts';
import { expectedSeconds, groupByFabric, sameFabric, secondsOf } from './duration.ts';
import { deployLab, runCell, type Deployment } from './runner.ts';

export interface RunOptions {
  readonly topologyPath: string;
  readonly source: string;
  readonly resultsRoot: string;
  readonly command: readonly string[];
  /** Leave the last deployment standing. */
  readonly keep: boolean;
  /** A lab of that name that was left standing is removed first. */
  readonly replace: boolean;
  /** Cells of a results folder that need more repeats; asked after each look but the last. */
  readonly undecided: (results: string) => Promise<ReadonlySet<string>>;
}

/** Returns the results folder. On failure what was gathered stays, and the manifest says why the run stopped. */
export async function runExperiment(
  outer: Context,
  testbed: Testbed,
  experiment: Experiment,
  options: RunOptions,
): Promise<{ results: string; failure: NetrigError | null }> {
  // A run that is refused leaves no folder.
  requireFree(experiment.name, options.replace);
  const results = createResultsFolder(options.resultsRoot, experiment.name);
  const log = new EventLog(join(results, 'events.jsonl'), outer.events);
  const ctx = testbed.contextOf({ ...outer, signal: AbortSignal.any([outer.signal, log.failed]) });
  let manifest: RunManifest = {
    schema: MANIFEST_SCHEMA,
    name: experiment.name,
    description: experiment.description,
    topology: basename(options.topologyPath),
    command: options.command,
    startedAt: new Date().toISOString(),
    endedAt: null,
    repeat: experiment.repeat,
    looks: experiment.looks,
    more: {},
    dimensions: experiment.dimensions,
    cells: experiment.cells.map((c) => c.cell),
    rig: testbed.rig?.name ?? null,
    stopped: null,
    machines: Object.fromEntries(
      await Promise.all(
        [...testbed.machines.values()].map(async (m) => [m.name, await describeMachine(m, testbed.factsOf(m.name).fabric)] as const),
      ),
    ),
  };
  const copy = join(results, 'topology.yaml');
  await writeFile(copy, options.source).catch((cause: unknown) => {
    throw unwritable(copy, cause);
  });
  await writeManifest(results, manifest);
  ctx.events.emit({
    type: 'run-started',
    lab: experiment.name,
    topology: options.topologyPath,
    results,
    cells: experiment.cells.length * experiment.repeat,
    expectedSeconds: expectedSeconds(experiment),
  });

  let deployment: Deployment | undefined;
  let failure: NetrigError | null = null;
  try {
    const prober = await bundleScript(new URL('../traffic/prober.ts', import.meta.url), 'prober');
    const looks = experiment.looks ?? [experiment.repeat];
    let total = experiment.cells.length * experiment.repeat;
    let expected = expectedSeconds(experiment);
    let index = 0;
    let done = 0;
    let cells = experiment.cells;
    for (const look of looks) {
      // Cells grouped by fabric, repeats inside, so that a fabric is built once and cells that are compared take turns.
      for (const group of groupByFabric(cells)) {
        if (deployment && !sameFabric(deployment.lab, group[0] as Lab)) {
          await destroyDeployedLab(deployment.deployed);
          deployment = undefined;
        }
        for (let repeat = done + 1; repeat <= look; repeat++) {
          for (const lab of group) {
            deployment ??= await deployFor(ctx, testbed, lab, repeat, options, results);
            ctx.events.emit({ type: 'cell-started', cell: lab.cell, index: ++index, of: total, repeat });
            const { clean } = await runCell(ctx, deployment, lab, repeat, results, prober);
            if (clean) continue;
            // What a dead agent or an event left would be in the next cell's evidence.
            ctx.events.emit({ type: 'note', level: 'warn', text: 'nodes or links are not as they were: deploying anew' });
            await destroyDeployedLab(deployment.deployed);
            deployment = undefined;
          }
        }
      }
      done = look;
      const next = looks[looks.indexOf(look) + 1];
      if (next === undefined) break;
      const undecided = await options.undecided(results);
      cells = cells.filter((lab) => undecided.has(lab.cell));
      if (cells.length === 0) break;
      manifest = { ...manifest, more: { ...manifest.more, ...Object.fromEntries(cells.map((lab) => [lab.cell, next])) } };
      await writeManifest(results, manifest);
      total += cells.length * (next - look);
      expected += secondsOf(cells, next - look);
      ctx.events.emit({ type: 'run-extended', cells: cells.map((c) => c.cell), after: look, until: next, expectedSeconds: expected });
    }
    if (deployment && !options.keep) await destroyDeployedLab(deployment.deployed);
  } catch (error) {
    failure = testbed.failure ?? log.failure ?? asNetrigError(error);
    manifest = { ...manifest, stopped: failure.message };
    if (deployment && !options.keep) await destroyAfterFailure(ctx, deployment.deployed);
  }
  await writeManifest(results, { ...manifest, endedAt: new Date().toISOString() }).catch((error: unknown) => {
    failure ??= asNetrigError(error);
  });
  log.close();
  return { results, failure: failure ?? log.failure };
}

/** Events of a run, as JSON lines. A log that cannot be written stops the run. */
class EventLog {
  readonly #broken = new AbortController();
  readonly close: () => void;
  failure: NetrigError | null = null;

  constructor(path: string, events: EventBus) {
    this.close = events.on((event) => {
      if (this.failure) return;
      try {
        appendFileSync(path, `${JSON.stringify(event)}\n`);
      } catch (cause) {
        this.failure = unwritable(path, cause);
        this.#broken.abort();
      }
    });
  }

  get failed(): AbortSignal {
    return this.#broken.signal;
  }
}

/** Deploys and keeps the link measurements before they are judged: a refused run shows its figures too. */
function deployFor(ctx: Context, testbed: Testbed, lab: Lab, repeat: number, options: RunOptions, results: string): Promise<Deployment> {
  return deployLab(ctx, testbed, lab, options.topologyPath, {
    gate: true,
    replace: options.replace,
    onLinks: async (links) => {
      const folder = cellFolder(results, lab.cell, repeat);
      await writePart(folder, 'lab', lab);
      await writePart(folder, 'links', links);
    },
  });
}

function createResultsFolder(root: string, name: string): string {
  const stamp = new Date()
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(':', '');
  let folder = join(root, `${stamp}-${name}`);
  for (let n = 2; existsSync(folder); n++) folder = join(root, `${stamp}-${name}.${n}`);
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw unwritable(folder, cause);
  }
  return folder;
}
