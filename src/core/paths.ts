/** Where things are in a checkout. */
import { join } from 'node:path';

/** Native helpers and bundled scripts. */
export const BUILD_DIR = join(import.meta.dirname, '../../build');
