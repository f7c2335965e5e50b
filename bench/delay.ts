/** How exact the emulated links are: one-way delay and rate of a sweep of settings, as linktest measures them. */
import { quietContext } from '../src/core/context.ts';
import { formatDurationUs, formatRate } from '../src/core/units.ts';
import { destroyDeployedLab } from '../src/rig/deployment/destroy.ts';
import { Testbed } from '../src/run/testbed.ts';
import { measureLinks } from '../src/run/runner.ts';
import { parseExperiment } from '../src/topology/load.ts';
import type { Lab } from '../src/topology/model.ts';
import { print } from './measure.ts';
import { checksOf } from '../src/systems/registry.ts';

const SETTINGS = [
  'delay: 200us',
  'delay: 1ms',
  'delay: 10ms',
  'delay: 100ms',
  'rate: 10Mbit',
  'rate: 100Mbit',
  'rate: 500Mbit',
  'rate: 1Gbit',
  'rate: 100Mbit, delay: 10ms',
  'delay: 10ms, jitter: 2ms',
  'loss: 1%',
];

export async function benchDelay(): Promise<void> {
  const ctx = quietContext();
  await using testbed = await Testbed.open(ctx, null, { lease: null });
  const rows: string[][] = [];
  for (const setting of SETTINGS) {
    const lab = (
      await parseExperiment(
        'bench.yaml',
        `name: bench\ntopology: { nodes: { a: {}, b: {} }, links: [{ endpoints: ["a:e", "b:e"], ${setting} }] }\n`,
        { checksOf },
      )
    ).cells[0] as Lab;
    const deployed = await testbed.deploy(ctx, lab, 'bench');
    try {
      const m = (await measureLinks(ctx, deployed, lab))[0];
      if (m)
        rows.push([
          setting,
          m.rateBps === null ? '–' : formatRate(m.rateBps),
          formatDurationUs(m.delayUs ?? NaN),
          formatDurationUs(m.delayP90Us ?? NaN),
          `${m.lossSent - m.lossReceived}/${m.lossSent}`,
          m.problems.join('; '),
        ]);
    } finally {
      await destroyDeployedLab(deployed);
    }
  }
  print(['declared', 'rate', 'delay p50', 'delay p90', 'lost', ''], rows);
}
