/** The examples of docs/evidence.md, each as an outside program would run it in a results folder. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import test from 'ava';
import { readRun } from '../../src/evidence/cell.ts';
import { evaluateRun, writeReports } from '../../src/report/index.ts';
import { unpack } from '../golden/archive.ts';
import { ROOT, scratch } from '../support/netrig.ts';

const examples = [...readFileSync(join(ROOT, 'docs/evidence.md'), 'utf8').matchAll(/^```(sh|python|sql)\n([\s\S]*?)^```/gm)].map(
  ([, language, code]) => ({ language, code: code as string }),
);

/** A recording with flows whose rate was measured, and one with requests that were refused. */
const RECORDINGS = ['gatekeeper-churn', 'replication-cells'] as const;

async function resultsFolder(name: string, dir: string): Promise<void> {
  unpack(name, dir);
  await writeReports(dir, await evaluateRun(dir));
}

for (const name of RECORDINGS)
  test(`every example of the page answers from the files alone: ${name}`, async (t) => {
    using files = scratch();
    await resultsFolder(name, files.dir);
    assert.equal(examples.length, 5);
    const run = (program: string, ...args: string[]) =>
      execFileSync(program, args, { cwd: files.dir, encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } });
    const database = await DuckDBInstance.create(':memory:');
    const connection = await database.connect();
    await connection.run(`SET file_search_path = '${files.dir}'`);
    const rows: number[] = [];
    let table = '';
    for (const { language, code } of examples) {
      if (language === 'sql') rows.push((await connection.runAndReadAll(code)).getRows().length);
      else if (language === 'sh') rows.push(run('sh', '-c', code).trim().split('\n').filter(Boolean).length);
      else table = run('python3', '-c', code);
    }
    const { cells } = await readRun(files.dir);
    const all = [...cells.values()].flat();
    const flows = all.flatMap((e) => e.phases.flatMap((p) => p.flows)).length;
    const refused = all.flatMap((e) => Object.values(e.events).flat()).filter((e) => e.outcome.state === 'refused').length;
    assert.deepEqual(rows.slice(0, 2), [flows, refused]);
    assert.match(table, name === 'gatekeeper-churn' ? /churn A +\d+\.0/ : /Empty/);
    assert.equal(refused > 0, name === 'replication-cells');
    assert.equal(rows[2], Math.min(10, all.flatMap((e) => e.agents).length));
    t.pass();
  });
