/** Keys that targets of the mesh check may have. */
import { Type } from 'typebox';
import { name, oneOrMany, opt, text } from '../../../src/core/config/parts.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { probeKeys } from '../../lib/probing/metrics.ts';

export const keys = {
  ...probeKeys,
  capture: opt(oneOrMany(text('Capture points, "node:interface".'))),
  source: opt(text('Only packets from this address of an endpoint.')),
  destination: opt(text('Only packets to this address of an endpoint.')),
  port: opt(Type.Integer({ minimum: 1, maximum: 65_535, description: 'Only packets to this port.' })),
  via: opt(name('tunnelled: only to this node. rerouted: not of connections that went by this one.')),
  operation: opt(text('late, convergence: operation.')),
  between: opt(Type.Array(name('Node.'), { minItems: 2, maxItems: 2, description: 'control-bytes, sessions: hosts or controllers.' })),
};
export type Keys = KeysOf<typeof keys>;
