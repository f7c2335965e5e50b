/** Gatekeeper's configuration: in the topology (schema below), and as each agent gets it (AgentConfig). */
import { Type, type Static } from 'typebox';
import { record } from '../../src/core/config/parts.ts';
import { DURATION_PATTERN, PERCENT_PATTERN, RATE_PATTERN } from '../../src/core/units.ts';

const rateOrPercent = (description: string) =>
  Type.String({
    pattern: `(${RATE_PATTERN})|(${PERCENT_PATTERN})`,
    description,
    expectation: 'a rate such as "70Mbit" or a percentage of the uplink such as "70%"',
  });
const duration = (description: string) => Type.String({ pattern: DURATION_PATTERN, description, expectation: 'a duration such as "10ms"' });
const percent = (description: string) => Type.String({ pattern: PERCENT_PATTERN, description, expectation: 'a percentage such as "95%"' });

const contract = Type.Object(
  {
    min: rateOrPercent('Guaranteed rate of the vNIC, both directions (hose model).'),
    max: Type.Optional(rateOrPercent('Maximum rate of the vNIC, both directions; none: up to the link.')),
  },
  { additionalProperties: false },
);

const LAW_NAMES = ['max-min', 'paper', 'ratekeeper'] as const;

export const gatekeeperSchema = Type.Object(
  {
    uplink: Type.String({ description: 'Interface of each server towards the fabric.' }),
    network: Type.String({ description: "Interface of each server on the provider's own network, for feedback." }),
    label: Type.Optional(
      Type.String({ description: "Label of nodes, or of single links, that names the tenant's logical switch (default tenant)." }),
    ),
    contracts: record(contract, {
      description: 'Contracts by name: a vNIC has the one that its label "contract" names (of its node or link), otherwise its tenant\'s.',
    }),
    broadcast: Type.Optional(percent('What all broadcast and multicast together may take of a receiving uplink (default 1%).')),
    law: Type.Optional(Type.Enum(LAW_NAMES, { description: 'Response function of the receive controller (R4-20; default max-min).' })),
    period: Type.Optional(duration('Control period (default 10ms).')),
    threshold: Type.Optional(percent('Link utilisation above which it counts as congested (default 95%).')),
    active: Type.Optional(percent('Rate, as a share of the link, above which a sender counts as active (default 1%).')),
    increase: Type.Optional(percent('Aggregate increase per period without feedback, as a share of the link (default 1%).')),
    'limiter-timeout': Type.Optional(duration('A limiter that has reached the maximum is removed after this long (default 1s).')),
    'counter-timeout': Type.Optional(duration('A receive counter without traffic is removed after this long (default 5s).')),
  },
  { additionalProperties: false },
);

export type GatekeeperFile = Static<typeof gatekeeperSchema>;

/** A virtual NIC on this agent's server. */
export interface Vnic {
  readonly name: string;
  /** Logical switch that it is on: it reaches the vNICs of the same tenant only. */
  readonly tenant: string;
  readonly mac: string;
  /** Port of the server's switch that it is plugged into. */
  readonly port: string;
  readonly minBps: number;
  readonly maxBps: number | null;
}

/** A vNIC on another server. */
export interface RemoteVnic {
  readonly mac: string;
  readonly tenant: string;
  /** Name of its server. */
  readonly server: string;
}

export interface AgentConfig {
  readonly server: string;
  readonly uplink: { readonly device: string; readonly rateBps: number };
  readonly bridge: string;
  /** Own address and port on the provider's network, and the other servers' addresses there, by name. */
  readonly provider: { readonly address: string; readonly port: number; readonly peers: Readonly<Record<string, string>> };
  readonly vnics: readonly Vnic[];
  readonly remotes: readonly RemoteVnic[];
  readonly law: (typeof LAW_NAMES)[number];
  readonly periodMs: number;
  /** Fractions of the link. */
  readonly broadcast: number;
  readonly threshold: number;
  readonly active: number;
  readonly increase: number;
  readonly limiterTimeoutMs: number;
  readonly counterTimeoutMs: number;
  /** Log every period, for the report; an operator's servers would not. */
  readonly trace: boolean;
}
