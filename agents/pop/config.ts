/** Configuration of the PoP system: as topologies write it, and as agents get it. */
import { Type } from 'typebox';
import type { Described } from '../../src/core/readonly.ts';
import { SIZE_PATTERN } from '../../src/core/units.ts';
import { closed, duration, name, names, oneOrMany, opt, pattern, percent, record, text } from '../../src/core/config/parts.ts';

const asn = (description: string) => Type.Integer({ minimum: 1, maximum: 4_294_967_294, description });

export const TRIGGERS = ['any', 'number', 'combined'] as const;
/**
 * How many servers' loads decide (R3 sections 3.2, 3.3). any: one server beyond the threshold is enough. number: so many
 * servers, or such a part of them. combined: the PoP's load as a whole.
 */
export type Trigger = (typeof TRIGGERS)[number];

const rule = (what: string, threshold: string) =>
  closed({
    load: opt(percent(`${what}: a server's load beyond which it counts (default ${threshold}).`)),
    when: opt(
      Type.Enum([...TRIGGERS], {
        description: "Whose load decides: any server's, a number of servers', or the PoP's as a whole (combined, the default).",
      }),
    ),
    servers: opt(Type.Union([Type.Integer({ minimum: 1 }), percent('A part of the servers.')], { description: 'when: number.' })),
  });

export const popSchema = closed({
  controller: name('Node of the central controller.'),
  pops: record(
    closed({
      manager: name('Node of the PoP management server.'),
      edge: name("Node of the forwarding unit, which is also the PoP's BGP speaker."),
      servers: oneOrMany(names('Nodes of compute servers, on one network with the edge.')),
      as: asn('Autonomous system of the PoP.'),
      strict: opt(Type.Boolean({ description: 'Carries a stricter class of traffic: neither donor nor receiver (R3-26).' })),
    }),
    { description: 'Points of presence.' },
  ),
  routers: opt(
    record(asn('Autonomous system of the router.'), {
      description: 'Nodes between clients and PoPs that speak BGP with those that they share a link with.',
    }),
  ),
  origin: opt(name('Node of the origin server.')),
  clients: oneOrMany(names('Nodes of clients.')),
  services: record(
    closed({
      address: text('Anycast address, advertised by every PoP that has servers for it.'),
      servers: opt(oneOrMany(names('Servers that have it (default: all).'))),
    }),
    { description: 'Anycast addresses. Each is a tier of traffic with a forwarding table of its own.' },
  ),
  mode: opt(
    Type.Enum(['preserving', 'plain'], {
      description:
        'preserving (default): servers keep their connections when entries change. plain: whatever an entry says goes for all packets.',
    }),
  ),
  memory: opt(
    Type.Boolean({
      description:
        'preserving: servers remember where they sent a connection, so that an entry that goes from one PoP to another keeps it (default true).',
    }),
  ),
  encapsulation: opt(Type.Enum(['gre', 'gue'], { description: 'Between PoPs (default gre).' })),
  'packet-id': opt(
    Type.Enum(['five', 'pair'], {
      description: 'five (default): version, addresses and ports. pair: addresses only, so that a client stays together.',
    }),
  ),
  slots: opt(Type.Integer({ minimum: 16, maximum: 4096, description: 'Entries of a table, a power of two (default 1024).' })),
  return: opt(Type.Enum(['direct', 'tunnel'], { description: 'Replies go to the client directly (default), or back by the tunnel.' })),
  drain: opt(duration('How long connections are kept where they are after their entry changed (default: until they end).')),
  capacity: opt(percent('CPU of one server that counts as full load, of a core (default 100%).')),
  work: opt(pattern(SIZE_PATTERN, 'a size such as "20kB"', 'What `/work` compresses for every request (default 20kB): real CPU load.')),
  feedback: opt(duration('Servers report so often (default 500ms).')),
  interval: opt(
    duration("The controller decides so often, by feedback that was measured under the policies that rule (default twice the feedback's)."),
  ),
  law: opt(
    Type.Union(
      [
        Type.Literal('off'),
        closed({
          donor: opt(rule('Donors', '80%')),
          receiver: opt(rule('Receivers', '60%')),
          latency: opt(duration('Donors, too: PoPs whose requests take longer than this (95 % of them).')),
          goal: opt(percent('Load that a donor is brought to (default: halfway between the two thresholds).')),
          step: opt(percent('Most that the amount of one policy rises in one interval (default 25%).')),
        }),
      ],
      { description: 'How the controller computes policies from feedback; off (default): it only does what it is asked for.' },
    ),
  ),
  threats: opt(Type.Array(Type.String(), { description: 'Sources whose packets are dropped before anything else, "ADDRESS/LENGTH".' })),
  policies: opt(
    Type.Array(
      closed({
        from: Type.String(),
        to: Type.String(),
        service: opt(Type.String()),
        amount: percent('Of the flows of the service that clients send to the PoP.'),
      }),
      { description: 'Policies at the start.' },
    ),
  ),
});
export type PopFile = Described<typeof popSchema>;

