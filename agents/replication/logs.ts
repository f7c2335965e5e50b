/** What the packet loop tells, lines that nodes log, and answers of operations, as they are read. */
import { Type } from 'typebox';
import { nullable, record, tuple } from '../../src/core/config/parts.ts';
import type { Described } from '../../src/core/readonly.ts';

/** Counters of the packet loop since its start. */
export const loopStatistics = Type.Object({
  /** When they were taken, by the machine's monotonic clock. */
  uptimeMs: Type.Number(),
  received: Type.Number(),
  receivedBytes: Type.Number(),
  delivered: Type.Number(),
  replicated: Type.Number(),
  generated: Type.Number(),
  probes: Type.Number(),
  forged: Type.Number(),
  /** Recorded on the network and sent again. Absent: of an earlier version. */
  replayed: Type.Optional(Type.Number()),
  /** Messages without a directive that no room was left for. */
  undirected: Type.Number(),
  /** Messages of a graph that this node has no directive of. */
  stale: Type.Number(),
  /** Messages that waited for the first directive of their flow. */
  waited: Type.Number(),
  overflowed: Type.Number(),
  /** Replicas whose time had passed when they arrived. */
  late: Type.Number(),
  unsent: Type.Number(),
  /** Records that were lost on the way to the log. */
  untraced: Type.Number(),
  /** Replicas given to the kernel to send in time, of which it did not say when it did. */
  unstamped: Type.Number(),
  dwellNs: Type.Number(),
  dwellCount: Type.Number(),
  elapsedNs: Type.Number(),
  elapsedCount: Type.Number(),
  heldBytes: Type.Number(),
  heldMostBytes: Type.Number(),
  bufferBytes: Type.Number(),
  flows: Type.Number(),
  /** Releases that were late by less than 2^i microseconds, and by at least half of that. */
  releaseErrorUs: Type.Array(Type.Number()),
});
export type LoopStatistics = Described<typeof loopStatistics>;

/** Of consumers and PPNs: records of records.ts, in base64. */
export const recordsLine = Type.Object({ records: Type.String() });

/** Of RDNs: a graph that was installed. */
export const directivesLine = Type.Object({
  graph: Type.Number(),
  epoch: Type.Number(),
  entry: Type.String(),
  destinations: record(Type.Array(Type.Object({ to: Type.String(), hold: Type.Enum(['relative', 'absolute']), holdNs: Type.Number() }))),
  consumers: Type.Array(Type.String()),
  edgesUs: Type.Array(tuple(Type.String(), Type.String(), Type.Number())),
});

/** Of RDNs: one round of routing. */
export const iterationLine = Type.Object({
  trigger: Type.String(),
  changed: Type.Number(),
  feasible: Type.Boolean(),
  reason: nullable(Type.String()),
  /** Latency by consumer, holds included (R0-7). */
  estimatedUs: record(Type.Number()),
  largestUs: Type.Number(),
  boundUs: Type.Number(),
  tookMs: Type.Number(),
});

/** Of RDNs: a flow that a PPN asked for. */
export const resolveLine = Type.Object({ ppn: Type.String(), flow: Type.String() });

/** What GetLSAGMetrics answers. */
export const metricsAnswer = Type.Object({
  consumers: Type.Array(
    Type.Object({
      consumer: Type.String(),
      estimatedUs: nullable(Type.Number()),
      metrics: nullable(
        Type.Object({
          messages: Type.Number(),
          duplicates: Type.Number(),
          bytes: Type.Number(),
          missing: Type.Number(),
          meanUs: Type.Number(),
          deviationUs: Type.Number(),
          smallestUs: Type.Number(),
          largestUs: Type.Number(),
        }),
      ),
    }),
  ),
});

/** What a producer answers to Send. */
export const sendAnswer = Type.Object({ stream: Type.Number(), startNs: Type.String(), count: Type.Number(), periodNs: Type.Number() });
