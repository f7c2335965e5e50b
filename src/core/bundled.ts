/** Is this the bundle (build/cli) or are these its sources? Modules that are found at run time are found in either. */
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BUILD_DIR } from './paths.ts';

/** Defined by lab/bundle.ts. */
declare const NETRIG_BUNDLED: true | undefined;
export const isBundled = typeof NETRIG_BUNDLED !== 'undefined';

/** Imports a module by the URL of its source. */
export const importModule = (source: URL | string): Promise<unknown> =>
  import(isBundled ? inBundle(fileURLToPath(source)) : String(source));

const inBundle = (path: string): string =>
  pathToFileURL(join(BUILD_DIR, 'cli', relative(join(BUILD_DIR, '..'), path).replace(/\.ts$/, '.mjs'))).href;
