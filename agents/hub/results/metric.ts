/** Keys that targets of the traffic-hub check may have. */
import { Type } from 'typebox';
import { oneOrMany, opt, pattern, text } from '../../../src/core/config/parts.ts';
import { probeKeys } from '../../lib/probing/metrics.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';

export const keys = {
  ...probeKeys,
  capture: opt(oneOrMany(text('Capture points, "node:interface".'))),
  packet: opt(Type.Enum(['first', 'later'], { description: 'delay: of flows, the first packets, or all others (default: all).' })),
  port: opt(Type.Integer({ minimum: 1, maximum: 65_535, description: 'sources, outside, unlike-flows: only to this port.' })),
  addresses: opt(pattern('^[0-9.]{7,15}/[0-9]{1,2}$', 'a prefix such as "100.127.0.0/20"', 'outside: allowed sources.')),
  ports: opt(
    Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), {
      minItems: 2,
      maxItems: 2,
      description: 'outside: the first and the last one.',
    }),
  ),
  destination: opt(text('handed, late, misdirected, staleness, miscopied, outside, unlike-flows: only to this address.')),
  operation: opt(text('late, staleness: operation.')),
  zone: opt(text('questions: only for names of this zone.')),
  network: opt(text('miscounted, strayed: isolated network.')),
};
export type Keys = KeysOf<typeof keys>;
