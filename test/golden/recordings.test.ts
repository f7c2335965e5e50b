/**
 * Recorded evidence judged again: every figure and verdict as it was, in seconds, without a lab. And recordings that are
 * spoilt: every target of every recorded topology is seen to be missed by at least one of them.
 * After a change that is meant to change figures: npm run golden.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { loadExperiment } from '../../src/topology/load.ts';
import { ROOT } from '../support/netrig.ts';
import { recordingNames, sizeOf, unpack } from './archive.ts';
import { expectedPath, judgeAll, neverMissed, type Expected } from './expected.ts';
import { checksOf } from '../../src/systems/registry.ts';

/** Only on a rig of virtual machines, which makes another recording every time. */
const NOT_RECORDED = ['replication-rig'];
const LARGEST_BYTES = 20e6;

const names = recordingNames();

test('every shipped topology has a recording, of every cell and target that it has now', async () => {
  const shipped = readdirSync(join(ROOT, 'topologies'))
    .map((file) => file.replace('.yaml', ''))
    .filter((name) => !NOT_RECORDED.includes(name));
  assert.deepEqual(names, shipped.sort());
  for (const name of names) {
    const { experiment } = await loadExperiment(join(ROOT, `topologies/${name}.yaml`), { checksOf });
    const { good } = expectedOf(name);
    const list = (pairs: readonly (readonly [string, string])[]): string[] => pairs.map(([cell, target]) => `${cell}: ${target}`).sort();
    assert.deepEqual(
      list(good.map((v) => [v.cell, v.target])),
      list(experiment.cells.flatMap((c) => c.targets.map((t) => [c.cell, t.name] as const))),
      name,
    );
  }
});

test('recordings stay small', () => {
  const bytes = names.reduce((sum, name) => sum + sizeOf(name), 0);
  assert.ok(bytes <= LARGEST_BYTES, `${(bytes / 1e6).toFixed(1)} MB`);
});

const expectedOf = (name: string): Expected => JSON.parse(readFileSync(expectedPath(name), 'utf8')) as Expected;

for (const name of names) {
  test.serial(`${name}: figures and verdicts as recorded, and as spoilt`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'netrig-golden-'));
    try {
      unpack(name, folder);
      const expected = expectedOf(name);
      const found = await judgeAll(name, folder, (cell) => new Set(Object.keys(expected.spoilt[cell] ?? {})));
      assert.deepEqual(found.good, expected.good);
      assert.deepEqual(found.spoilt, expected.spoilt);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test('every target is missed by a recording, good or spoilt', () => {
  assert.deepEqual(
    names.flatMap((name) => neverMissed(expectedOf(name)).map(({ cell, target }) => `${name} ${cell}: ${target}`)),
    [],
  );
});
