/** What the nodes of the replication system say to each other (agents/lib/channel.ts). R0 sections 2, 3 and 5 leave the encodings open. */

import type { Tasks } from './gateway/flows.ts';
import type { LoopStatistics } from './logs.ts';

/** UDP: messages and measurements. TCP: where RDNs listen. */
export const DATA_PORT = 5800;
export const RDN_PORT = 5810;
export const GATEWAY_PORT = 5811;

/** Number of a node in a run: what messages carry for its name. */
export type NodeId = number;

/** An order of sending: who gets a replica, and how long it is held (R0 sections 3.4, 3.5). */
export interface Destination {
  readonly peer: NodeId;
  /** relative: after arrival at this node. absolute: after generation at the producer, by synchronised clocks. */
  readonly hold: 'relative' | 'absolute';
  readonly holdNs: number;
}

/** A node's portion of a replication graph. Rules from its epoch on, until the next one. */
export interface Directive {
  readonly graph: number;
  readonly epoch: number;
  readonly destinations: readonly Destination[];
}

/** New messages of the producer, which this node is the entry for, belong to this epoch of the graph. */
export interface Activation {
  readonly producer: NodeId;
  readonly graph: number;
  readonly epoch: number;
}

/** Where a producer sends its messages, and the graph that they enter there; 0: none, they go to a consumer. */
export interface Aim {
  readonly peer: NodeId;
  readonly graph: number;
}

export interface ProbeTarget {
  readonly peer: NodeId;
  readonly intervalUs: number;
}

/** Everything that an RDN commands carries its term: nodes obey none that is older than the last they heard. */
export interface Term {
  /** Gateway that it is the term of. */
  readonly svg: string;
  readonly term: number;
}

export interface MemberSettings extends Term {
  readonly probes: readonly ProbeTarget[];
  /** Size of measurement messages: that of the application's. */
  readonly probeBytes: number;
  readonly buffer: { readonly bytes: number; readonly overflow: 'drop' | 'early' };
  /** Consumers report the latency of every so many-th message. */
  readonly sampleEvery: number;
}

/** What producers, PPNs and consumers do for an RDN. Rejects: an older term, a directive that cannot be installed. */
export interface MemberFunctions {
  settle(settings: MemberSettings): void;
  /** PPN. Resolves when the packet loop has it. */
  install(directive: Directive & Term): Promise<void>;
  /** Entry PPN: new messages of the graph belong to this epoch. */
  activate(graph: Activation & Term): Promise<void>;
  /** Producer: where messages go from now on. */
  aim(at: { readonly peers: readonly Aim[] } & Term): Promise<void>;
  /** Consumer. */
  metrics(): ConsumerMetrics;
}

export interface ConsumerMetrics {
  readonly messages: number;
  readonly duplicates: number;
  readonly bytes: number;
  /** Numbers missing between the first and the last that came. */
  readonly missing: number;
  readonly meanUs: number;
  readonly deviationUs: number;
  readonly smallestUs: number;
  readonly largestUs: number;
}

export type Sample = readonly [source: number, sequence: number, latencyNs: number];

/** What a node has seen since its last report. */
export interface Report {
  /** One-way latencies of probes by sender, in nanoseconds. */
  readonly latencies: Readonly<Record<NodeId, readonly number[]>>;
  /** Consumer: stream, sequence number and latency (ns) of sampled messages, generation to kernel's receipt. */
  readonly application: readonly Sample[];
  readonly statistics: LoopStatistics | null;
}

/** What an RDN does for the other nodes. */
export interface RdnFunctions {
  report(report: Report): void;
  /** Graph of a flow that a PPN has no directive for; null: no graph is for it. */
  resolve(flow: { readonly address: string; readonly port: number }): number | null;
}

/** Requirements of one class of consumers, microseconds; null: none (R0 section 3.6). */
export interface ClassLimits {
  readonly consumers: readonly NodeId[];
  /** Largest less smallest latency of a message, in a share of messages (R0-1, R0-3). */
  readonly variationUs: number | null;
  readonly share: number;
  /** Standard deviation of a message's latencies (R0-3). */
  readonly deviationUs: number | null;
  readonly latencyUs: number | null;
}

export const SCHEMES = ['relative', 'absolute', 'plain', 'reversed', 'wrong', 'single', 'unicast'] as const;
/**
 * How a graph's messages are sent. relative, absolute: tree with holds. plain: tree without. reversed: that in the
 * order reversed. wrong: tree with the order
 * reversed and the holds on the wrong side. single: one PPN to all, unordered. unicast: the producer itself to all.
 */
export type Scheme = (typeof SCHEMES)[number];

/** What the control plane makes an RDN route. */
export interface Gateway extends Term {
  /** Graphs are numbered from here: two for each producer, the second for duplicates. */
  readonly firstGraph: number;
  readonly scheme: Scheme;
  readonly producers: readonly NodeId[];
  readonly ppns: readonly NodeId[];
  readonly classes: Readonly<Record<string, ClassLimits>>;
  /** Consumers that get every message over a second tree as well (R0 section 3.7). */
  readonly duplicates: readonly NodeId[];
  readonly fanOut: number;
  readonly messageBytes: number;
  readonly messagesPerSecond: number;
  readonly periodMs: number;
  /** Quantile of measured latencies that graphs are built from. */
  readonly quantile: number;
}

/** Of all classes. */
export const consumersOf = ({ classes }: Pick<Gateway, 'classes'>): NodeId[] => [
  ...new Set(Object.values(classes).flatMap((c) => c.consumers)),
];

export interface Membership {
  readonly consumer: string;
  readonly estimatedUs: number | null;
  readonly metrics: ConsumerMetrics | null;
}

export interface GatewayStatus {
  readonly iterations: number;
  readonly epoch: number;
  readonly entries: readonly string[];
  /** PPNs that carry traffic. */
  readonly used: readonly string[];
  readonly healthy: readonly string[];
  readonly feasible: boolean;
  /** Why the requirements cannot be met, and what the best is. */
  readonly reason: string | null;
  readonly spreadUs: { readonly median: number; readonly p99: number; readonly deviation: number } | null;
}

/** What the switch between virtual networks does for the control plane server. */
export interface GatewayFunctions {
  settle(tasks: Tasks): Promise<void>;
  /** Packets by direction. */
  metrics(): Promise<Readonly<Record<string, { readonly passed: number; readonly refused: number }>>>;
}

/** State of the control plane server, kept by RDNs: it outlives its process. */
export interface Memory {
  readonly version: number;
  /** As the control plane writes it. */
  readonly state: unknown;
}

/** What an RDN does for the control plane server. */
export interface RdnControlFunctions {
  /** Leads the gateway from now on; null: stands by. Resolves when its first graph rules. */
  lead(gateway: Gateway | null): Promise<void>;
  /** Keeps what the control plane must not forget; the newest is handed out again. */
  remember(memory: Memory): void;
  recall(): Memory | null;
  status(): GatewayStatus;
  metrics(): Promise<readonly Membership[]>;
}
