/** Cells: which nodes are in which, and where networks have branches in each (R1 sections 2 and 3). Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import type { SystemProblem } from '../../src/systems/definition.ts';
import type { HubFile } from './config.ts';
import type { Ain } from './model.ts';
import { shuffleShards } from './shards.ts';

/** Of a file without cells. */
const ONLY = 'main';
const DEFAULT_SHARD = 2;
const DEFAULT_OVERLAP = 1;

/** By node: its cell; and the cells in the order of the file. */
export interface Cells {
  readonly names: readonly string[];
  readonly of: ReadonlyMap<string, string>;
}

export function cellsOf({ cells, ains, dmns }: HubFile, problems: SystemProblem[] = []): Cells {
  const layers = { ains: Object.keys(ains), dmns: expandAll(dmns) };
  const all = [...layers.ains, ...layers.dmns];
  if (!cells) return { names: [ONLY], of: new Map(all.map((name) => [name, ONLY])) };
  const of = new Map<string, string>();
  for (const [cell, named] of Object.entries(cells))
    for (const layer of ['ains', 'dmns'] as const)
      for (const name of expandAll(named[layer])) {
        const path = ['cells', cell, layer];
        if (!layers[layer].includes(name)) problems.push({ path, message: `"${name}" is not in \`${layer}\`` });
        else if (of.has(name))
          problems.push({ path, message: `"${name}" is in ${of.get(name) ?? ''} already`, hint: 'a node is in one cell' });
        of.set(name, cell);
      }
  for (const name of all) if (!of.has(name)) problems.push({ path: ['cells'], message: `"${name}" is in no cell` });
  return { names: Object.keys(cells), of };
}

/** By network, AINs that have a branch for it: in each cell those that the file names, or a set by shuffle sharding. */
export function shardsOf(
  config: HubFile,
  cells: readonly string[],
  ains: readonly Ain[],
  problems: SystemProblem[],
): Map<string, string[]> {
  const shards = new Map(Object.keys(config.networks).map((name): [string, string[]] => [name, []]));
  for (const [network, { shard }] of Object.entries(config.networks))
    for (const name of expandAll(shard ?? []))
      if (!ains.some((a) => a.name === name)) problems.push({ path: ['networks', network, 'shard'], message: `"${name}" is no AIN` });
  for (const cell of cells) {
    const own = ains.filter((a) => a.cell === cell);
    const namedOf = (network: string): string[] =>
      expandAll(config.networks[network]?.shard ?? []).filter((name) => own.some((a) => a.name === name));
    const open = [...shards.keys()].filter((network) => namedOf(network).length === 0);
    const size = Math.min(config['shard-size'] ?? DEFAULT_SHARD, own.length);
    const most = config['shard-overlap'] ?? Math.max(DEFAULT_OVERLAP, 2 * size - own.length);
    const chosen = shuffleShards(
      open.length,
      own.length,
      size,
      most,
      own.map((a) => a.zone),
    );
    if (!chosen)
      problems.push({
        path: ['shard-overlap'],
        message: `there are not ${open.length} sets of ${size} of ${own.length} AINs that share at most ${most}`,
        hint: 'more AINs, a smaller shard-size, or a larger shard-overlap',
      });
    for (const [network, shard] of shards) {
      const set = chosen?.[open.indexOf(network)] ?? [];
      shard.push(...namedOf(network), ...set.flatMap((at) => own[at]?.name ?? []));
    }
  }
  return shards;
}
