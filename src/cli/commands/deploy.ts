import type { Command } from 'commander';
import { joinFailures, NetrigError } from '../../core/errors.ts';
import { listLabs } from '../../rig/labs/journal.ts';
import type { Lab } from '../../topology/model.ts';
import { interruptibleContext } from '../interrupt.ts';
import {
  addRigOptions,
  collect,
  collectSet,
  load,
  loadRigOf,
  parseLabName,
  waitOf,
  type RigOptions,
  type TopologyOptions,
} from '../options.ts';
import { requireRoot } from '../root.ts';
import { attachView, viewKind } from '../view.ts';

export function addDeploy(program: Command): void {
  addRigOptions(program.command('deploy'))
    .description('deploy a topology and measure its links; leaves the lab standing')
    .argument('<topology>', 'topology file')
    .option('--filter <what>', 'the cell whose fabric is deployed (default: the first)', collect, [])
    .option('--set <key=value>', 'set a variable of the topology (repeatable)', collectSet, {})
    .option('--name <lab>', 'deploy under another name', parseLabName)
    .option('--replace', 'remove a lab of that name first, unless a running netrig uses it')
    .option('--json', 'events as JSON lines')
    .action(async (file: string, options: TopologyOptions & RigOptions & { json?: true; replace?: true }) => {
      const rig = await loadRigOf(options);
      requireRoot(rig);
      const ctx = interruptibleContext();
      attachView(ctx.events, viewKind(options.json ?? false));
      const { experiment } = await load(file, options, rig);
      const [{ deployLab }, { Testbed }] = await Promise.all([import('../../run/runner.ts'), import('../../run/testbed.ts')]);
      const lab = experiment.cells[0] as Lab;
      await using testbed = await Testbed.open(ctx, rig, { lease: { purpose: lab.name, waitMs: waitOf(options) } });
      await deployLab(ctx, testbed, lab, file, { replace: options.replace ?? false });
      await testbed.hold(lab.name);
      if (!options.json) process.stdout.write(`lab "${lab.name}" is up: netrig inspect, netrig shell NODE, netrig destroy ${lab.name}\n`);
    });

  program
    .command('destroy')
    .description('remove a lab, whatever became of the process that made it')
    .argument('[lab]', 'name of the lab')
    .option('--all', 'every lab that netrig ever left on this machine')
    .option('--force', 'even if a running netrig uses it, or a machine of its rig cannot be reached')
    .action(async (name: string | undefined, options: { all?: true; force?: true }) => {
      requireRoot();
      if ((name === undefined) === (options.all === undefined))
        throw new NetrigError('USAGE', 'say which lab, or --all', { hint: `labs: ${listLabs().join(', ') || 'none'}` });
      const { destroyLab } = await import('../../rig/deployment/destroy.ts');
      if (!options.all) {
        await destroyLab(name as string, { force: options.force ?? false });
        process.stdout.write(`destroyed ${name}\n`);
        return;
      }
      // One lab that is in use must not keep the others.
      const attempts: PromiseSettledResult<void>[] = [];
      for (const lab of listLabs()) {
        attempts.push(
          ...(await Promise.allSettled([
            destroyLab(lab, { force: options.force ?? false }).then(() => {
              process.stdout.write(`destroyed ${lab}\n`);
            }),
          ])),
        );
      }
      const { sweepProbes } = await import('../../rig/labs/probes.ts');
      for (const probe of await sweepProbes()) process.stdout.write(`removed ${probe}\n`);
      const failure = joinFailures(attempts);
      if (failure) throw failure;
      const { labsByNamespaces } = await import('../../rig/labs/teardown.ts');
      const left = labsByNamespaces();
      if (left.length > 0)
        throw new NetrigError('STEP_FAILED', `namespaces are left of labs that have no record here: ${left.join(', ')}`, {
          hint: `they may be another netrig's; to remove them: netrig destroy ${left[0]}`,
        });
    });
}
