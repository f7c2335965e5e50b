/** Where things are in a checkout. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Native helpers and bundled scripts. */
export const BUILD_DIR = join(import.meta.dirname, '../../build');

const PROJECT = join(BUILD_DIR, '..');

export interface Helper {
  readonly name: string;
  /** System whose packages it is built with, where they are not everybody's (agents/NAME/native/debian.txt). */
  readonly system: string | null;
}

/** Debian packages that a machine needs to carry agents of a system, by system: agents/NAME/debian.txt. */
export const systemPackages = (): ReadonlyMap<string, readonly string[]> =>
  new Map(
    globSync('agents/*/debian.txt', { cwd: PROJECT })
      .sort()
      .map((file) => [file.split('/')[1] as string, readFileSync(join(PROJECT, file), 'utf8').split('\n').filter(Boolean)]),
  );

/**
 * Native helpers, the testbed's and those of systems: what lab/build.sh makes of the same folders. Programs for the
 * kernel are parts of others.
 */
export const helpers = (): Helper[] =>
  ['native', 'agents/*/native']
    .flatMap((folder) => globSync(`${folder}/*.c`, { cwd: PROJECT }))
    .filter((file) => !file.endsWith('.bpf.c'))
    .map((file): Helper => {
      const [top, system = ''] = file.split('/');
      return {
        name: basename(file, '.c'),
        system: top === 'agents' && existsSync(join(PROJECT, 'agents', system, 'native/debian.txt')) ? system : null,
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
