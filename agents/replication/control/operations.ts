/** Operations of the control plane server (R0 section 5): what they take, and the errors that they are refused with. */
import { Type, type Static, type TObject, type TSchema } from 'typebox';
import Value from 'typebox/value';
import { DURATION_PATTERN, PERCENT_PATTERN, SIZE_PATTERN } from '../../../src/core/units.ts';
import { Refusal } from '../../lib/rpc.ts';

/**
 * InvalidRequest: a parameter is missing, unknown or of the wrong form. UnknownOperation, UnknownSVG, UnknownLPG,
 * UnknownNode: no such thing. AlreadyExists. NotShared: the account may not use the group. NoCapacity: no hosts are left
 * for what was asked. Unreachable: no RDN answers.
 */
export type RefusalCode = 'InvalidRequest' | 'UnknownOperation' | 'UnknownSVG' | 'UnknownLPG' | 'UnknownNode' | 'AlreadyExists' | 'NotShared' | 'NoCapacity' | 'Unreachable';

export const refuse = (code: RefusalCode, message: string): never => {
  throw new Refusal(code, message);
};

const object = <P extends Record<string, TSchema>>(properties: P): TObject<P> => Type.Object(properties, { additionalProperties: false });
const nodes = Type.Array(Type.String(), { minItems: 1 });
const duration = Type.String({ pattern: DURATION_PATTERN });
const limits = { variation: Type.Optional(duration), share: Type.Optional(Type.String({ pattern: PERCENT_PATTERN })), deviation: Type.Optional(duration), latency: Type.Optional(duration) };

/** What an application group needs. Classes have consumers and limits of their own; all get every message. */
const requirements = {
  producers: nodes, consumers: nodes, ...limits,
  classes: Type.Optional(Type.Record(Type.String(), object({ consumers: nodes, ...limits }))),
  duplicates: Type.Optional(Type.Array(Type.String(), { description: 'Consumers that get every message over two paths.' })),
  rate: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Messages a second that are expected.' })),
  size: Type.Optional(Type.String({ pattern: SIZE_PATTERN })),
  account: Type.Optional(Type.String()),
};

export const OPERATIONS = {
  LatencySensitiveApplicationGroupRequirements: object(requirements),
  EstablishSVG: object({ svg: Type.String(), ...requirements, ppns: Type.Optional(Type.Integer({ minimum: 1 })) }),
  ModifyLSAGConfig: object({ svg: Type.String(), add: Type.Optional(object({ consumers: Type.Optional(nodes), producers: Type.Optional(nodes) })), remove: Type.Optional(object({ consumers: Type.Optional(nodes), producers: Type.Optional(nodes) })) }),
  ModifyLSAGRequirements: object({ svg: Type.String(), ...limits, classes: Type.Optional(Type.Record(Type.String(), object(limits))) }),
  GetLSAGMetrics: object({ svg: Type.String(), consumers: Type.Optional(nodes) }),
  CreateLPGAndPolicy: object({ lpg: Type.String(), cell: Type.String(), account: Type.String(), latency: Type.Optional(duration), variation: Type.Optional(duration) }),
  ShareLPG: object({ lpg: Type.String(), account: Type.String(), with: Type.String() }),
  LaunchVMsOfVPCInLPG: object({ lpg: Type.String(), account: Type.String(), vpc: Type.String(), nodes }),
  SVGPacketProcessingRequirements: object({
    svg: Type.String(),
    directions: Type.Record(Type.String({ pattern: '^[^>-]+->[^>-]+$' }), object({ allow: Type.Union([Type.Literal('any'), Type.Array(Type.String({ pattern: '^(udp|tcp):[0-9]{1,5}$' }))]) })),
    exclusive: Type.Optional(Type.Boolean()),
  }),
  GetSVGPacketProcessingMetrics: object({ svg: Type.String() }),
  ConfigureSVGForLPG: object({ svg: Type.String(), lpg: Type.String(), account: Type.Optional(Type.String()) }),
} as const;

/** Those that change nothing. */
export const QUESTIONS: ReadonlySet<Operation> = new Set(['LatencySensitiveApplicationGroupRequirements', 'GetLSAGMetrics', 'GetSVGPacketProcessingMetrics']);

export type Operation = keyof typeof OPERATIONS;
export type Params<O extends Operation> = Static<(typeof OPERATIONS)[O]>;
export type Requirements = Params<'LatencySensitiveApplicationGroupRequirements'>;

export const isOperation = (text: string): text is Operation => Object.hasOwn(OPERATIONS, text);

/** InvalidRequest, with the place in the parameters. */
export function validated<S extends TSchema>(schema: S, params: unknown): Static<S> {
  if (Value.Check(schema, params)) return params;
  const [first] = Value.Errors(schema, params);
  return refuse('InvalidRequest', `${first?.instancePath || '/'}: ${first?.message ?? 'invalid'}`);
}
