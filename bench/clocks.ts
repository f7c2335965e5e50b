/** PTP and chrony on three emulated machines, idle and under traffic: what they are off by in truth, and what netrig says of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { netrig } from '../test/support/netrig.ts';
import { spreadLab, testRig, vmsImpossible } from '../test/support/rigs.ts';
import { buildTruth, quantiles } from '../test/support/truth.ts';
import { print } from './measure.ts';
import { readPart } from '../src/evidence/parts.ts';

const SECONDS = 40;

export async function benchClocks(): Promise<void> {
  const impossible = vmsImpossible();
  if (impossible) {
    process.stdout.write(`virtual machines cannot run here: ${impossible}\n`);
    return;
  }
  const dir = mkdtempSync(join(tmpdir(), 'netrig-bench-'));
  const rig = testRig(dir, 'vm-3', 'bench-clocks', (text) => text.replace('memory: 768MiB', 'memory: 768MiB, shared-page: true'));
  try {
    const { status, stderr } = rig.up();
    if (status !== 0) throw new Error(stderr);
    const truth = buildTruth(rig, dir);
    const rows: string[][] = [];
    for (const sync of ['ptp', 'chrony']) {
      for (const traffic of [false, true]) {
        const file = join(dir, `${sync}.yaml`);
        const lab = spreadLab('bench-clocks', SECONDS, `clocks: { max-offset: 100ms, sync: ${sync} }\n`);
        writeFileSync(file, traffic ? lab : lab.replace('rate: 1Mbit', 'rate: 2kbit').replace('at-least: 500kbit', 'at-least: 1bit'));
        const compared = await truth.compare('vm1', 'vm3', async () => {
          const run = netrig(['run', file, '--on', rig.file, '--results', dir], {}, 240_000);
          const evidence = /evidence in (\S+)/.exec(run.stderr)?.[1];
          if (evidence === undefined) throw new Error(run.stdout + run.stderr);
          return await readPart(join(evidence, 'cells/run/r1'), 'clocks');
        });
        const covered = compared.filter((c) => Math.abs(c.reportedNs - c.trueNs) <= c.boundNs + c.truthErrorNs).length;
        rows.push([
          sync,
          traffic ? '1 Mbit/s' : 'idle',
          String(compared.length),
          quantiles(compared.map((c) => Math.abs(c.trueNs) / 1000)),
          quantiles(compared.map((c) => c.boundNs / 1000)),
          `${covered} of ${compared.length}`,
        ]);
      }
    }
    print(['clock by', 'traffic', 'samples', 'true offset [us]', 'bound [us]', 'bound covers the truth'], rows);
  } finally {
    rig.down();
    rmSync(dir, { recursive: true, force: true });
  }
}
