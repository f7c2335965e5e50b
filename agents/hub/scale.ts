/** Sizes that cells may have, as the file asks for (R1-23). Pure. */
import type { SystemProblem } from '../../src/systems/definition.ts';
import { parseDurationUs } from '../../src/core/units.ts';
import { shardsOf, type Cells } from './cells.ts';
import type { Dmn, HubFile, Scale } from './config.ts';
import type { Ain } from './model.ts';

/** null: all nodes serve. */
export function scaleOf(
  config: HubFile,
  cells: Cells,
  ains: readonly Ain[],
  dmns: readonly Pick<Dmn, 'name' | 'cell'>[],
  problems: SystemProblem[],
): Scale | null {
  const { scale } = config;
  if (!scale) return null;
  for (const [network, { shard }] of Object.entries(config.networks))
    if (shard)
      problems.push({
        path: ['networks', network, 'shard'],
        message: 'shards change with the nodes that serve',
        hint: 'leave out shard, or scale',
      });
  const sizes = cells.names.flatMap((cell) => {
    const [own, deciding] = [ains.filter((a) => a.cell === cell), dmns.filter((d) => d.cell === cell)];
    if (own.length < scale.fewest) problems.push({ path: ['scale', 'fewest'], message: `cell "${cell}" has ${own.length} AINs` });
    return own.slice(scale.fewest - 1).map((_, i) => {
      const serving = own.slice(0, scale.fewest + i);
      const needed = scale['ains-per-dmn'] === undefined ? deciding.length : Math.ceil(serving.length / scale['ains-per-dmn']);
      const waiting = [...own.slice(serving.length), ...deciding.slice(needed)];
      return {
        cell,
        ains: serving.map((a) => a.name),
        standby: waiting.map((n) => n.name),
        shards: Object.fromEntries(shardsOf(config, [cell], serving, problems)),
      };
    });
  });
  return { load: scale.load, calmMs: parseDurationUs(scale.calm ?? '2s') / 1000, sizes };
}
