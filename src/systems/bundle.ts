/** Bundles TypeScript that runs inside nodes into one file each: about 30 ms, so never stale. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const BUILD_DIR = join(import.meta.dirname, '../../build');

/** koffi finds its native part beside itself and cannot be bundled; it is resolved from node_modules. */
export async function bundleScript(entry: URL, name: string): Promise<string> {
  const outfile = join(BUILD_DIR, `${name}.cjs`);
  await mkdir(BUILD_DIR, { recursive: true });
  await build({
    entryPoints: [fileURLToPath(entry)], outfile, bundle: true, platform: 'node', format: 'cjs', target: 'node24',
    external: ['koffi'], sourcemap: 'inline', logLevel: 'silent',
  });
  return outfile;
}
