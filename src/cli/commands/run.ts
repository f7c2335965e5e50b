import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { readRecord } from '../../rig/labs/journal.ts';
import { renderPlan } from '../../rig/labs/steps.ts';
import type { Lab } from '../../topology/model.ts';
import { interruptibleContext } from '../interrupt.ts';
import {
  addRigOptions,
  collect,
  collectSet,
  load,
  loadRigOf,
  parseCount,
  parseLabName,
  waitOf,
  type RigOptions,
  type TopologyOptions,
} from '../options.ts';
import { requireRoot } from '../root.ts';
import { printVerdicts } from '../verdicts.ts';
import { attachView, viewKind } from '../view.ts';

/** Of --until-decided without a number. */
const DEFAULT_AT_MOST = 12;

interface Options extends Omit<TopologyOptions, 'untilDecided'>, RigOptions {
  readonly keep?: true;
  readonly replace?: true;
  readonly dryRun?: true;
  readonly json?: true;
  readonly junit?: string;
  readonly results: string;
  readonly untilDecided?: number | true;
}

export function addRun(program: Command): void {
  addRigOptions(program.command('run'))
    .description('deploy, measure the links, run agents, traffic and captures, judge, report, destroy')
    .argument('<topology>', 'topology file')
    .option('--dry-run', 'print the steps of the first deployment and the cells; deploy nothing (needs root, to probe the kernel)')
    .option('--filter <what>', 'only cells with this variant, e.g. udp or load=udp (repeatable: all must hold)', collect, [])
    .option('--set <key=value>', 'set a variable of the topology (repeatable)', collectSet, {})
    .option('--repeat <n>', 'repeats of every cell', parseCount)
    .option('--until-decided [n]', `repeat cells with an undecided measurement, at most n times (default ${DEFAULT_AT_MOST})`, parseCount)
    .option('--name <lab>', 'deploy under another name', parseLabName)
    .option('--keep', 'leave the lab standing for inspection')
    .option('--replace', 'remove a lab of that name first, unless a running netrig uses it')
    .option('--results <folder>', 'where results folders go', 'results')
    .option('--junit <file>', 'also write JUnit XML here')
    .option('--json', 'events and verdicts as JSON lines on stdout')
    .addHelpText(
      'after',
      `
Exit status: 0 all targets met, 1 a target missed, 2 bad file or usage, 3 inconclusive,
             4 rig or tool broken, 130 interrupted.

Examples:
  netrig run topologies/hello.yaml
  netrig run topologies/hello.yaml --on lab/rigs/vm-3.yaml
  netrig run topologies/gatekeeper-cells.yaml --filter rx --filter udp --repeat 3
  netrig run topologies/gatekeeper-cells.yaml --set link=200Mbit --junit gk.xml`,
    )
    .action(async (file: string, options: Options) => {
      const ctx = interruptibleContext();
      const [{ runExperiment }, { Testbed }, { evaluateRun, undecidedCells, writeReports, renderJUnit }] = await Promise.all([
        import('../../run/experiment.ts'),
        import('../../run/testbed.ts'),
        import('../../report/index.ts'),
      ]);
      const rig = await loadRigOf(options);
      const { experiment, source } = await load(file, withDefault(options), rig);
      if (options.dryRun) {
        await using testbed = await Testbed.open(ctx, rig, { lease: null });
        process.stdout.write(renderPlan(testbed.plan(experiment.cells[0] as Lab).plan));
        process.stdout.write(
          `\n# ${experiment.cells.length} cells × ${experiment.repeat}: ${experiment.cells.map((c) => c.cell || 'run').join(', ')}\n`,
        );
        return;
      }
      requireRoot(rig);
      const startedMs = performance.now();
      attachView(ctx.events, viewKind(options.json ?? false));
      await using testbed = await Testbed.open(ctx, rig, { lease: { purpose: experiment.name, waitMs: waitOf(options) } });
      const { results, failure } = await runExperiment(ctx, testbed, experiment, {
        topologyPath: file,
        source,
        resultsRoot: options.results,
        command: ['netrig', ...process.argv.slice(2)],
        keep: options.keep ?? false,
        replace: options.replace ?? false,
        undecided: undecidedCells,
      });
      const stands = options.keep === true && readRecord(experiment.name)?.owner.pid === process.pid;
      if (stands) await testbed.hold(experiment.name);
      if (failure?.code === 'RESULTS_UNWRITABLE') throw failure;
      const judged = await evaluateRun(results);
      const report = await writeReports(results, judged);
      if (options.junit) await writeFile(options.junit, renderJUnit(judged));
      for (const v of judged.verdicts)
        ctx.events.emit({
          type: 'verdict',
          cell: v.cell,
          target: v.target,
          outcome: v.outcome,
          summary: `${v.measured}, wanted ${v.wanted}`,
        });
      const exit = failure ? failure.exit : { pass: EXIT.met, fail: EXIT.missed, inconclusive: EXIT.inconclusive }[judged.outcome];
      ctx.events.emit({
        type: 'run-ended',
        outcome: failure ? failure.code : judged.outcome,
        exit,
        seconds: (performance.now() - startedMs) / 1000,
        report,
      });
      if (!options.json) printVerdicts(judged, report);
      if (stands)
        process.stderr.write(
          `lab "${experiment.name}" stands: netrig inspect ${experiment.name}, netrig shell NODE, netrig destroy ${experiment.name}\n`,
        );
      if (failure) throw failure;
      process.exitCode = exit;
    });
}

function withDefault({ untilDecided, ...options }: Options): TopologyOptions {
  return { ...options, ...(untilDecided === undefined ? {} : { untilDecided: untilDecided === true ? DEFAULT_AT_MOST : untilDecided }) };
}
