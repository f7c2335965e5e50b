/** How schemas are compiled, here and beforehand. */
import type { Options } from 'ajv';

export const AJV_OPTIONS: Options = { allErrors: true, verbose: true, strict: false, strictNumbers: true };
