/**
 * Bundles the command line into build/cli, with its validators compiled: Node starts it in a fraction of the time that the
 * sources take. `netrig` uses it as long as no source is newer.
 */
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { Ajv2020 } from 'ajv/dist/2020.js';
import standalone from 'ajv/dist/standalone/index.js';
import type { TSchema } from 'typebox';
import { AJV_OPTIONS } from '../src/core/config/ajv.ts';
import { validatorFile } from '../src/core/config/compiled.ts';
import { MANIFEST_SCHEMA, manifestSchema } from '../src/evidence/records.ts';
import { PARTS } from '../src/evidence/parts.ts';
import { rigSchema } from '../src/rig/schema.ts';
import { checksOf, findSystem, knownSystems } from '../src/systems/registry.ts';
import { schemaOfTarget } from '../src/topology/checks.ts';
import { topologySchema } from '../src/topology/schema.ts';

const ROOT = join(import.meta.dirname, '..');
const INTO = join(ROOT, 'build/cli');
const MAKING = `${INTO}.${process.pid}`;
/** A run that began before still loads parts of the bundle that it started with. */
const KEPT_MS = 24 * 3_600_000;

/** A bundled module is where its source was: paths and URLs that it forms are those of the checkout. */
const sourcePlaces: Plugin = {
  name: 'source-places',
  setup(bundler) {
    bundler.onLoad({ filter: /\/(src|agents)\/.*\.ts$/ }, ({ path }) => {
      const source = relative(ROOT, path);
      const contents = readFileSync(path, 'utf8')
        .replaceAll('import.meta.url', `new URL(${JSON.stringify(source)}, netrigRoot).href`)
        .replaceAll('import.meta.dirname', `netrigPath(new URL(${JSON.stringify(dirname(source))}, netrigRoot))`);
      return { contents, loader: 'ts' };
    });
  },
};

/** Schemas are compiled beforehand. */
const compiledSchemas: Plugin = {
  name: 'compiled-schemas',
  setup(bundler) {
    bundler.onResolve({ filter: /\/compile\.ts$/ }, ({ resolveDir }) => ({ path: join(resolveDir, 'compiled.ts') }));
  },
};

/** CommonJS packages ask for `require`. */
const BANNER = `import { createRequire as netrigRequire } from 'node:module';
import { fileURLToPath as netrigPath } from 'node:url';
const require = netrigRequire(import.meta.url);
const netrigRoot = import.meta.url.slice(0, import.meta.url.lastIndexOf('/build/cli') + 1);`;

async function bundle(): Promise<void> {
  const found = globSync(['agents/*/system.ts', 'agents/*/results/{check,page}.ts'], { cwd: ROOT });
  await build({
    absWorkingDir: ROOT,
    outdir: MAKING,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    chunkNames: 'chunks/[name]-[hash]',
    outExtension: { '.js': '.mjs' },
    logLevel: 'warning',
    entryPoints: [{ in: 'src/cli/main.ts', out: 'main' }, ...found.map((file) => ({ in: file, out: file.replace(/\.ts$/, '') }))],
    // These find parts of theirs beside themselves.
    external: ['koffi', 'esbuild', 'ssh2', 'dockerode', 'pcap'],
    define: { NETRIG_BUNDLED: 'true' },
    banner: { js: BANNER },
    plugins: [sourcePlaces, compiledSchemas],
  });
}

/** By the names under which problemsOf asks for them. */
async function namedSchemas(): Promise<Record<string, TSchema>> {
  const systems = await Promise.all(knownSystems().map(findSystem));
  const checks = await checksOf(['']);
  return {
    topology: topologySchema,
    rig: rigSchema,
    [MANIFEST_SCHEMA]: manifestSchema,
    ...Object.fromEntries(
      Object.entries<{ version: number; schema: TSchema }>(PARTS).map(([name, { version, schema }]): [string, TSchema] => [
        `netrig-${name}-${version}`,
        schema,
      ]),
    ),
    ...Object.fromEntries(systems.flatMap((s): [string, TSchema][] => (s ? [[`system ${s.name}`, s.configSchema]] : []))),
    ...Object.fromEntries([...checks.values()].map((check): [string, TSchema] => [`check ${check.name}`, schemaOfTarget(check)])),
  };
}

async function compileValidators(): Promise<void> {
  mkdirSync(join(MAKING, 'validators'));
  for (const [name, schema] of Object.entries(await namedSchemas())) {
    const ajv = new Ajv2020({ ...AJV_OPTIONS, code: { source: true } });
    writeFileSync(join(MAKING, 'validators', validatorFile(name)), standalone.default(ajv, ajv.compile(schema)));
  }
}

/** File by file, each complete: another netrig may be starting. */
function putInPlace(): void {
  const made = globSync('**/*.{mjs,cjs}', { cwd: MAKING });
  for (const file of [...made.filter((f) => f !== 'main.mjs'), 'main.mjs', 'stamp']) {
    mkdirSync(dirname(join(INTO, file)), { recursive: true });
    renameSync(join(MAKING, file), join(INTO, file));
  }
  rmSync(MAKING, { recursive: true });
  const old = globSync('**/*.{mjs,cjs}', { cwd: INTO }).filter(
    (file) => !made.includes(file) && Date.now() - statSync(join(INTO, file)).mtimeMs > KEPT_MS,
  );
  for (const file of old) rmSync(join(INTO, file));
}

mkdirSync(MAKING, { recursive: true });
// Older than anything that changes meanwhile.
writeFileSync(join(MAKING, 'stamp'), '');
await bundle();
await compileValidators();
putInPlace();
