/** Configuration of the replication system: as topologies write it, and as agents get it. */
import { Type } from 'typebox';
import type { Described } from '../../src/core/readonly.ts';
import { closed, duration, name, names, oneOrMany, opt, pattern, percent, record, text } from '../../src/core/config/parts.ts';
import { SIZE_PATTERN } from '../../src/core/units.ts';
import type { Fabric } from './gateway/flows.ts';
import type { ClockFault } from './nodes/clockfault.ts';
import { SCHEMES, type NodeId } from './protocol.ts';

const size = (description: string) => pattern(SIZE_PATTERN, 'a size such as "1MB"', description);

export const replicationSchema = closed({
  control: name('Node of the control plane server.'),
  rdns: oneOrMany(names('Nodes of routing decisions nodes: the first leads, the others stand by.')),
  ppns: oneOrMany(names('Nodes that may be packet processing nodes.')),
  producers: oneOrMany(names('Nodes of message producers.')),
  consumers: oneOrMany(names('Nodes that may be message consumers.')),
  scheme: opt(
    Type.Enum([...SCHEMES], {
      description:
        'relative (default), absolute: tree with holds after arrival, or until a time after generation. Controls: plain (tree without holds), reversed (that, nearest first), wrong (order and holds on the wrong side), single (one PPN to all), unicast (the producer to all).',
    }),
  ),
  period: opt(duration('Time from one routing adjustment iteration to the next (default 1s).')),
  quantile: opt(percent('Quantile of measured latencies that graphs are built from (default 50%).')),
  'fan-out': opt(Type.Integer({ minimum: 1, maximum: 4096, description: 'Destinations that one PPN serves (default 2).' })),
  buffer: opt(size('What a PPN may hold (default 4MB).')),
  overflow: opt(
    Type.Enum(['drop', 'early'], {
      description: 'When the buffer is full: drop the new replica (default), or send the earliest one before its time.',
    }),
  ),
  silence: opt(duration('A node that says nothing for so long is taken for dead (default 1s).')),
  release: opt(
    Type.Enum(['loop', 'kernel'], {
      description:
        'Who keeps the time of what is held: the packet loop (default), or the kernel (qdisc fq; where it is missing, the packet loop).',
    }),
  ),
  'probe-rate': opt(Type.Integer({ minimum: 1, description: 'Measurement messages a second, all pairs together (default 1000).' })),
  margin: opt(duration('absolute: how long after the slowest path a message is due, so that jitter is absorbed (default 500us).')),
  'clock-criterion': opt(duration('PPNs whose clocks are shown to be off by more than this are not used (default 1ms).')),
  'clock-errors': opt(record(duration('How far the clock is ahead.'), { description: 'A fault to inject: nodes whose clocks are wrong.' })),
  'clock-drifts': opt(
    record(duration('What the clock gains in every second.'), {
      description: 'A fault to inject: nodes whose clocks go wrong while they run.',
    }),
  ),
  cells: opt(Type.String({ description: 'Label of nodes that names their cell, "spine/access" (default cell).' })),
  gateway: opt(
    closed(
      {
        node: name('Node of kind ovs-bridge with `separate: true`, and an address of its own.'),
        network: text("Its port towards the provider's network."),
        networks: record(Type.String(), {
          description:
            'Virtual network to the port that it is plugged into. Its hosts have the label `vpc` with its name, and route by the first address of their subnet.',
        }),
        'translate-from': text("First address of the provider's network that hosts of virtual networks are given there."),
      },
      { description: 'Where virtual networks meet, whose addresses may overlap.' },
    ),
  ),
  requests: opt(
    Type.Array(
      closed({ operation: Type.String({ description: 'Operation of the control plane server.' }), params: opt(record(Type.Unknown())) }),
      { description: 'Operations that a client asks for before traffic starts.' },
    ),
  ),
});
export type ReplicationFile = Described<typeof replicationSchema>;

export const ROLES = ['control', 'rdn', 'ppn', 'producer', 'consumer', 'gateway'] as const;
export type Role = (typeof ROLES)[number];

export interface NodeInfo {
  readonly id: NodeId;
  readonly name: string;
  readonly role: Role;
  /** Where others reach it, and where it is itself. */
  readonly address: string;
  readonly bind: string;
  /** "spine/access"; null: not known. */
  readonly cell: string | null;
}

export interface AgentConfig {
  readonly self: NodeInfo;
  readonly nodes: readonly NodeInfo[];
  readonly scheme: (typeof SCHEMES)[number];
  readonly periodMs: number;
  readonly quantile: number;
  readonly fanOut: number;
  readonly buffer: { readonly bytes: number; readonly overflow: 'drop' | 'early' };
  readonly silenceMs: number;
  readonly release: 'loop' | 'kernel';
  readonly probesPerSecond: number;
  readonly marginUs: number;
  readonly clockCriterionUs: number;
  readonly clockFault: ClockFault;
  /** Gateway only. */
  readonly fabric: Fabric | null;
  /** Control plane server only. */
  readonly requests: readonly { readonly operation: string; readonly params: Readonly<Record<string, unknown>> }[];
}
