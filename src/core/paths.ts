/** Where things are in a checkout. */
import { join } from 'node:path';

/** Native helpers and bundled scripts. */
export const BUILD_DIR = join(import.meta.dirname, '../../build');

/** What lab/build.sh makes of native/. */
export const HELPERS = ['nsrun', 'linkprobe', 'delayline', 'clockprobe'] as const;
