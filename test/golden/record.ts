/** Makes recordings of runs: node test/golden/record.ts RESULTS_FOLDER… ; each is named after its topology. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunManifest } from '../../src/evidence/records.ts';
import { pack } from './archive.ts';
import { cutRun } from './cut.ts';

for (const results of process.argv.slice(2)) {
  const { name } = JSON.parse(readFileSync(join(results, 'run.json'), 'utf8')) as RunManifest;
  const folder = mkdtempSync(join(tmpdir(), 'netrig-cut-'));
  await cutRun(results, folder);
  process.stdout.write(`${name}: ${(pack(folder, name) / 1e6).toFixed(2)} MB\n`);
  rmSync(folder, { recursive: true });
}
