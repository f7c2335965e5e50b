import type { Command } from 'commander';
import { formatRate } from '../../core/units.ts';
import type { Lab } from '../../topology/model.ts';
import { collectSet, load, type TopologyOptions } from '../options.ts';
import { renderTable } from '../table.ts';

export function addValidate(program: Command): void {
  program
    .command('validate')
    .description('check a topology file and show what netrig makes of it')
    .argument('<topology>', 'topology file')
    .option('--set <key=value>', 'set a variable of the topology (repeatable)', collectSet, {})
    .option('--json', 'the resolved experiment as JSON')
    .action(async (file: string, options: { set: Record<string, string>; json?: true }) => {
      const [{ expectedSeconds }, { describeImpairment }] = await Promise.all([
        import('../../run/duration.ts'),
        import('../../topology/fabric.ts'),
      ]);
      const topologyOptions: TopologyOptions = { set: options.set, filter: [] };
      const { experiment } = await load(file, topologyOptions);
      if (options.json) {
        process.stdout.write(`${JSON.stringify(experiment, null, 2)}\n`);
        return;
      }
      const { fabric } = experiment.cells[0] as Lab;
      process.stdout.write(
        `${file}: valid\n${experiment.cells.length} cells × ${experiment.repeat}, about ${expectedSeconds(experiment)} s\n\n`,
      );
      process.stdout.write(
        `${renderTable(
          ['node', 'kind', 'interfaces'],
          fabric.nodes.map((n) => [
            n.name,
            n.kind,
            n.interfaces.map((i) => (i.addresses.length > 0 ? `${i.name} ${i.addresses.join(' ')}` : i.name)).join(', '),
          ]),
        )}\n\n`,
      );
      const rows = fabric.links.map((l) => [
        l.id.replace('--', ' – '),
        describeImpairment(l.impairments[0]),
        describeImpairment(l.impairments[1]),
        l.impairments
          .map((i) =>
            i.queueBytes === null
              ? '–'
              : `${Math.round(i.queueBytes / 1000)} kB${i.rateBps === null ? '' : ` (${((i.queueBytes * 8000) / i.rateBps).toFixed(1)} ms at ${formatRate(i.rateBps)})`}`,
          )
          .join(', '),
      ]);
      if (rows.length > 0) process.stdout.write(`${renderTable(['link', 'forward', 'back', 'queues'], rows)}\n`);
    });
}
