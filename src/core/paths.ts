/** Where things are in a checkout. */
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Native helpers and bundled scripts. */
export const BUILD_DIR = join(import.meta.dirname, '../../build');

const PROJECT = join(BUILD_DIR, '..');

/** Native helpers, the testbed's and those of systems: what lab/build.sh makes of the same folders. */
export const helpers = (): string[] => ['native', 'agents/*/native'].flatMap((folder) => globSync(`${folder}/*.c`, { cwd: PROJECT })).map((file) => basename(file, '.c')).sort();
