/** Validators: compiled beforehand where netrig runs from its bundle (lab/bundle.ts), else by ajv on first use. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Ajv2020 as Ajv, Options } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv';
import type { TSchema } from 'typebox';
import { isBundled } from '../bundled.ts';
import { BUILD_DIR } from '../paths.ts';

const require = createRequire(import.meta.url);

export const AJV_OPTIONS: Options = { allErrors: true, verbose: true, strict: false };
/** CommonJS, so that Node loads it at once. */
export const validatorFile = (name: string): string => `${name.replaceAll(' ', '-')}.cjs`;

let ajv: Ajv | undefined;

/** ajv's own code costs more to load than most commands take. */
function compiler(): Ajv {
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
  return (ajv ??= new Ajv2020(AJV_OPTIONS));
}

/** `name`: of those that lab/bundle.ts compiles. */
export function compile(schema: TSchema, name?: string): ValidateFunction {
  if (name === undefined || !isBundled) return compiler().compile(schema);
  return require(join(BUILD_DIR, 'cli/validators', validatorFile(name))) as ValidateFunction;
}
