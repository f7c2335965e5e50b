/** Starts the command line. Node keeps what it compiles of the sources, so that the next start is twice as fast. */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

enableCompileCache(join(import.meta.dirname, '../../build/compile-cache'));
await import('./program.ts');
