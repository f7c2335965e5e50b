/** Probes: what a host is asked to send, and what it logs of each. */
import { Type } from 'typebox';
import { closed, duration, nullable, opt, text } from '../../../src/core/config/parts.ts';
import type { Described } from '../../../src/core/readonly.ts';

/** One probe of a host, as its log has it (event "probes"). */
export const probeRow = Type.Object({
  to: Type.String(),
  protocol: Type.Enum(['tcp', 'udp']),
  sentMs: Type.Number(),
  /** Host that answered; null: nobody did. */
  by: nullable(Type.String()),
  /** Until the answer. */
  us: nullable(Type.Number()),
  /** What came back is what was sent. */
  intact: Type.Boolean(),
});
export type ProbeRow = Described<typeof probeRow>;

/** Asks the beacons at an address who they are, so often and so far apart. */
export const probeOperation = closed({
  to: text('Address, or the name of a host, which stands for its own address.'),
  protocol: opt(Type.Enum(['tcp', 'udp'], { description: 'Default udp.' })),
  count: opt(Type.Integer({ minimum: 1, maximum: 100_000 })),
  every: opt(duration('From one to the next (default 10ms).')),
  bytes: opt(Type.Integer({ minimum: 16, maximum: 1472, description: 'Of a datagram (default 32).' })),
  /** A new connection or source port for each (default), or one for all. */
  flow: opt(Type.Enum(['new', 'same'])),
  pause: opt(duration('After the first, before the second (default: none).')),
});
