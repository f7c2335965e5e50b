/** What nodes of the PoP system may be asked for, by role: parameters, and how they are checked. */
import { Type, type TSchema } from 'typebox';
import { closed, duration, opt, pattern, percent, text } from '../../src/core/config/parts.ts';
import type { Role } from './config.ts';

const policy = closed({
  from: text('PoP.'),
  to: text('PoP that serves instead.'),
  service: opt(text('Default: all.')),
  amount: percent('Of the flows that clients send there.'),
});

export const CONTROLLER_OPERATIONS = {
  /** Several policies take effect together. */
  SetPolicies: closed({ policies: Type.Array(policy, { minItems: 1 }) }),
  GetPolicies: closed({}),
  PullFeedback: closed({}),
  Strict: closed({ pop: text('PoP.'), on: Type.Boolean() }),
} as const;

const prefix = pattern('^[0-9]{1,3}([.][0-9]{1,3}){3}/([12]?[0-9]|3[0-2])$', 'a prefix such as "198.51.100.0/24"', 'Sources.');

export const EDGE_OPERATIONS = {
  /** Of its anycast addresses, by BGP. */
  Withdraw: closed({}),
  Advertise: closed({}),
  /** Sources that are a threat. */
  Block: closed({ prefix }),
  Allow: closed({ prefix }),
} as const;

export const SERVER_OPERATIONS = {
  /** Ends as a crash would. */
  Fail: closed({}),
} as const;

export const CLIENT_OPERATIONS = {
  /** `hold`: every connection stays open so long, and asks again every so often. */
  Connect: closed({
    service: text('Service.'),
    rate: Type.Number({ exclusiveMinimum: 0, maximum: 20_000 }),
    for: duration('How long.'),
    path: opt(text('Default /hello.')),
    hold: opt(duration('Life of a connection.')),
    every: opt(duration('From one request to the next (default 1s).')),
  }),
  /** UDP packets to an anycast address. */
  Flood: closed({ service: text('Service.'), rate: Type.Number({ exclusiveMinimum: 0, maximum: 100_000 }), for: duration('How long.') }),
} as const;

export const OPERATIONS: Partial<Record<Role, Readonly<Record<string, TSchema>>>> = {
  controller: CONTROLLER_OPERATIONS,
  edge: EDGE_OPERATIONS,
  server: SERVER_OPERATIONS,
  client: CLIENT_OPERATIONS,
};
