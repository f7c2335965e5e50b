/** Operations of the control plane server (R0 section 5): what they take, and the errors that they are refused with. */
import { Type, type Static } from 'typebox';
import { SIZE_PATTERN } from '../../../src/core/units.ts';
import { closed, duration, opt, pattern, percent, record, recordOf } from '../../../src/core/config/parts.ts';
import { Refusal } from '../../lib/rpc.ts';

/**
 * InvalidRequest: a parameter is missing, unknown or of the wrong form. UnknownOperation, UnknownSVG, UnknownLPG,
 * UnknownNode: no such thing. AlreadyExists. NotShared: the account may not use the group. NoCapacity: no hosts are left
 * for what was asked. Unreachable: no RDN answers.
 */
export type RefusalCode =
  | 'InvalidRequest'
  | 'UnknownOperation'
  | 'UnknownSVG'
  | 'UnknownLPG'
  | 'UnknownNode'
  | 'AlreadyExists'
  | 'NotShared'
  | 'NoCapacity'
  | 'Unreachable';

export const refuse = (code: RefusalCode, message: string): never => {
  throw new Refusal(code, message);
};

const nodes = Type.Array(Type.String(), { minItems: 1 });
const limits = {
  variation: opt(duration('Largest less smallest latency of a message.')),
  share: opt(percent('Of messages that keep to it (default 90%).')),
  deviation: opt(duration("Standard deviation of a message's latencies.")),
  latency: opt(duration('Latency of a message.')),
};

/** What an application group needs. Classes have consumers and limits of their own; all get every message. */
const requirements = {
  producers: nodes,
  consumers: nodes,
  ...limits,
  classes: opt(record(closed({ consumers: nodes, ...limits }))),
  duplicates: opt(Type.Array(Type.String(), { description: 'Consumers that get every message over two paths.' })),
  rate: opt(Type.Number({ exclusiveMinimum: 0, description: 'Messages a second that are expected.' })),
  size: opt(pattern(SIZE_PATTERN, 'a size such as "200B"', 'Of a message.')),
  account: opt(Type.String()),
};

export const OPERATIONS = {
  LatencySensitiveApplicationGroupRequirements: closed(requirements),
  EstablishSVG: closed({ svg: Type.String(), ...requirements, ppns: opt(Type.Integer({ minimum: 1 })) }),
  ModifyLSAGConfig: closed({
    svg: Type.String(),
    add: opt(closed({ consumers: opt(nodes), producers: opt(nodes) })),
    remove: opt(closed({ consumers: opt(nodes), producers: opt(nodes) })),
  }),
  ModifyLSAGRequirements: closed({ svg: Type.String(), ...limits, classes: opt(record(closed(limits))) }),
  GetLSAGMetrics: closed({ svg: Type.String(), consumers: opt(nodes) }),
  CreateLPGAndPolicy: closed({
    lpg: Type.String(),
    cell: Type.String(),
    account: Type.String(),
    latency: opt(duration('Of messages of gateways that are bound to it.')),
    variation: opt(duration('Largest less smallest latency of such a message.')),
  }),
  ShareLPG: closed({ lpg: Type.String(), account: Type.String(), with: Type.String() }),
  LaunchVMsOfVPCInLPG: closed({ lpg: Type.String(), account: Type.String(), vpc: Type.String(), nodes }),
  SVGPacketProcessingRequirements: closed({
    svg: Type.String(),
    directions: recordOf(
      { pattern: '^[^>-]+->[^>-]+$', expectation: 'a direction such as "a->b"' },
      closed({ allow: Type.Union([Type.Literal('any'), Type.Array(Type.String({ pattern: '^(udp|tcp):[0-9]{1,5}$' }))]) }),
    ),
    exclusive: opt(Type.Boolean()),
  }),
  GetSVGPacketProcessingMetrics: closed({ svg: Type.String() }),
  ConfigureSVGForLPG: closed({ svg: Type.String(), lpg: Type.String(), account: opt(Type.String()) }),
} as const;

/** Those that change nothing. */
export const QUESTIONS: ReadonlySet<Operation> = new Set([
  'LatencySensitiveApplicationGroupRequirements',
  'GetLSAGMetrics',
  'GetSVGPacketProcessingMetrics',
]);

/** Of a producer: messages a second, for so long. */
export const PRODUCER_OPERATIONS = {
  Send: closed({
    rate: Type.Number({ exclusiveMinimum: 0, maximum: 1e6 }),
    for: duration('How long.'),
    size: opt(pattern(SIZE_PATTERN, 'a size such as "200B"', 'Of a message.')),
  }),
} as const;

export type Operation = keyof typeof OPERATIONS;
export type Params<O extends Operation> = Static<(typeof OPERATIONS)[O]>;
export type Requirements = Params<'LatencySensitiveApplicationGroupRequirements'>;

export const isOperation = (text: string): text is Operation => Object.hasOwn(OPERATIONS, text);