export const ROLES = ['controller', 'manager', 'edge', 'server', 'router', 'origin', 'client'] as const;
export type Role = (typeof ROLES)[number];

export interface NodeInfo {
  readonly name: string;
  readonly role: Role;
  /** Where others reach it: servers and edges on their PoP's own network. */
  readonly address: string;
  /** Name of its PoP; null: none. */
  readonly pop: string | null;
}

export interface Service {
  readonly name: string;
  readonly address: string;
  /** Number of its forwarding table. */
  readonly table: number;
  /** Nodes. */
  readonly servers: readonly string[];
}

export interface Pop {
  readonly name: string;
  readonly manager: string;
  readonly edge: string;
  readonly servers: readonly string[];
  readonly strict: boolean;
}

export interface BgpSpeaker {
  readonly as: number;
  readonly neighbours: readonly { readonly name: string; readonly address: string; readonly as: number }[];
  /** Anycast addresses that it advertises. */
  readonly anycast: readonly string[];
}

export interface RuleConfig {
  readonly load: number;
  readonly when: Trigger;
  /** when: number. So many servers, or such a part of them. */
  readonly servers: { readonly count: number } | { readonly part: number };
}

export interface LawConfig {
  readonly donor: RuleConfig;
  readonly receiver: RuleConfig;
  readonly latencyMs: number | null;
  readonly goal: number;
  readonly step: number;
}

export interface AgentConfig {
  readonly self: NodeInfo;
  readonly nodes: readonly NodeInfo[];
  readonly pops: readonly Pop[];
  readonly services: readonly Service[];
  /** Address of the router that its traffic leaves by; null: it knows its ways by BGP. */
  readonly gateway: string | null;
  /** Interfaces that packets of clients and tunnels come in by (edges), or that servers are reached by. */
  readonly devices: readonly string[];
  readonly bgp: BgpSpeaker | null;
  readonly preserving: boolean;
  readonly memory: boolean;
  readonly encapsulation: 'gre' | 'gue';
  readonly pair: boolean;
  readonly slots: number;
  readonly returnByTunnel: boolean;
  /** null: connections are kept until they end. */
  readonly drainMs: number | null;
  /** Cores. */
  readonly capacity: number;
  readonly workBytes: number;
  readonly feedbackMs: number;
  readonly intervalMs: number;
  readonly law: LawConfig | null;
  readonly threats: readonly string[];
  readonly policies: readonly PolicyRequest[];
}

/** What the controller is asked for. */
export interface PolicyRequest {
  readonly from: string;
  readonly to: string;
  /** null: of all services. */
  readonly service: string | null;
  /** Part of the flows that clients send to `from`. */
  readonly amount: number;
}

/** Longest first hop (forward.bpf.c): what a client's packet may be longer than a link's 1500 bytes by. */
export const OVERHEAD_BYTES = 52;
export const LONGEST_BYTES = 1500 - OVERHEAD_BYTES;
