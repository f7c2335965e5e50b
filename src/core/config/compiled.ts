/** compile.ts in the bundle of the command line: what has a name was compiled by set-up, and ajv is loaded for the rest only. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { ValidateFunction } from 'ajv';
import type { TSchema } from 'typebox';
import { AJV_OPTIONS } from './ajv.ts';
import { BUILD_DIR } from '../paths.ts';

const require = createRequire(import.meta.url);

/** CommonJS, so that Node loads it at once. */
export const validatorFile = (name: string): string => `${name.replaceAll(' ', '-')}.cjs`;

let ajv: { compile(schema: TSchema): ValidateFunction } | undefined;

/** ajv's own code costs more to load than most commands take. */
function compiler(): { compile(schema: TSchema): ValidateFunction } {
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
  return (ajv ??= new Ajv2020(AJV_OPTIONS));
}

export function compile(schema: TSchema, name?: string): ValidateFunction {
  if (name === undefined) return compiler().compile(schema);
  return require(join(BUILD_DIR, 'cli/validators', validatorFile(name))) as ValidateFunction;
}
