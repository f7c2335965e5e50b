import type { Command } from 'commander';
import type { Lab } from '../../topology/model.ts';
import { NetrigError } from '../../core/errors.ts';
import { collectSet, load } from '../options.ts';

export function addGraph(program: Command): void {
  program
    .command('graph')
    .description('draw a topology')
    .argument('<topology>', 'topology file')
    .option('--format <format>', 'svg, mermaid or dot', 'svg')
    .option('--set <key=value>', 'set a variable of the topology (repeatable)', collectSet, {})
    .action(async (file: string, options: { format: string; set: Record<string, string> }) => {
      const { renderDot, renderMermaid, renderSvg } = await import('../../report/graph.ts');
      const { experiment } = await load(file, { set: options.set, filter: [] });
      const { fabric } = experiment.cells[0] as Lab;
      switch (options.format) {
        case 'svg':
          process.stdout.write(await renderSvg(fabric));
          break;
        case 'mermaid':
          process.stdout.write(renderMermaid(fabric));
          break;
        case 'dot':
          process.stdout.write(renderDot(fabric));
          break;
        default:
          throw new NetrigError('USAGE', `unknown format "${options.format}"`, { hint: 'svg, mermaid or dot' });
      }
    });
}
