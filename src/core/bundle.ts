/** Bundles TypeScript that runs inside nodes into one file each: about 30 ms, so never stale. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { BUILD_DIR } from './paths.ts';

const bundled = new Map<string, Promise<string>>();

/** koffi finds its native part beside itself and cannot be bundled; it is resolved from node_modules. */
export function bundleScript(entry: URL, name: string): Promise<string> {
  let bundle = bundled.get(name);
  if (!bundle) bundled.set(name, (bundle = makeBundle(entry, name)));
  return bundle;
}

async function makeBundle(entry: URL, name: string): Promise<string> {
  const outfile = join(BUILD_DIR, `${name}.cjs`);
  await mkdir(BUILD_DIR, { recursive: true });
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(entry)],
    outfile,
    write: false,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    // ssh2 comes with the Docker client, and works without its native parts.
    external: ['koffi', 'cpu-features'],
    loader: { '.node': 'empty' },
    sourcemap: 'inline',
    logLevel: 'silent',
  });
  // Renamed into place: another netrig may be reading it.
  await writeFile(`${outfile}.${process.pid}`, (outputFiles[0] as { contents: Uint8Array }).contents);
  await rename(`${outfile}.${process.pid}`, outfile);
  return outfile;
}
