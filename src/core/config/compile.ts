/** Schemas to functions. The bundle of the command line has compiled.ts in place of this file (lab/bundle.ts). */
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv';
import type { TSchema } from 'typebox';
import { AJV_OPTIONS } from './ajv.ts';

const ajv = new Ajv2020(AJV_OPTIONS);

/** `name`: under which the bundle finds it compiled beforehand. */
export const compile: (schema: TSchema, name?: string) => ValidateFunction = (schema) => ajv.compile(schema);
