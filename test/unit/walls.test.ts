/** The walls between folders hold: an import planted behind each of them is reported, from any depth. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import test from 'ava';
import { ESLint } from 'eslint';
import { importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';
import { layers, walls } from '../../walls.config.js';
import { ROOT } from '../support/netrig.ts';

const eslint = new ESLint({
  cwd: ROOT,
  overrideConfigFile: true,
  overrideConfig: [
    {
      files: ['**/*.ts'],
      languageOptions: { parser: tseslint.parser },
      plugins: { 'import-x': importX },
      rules: { 'import-x/no-restricted-paths': ['error', { basePath: ROOT, zones: walls() }] },
    },
  ],
});

const anyFileOf = (folder: string): string => {
  const found = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).find((f) => f.endsWith('.ts'));
  assert.ok(found, `${folder} has a file`);
  return join(folder, found);
};

async function reported(from: string, imported: string): Promise<number> {
  let path = relative(join(ROOT, from), join(ROOT, imported));
  if (!path.startsWith('.')) path = `./${path}`;
  const [result] = await eslint.lintText(`import '${path}';\nimport type { T } from '${path}';\nconst later = import('${path}');\n`, {
    filePath: join(ROOT, from, 'planted.ts'),
  });
  return result?.messages.length ?? 0;
}

test('an import through each wall is reported, from the folder and from below it', async () => {
  for (const { target, from } of walls()) {
    const below = readdirSync(join(ROOT, target), { withFileTypes: true }).find((e) => e.isDirectory());
    for (const folder of from.filter((f) => existsSync(join(ROOT, f)))) {
      for (const place of [target, ...(below ? [join(target, below.name)] : [])])
        assert.equal(await reported(place, anyFileOf(folder)), 3, `${place} imports ${folder}`);
    }
  }
});

test('every folder of src has its walls', () => {
  assert.deepEqual(Object.keys(layers).sort(), readdirSync(join(ROOT, 'src')).sort());
});

test('what a folder may import is not reported', async () => {
  for (const [folder, allowed] of Object.entries(layers))
    for (const other of [...allowed, 'core'])
      assert.equal(await reported(`src/${folder}`, anyFileOf(`src/${other}`)), 0, `src/${folder} imports src/${other}`);
  assert.equal(await reported('agents/pop', anyFileOf('agents/lib')), 0);
  assert.equal(await reported('agents/pop', anyFileOf('src/evidence')), 0);
});
