/** What a run left of its messages: deliveries, replicas, directives and iterations, dated from the start of a phase. */
import { offsetAt } from '../../../src/clocks/samples.ts';
import type { TSchema } from 'typebox';
import { conform } from '../../../src/core/json.ts';
import type { Described } from '../../../src/core/readonly.ts';
import { logAheadMs, loggedEvents, type Logged } from '../../../src/evidence/agentlog.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import { perPhase } from '../../../src/evidence/perphase.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { replicationSchema, type NodeInfo, type ReplicationFile } from '../config.ts';
import { directivesLine, iterationLine, metricsAnswer, recordsLine, resolveLine, sendAnswer } from '../logs.ts';
import type { Membership } from '../protocol.ts';
import { deliveriesOf, producerOf, replicasOf, type Delivery, type Replica } from '../records.ts';
import { nodesOf } from '../system.ts';
import { passagesAt } from './wire.ts';

/** First copy of a message at a consumer. */
export interface Receipt {
  /** Generation at the producer to the kernel's stamp at the consumer, by one clock. */
  readonly latencyUs: number;
  readonly applicationUs: number;
  /** The node that sent it. */
  readonly from: string;
  readonly copies: number;
}

export interface Message {
  readonly source: number;
  readonly sequence: number;
  /** Generation, from the start of the phase. */
  readonly atUs: number;
  readonly epoch: number;
  readonly receipts: ReadonlyMap<string, Receipt>;
  /** Consumers that were to have it. */
  readonly expected: readonly string[];
  /** What the clocks of the machines leave open. */
  readonly clockBoundUs: number;
}

export type DirectiveLog = Logged<Described<typeof directivesLine>>;
export type IterationLog = Logged<Described<typeof iterationLine>>;

export interface Timeline {
  readonly nodes: readonly NodeInfo[];
  readonly messages: readonly Message[];
  /** Of GetLSAGMetrics. */
  readonly answers: readonly { readonly atNs: bigint; readonly consumers: readonly Membership[] }[];
  readonly replicas: ReadonlyMap<string, readonly Replica[]>;
  readonly directives: readonly DirectiveLog[];
  readonly iterations: readonly IterationLog[];
  /** Flows that PPNs asked for: "PPN address:port". */
  readonly lookUps: readonly { readonly atMs: number; readonly key: string }[];
}

/** A text says why there is none. */
export const timelineOf = perPhase(readTimeline);

function readTimeline(evidence: CellEvidence, phase: PhaseRecord): Timeline | string {
  const system = evidence.lab.systems.find((s) => s.name === 'replication');
  if (!system) return 'this cell has no replication system';
  const config = conform(replicationSchema, system.config, 'config of replication', 'system replication');
  const nodes = nodesOf(config, evidence.lab, system.on);
  const records = (node: string, event: string): Buffer[] =>
    loggedEvents(evidence, 'replication', node, event, recordsLine).map((line) => Buffer.from(line.records, 'base64'));
  const routers = nodes.filter((n) => n.role === 'rdn');
  const dated = <S extends TSchema>(event: string, schema: S): Logged<Described<S>>[] =>
    routers.flatMap(({ name }) => loggedEvents(evidence, 'replication', name, event, schema)).sort((x, y) => x.atMs - y.atMs);
  const directives = dated('directives', directivesLine);
  const members = membership(evidence, phase, config);
  const byId = new Map(nodes.map((n) => [n.id, n]));
  const clock = clocks(evidence, phase, nodes);
  const copies = new Map<string, { message: Delivery; receipts: Map<string, Receipt>; bound: number }>();
  for (const consumer of nodes.filter((n) => n.role === 'consumer')) {
    const captured = capturedStamps(evidence, nodes, consumer.name);
    for (const delivered of records(consumer.name, 'deliveries')) {
      for (const delivery of deliveriesOf(delivered)) {
        const key = `${delivery.source} ${delivery.sequence}`;
        let copy = copies.get(key);
        if (!copy) copies.set(key, (copy = { message: delivery, receipts: new Map(), bound: 0 }));
        const producer = byId.get(producerOf(delivery.source));
        const [sent, got] = [clock(producer?.name ?? consumer.name, delivery.generatedNs), clock(consumer.name, delivery.kernelNs)];
        copy.bound = Math.max(copy.bound, sent.boundUs + got.boundUs);
        const before = copy.receipts.get(consumer.name);
        const stamp = captured?.get(`${key} ${delivery.sender}`);
        const receipt: Receipt = {
          latencyUs: got.atUs - sent.atUs + (stamp === undefined ? 0 : Number(stamp - delivery.kernelNs) / 1000),
          applicationUs: got.atUs - sent.atUs + Number(delivery.applicationNs - delivery.kernelNs) / 1000,
          from: byId.get(delivery.sender)?.name ?? String(delivery.sender),
          copies: (before?.copies ?? 0) + 1,
        };
        copy.receipts.set(consumer.name, before && before.latencyUs <= receipt.latencyUs ? { ...before, copies: receipt.copies } : receipt);
      }
    }
  }
  const replicas = new Map(
    nodes.filter((n) => n.role === 'ppn').map((n) => [n.name, records(n.name, 'replicas').flatMap((copied) => [...replicasOf(copied)])]),
  );
  const producerName = (source: number): string => byId.get(producerOf(source))?.name ?? '';
  const messages = [...copies.values()]
    .map(({ message, receipts, bound }): Message => {
      const { atUs } = clock(producerName(message.source), message.generatedNs);
      return {
        source: message.source,
        sequence: message.sequence,
        atUs,
        epoch: message.epoch,
        receipts,
        expected: [],
        clockBoundUs: bound,
      };
    })
    .sort((a, b) => a.atUs - b.atUs);
  return {
    nodes,
    messages: withLost(messages, evidence, phase).map((m) => ({ ...m, expected: members(m.atUs, producerName(m.source)) })),
    directives,
    replicas,
    answers: answersOf(evidence, phase),
    iterations: dated('iteration', iterationLine),
    lookUps: dated('resolve', resolveLine).map(({ atMs, ppn, flow }) => ({ atMs, key: `${ppn} ${flow}` })),
  };
}

interface Asked {
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly answer: unknown;
  /** From the start of the phase that is read, whichever it was asked in. */
  readonly askedUs: number;
  readonly answeredUs: number;
}

/** Requests of all phases that were not refused, in the order of time. */
function requests(evidence: CellEvidence, phase: PhaseRecord): Asked[] {
  return evidence.phases
    .flatMap((other) => {
      const offsetUs = Number(BigInt(other.startedNs) - BigInt(phase.startedNs)) / 1000;
      return (evidence.events[other.phase] ?? [])
        .filter(isRequest)
        .filter((e) => e.outcome.state === 'done')
        .map(({ action, outcome, beganUs, tookUs }): Asked => {
          const askedUs = offsetUs + beganUs;
          return { operation: action.operation, params: action.params, answer: outcome.answer, askedUs, answeredUs: askedUs + tookUs };
        });
    })
    .sort((a, b) => a.askedUs - b.askedUs);
}

interface Group {
  readonly producers: Set<string>;
  readonly consumers: Set<string>;
}

/**
 * Who is to have a producer's message: what clients asked for says so, not the system that is judged. In between a
 * change nobody is certain.
 */
function membership(evidence: CellEvidence, phase: PhaseRecord, config: ReplicationFile): (atUs: number, producer: string) => string[] {
  const before = (config.requests ?? []).map(({ operation, params = {} }) => ({
    operation,
    params,
    askedUs: -Infinity,
    answeredUs: -Infinity,
  }));
  const changes = [...before, ...requests(evidence, phase)].filter(
    (r) => r.operation === 'ModifyLSAGConfig' || r.operation === 'EstablishSVG',
  );
  return (atUs, producer) => {
    const groups = new Map<unknown, Group>();
    for (const { operation, params, askedUs, answeredUs } of changes) {
      const group = groups.get(params['svg']) ?? { producers: new Set<string>(), consumers: new Set<string>() };
      groups.set(params['svg'], group);
      const part = (key: 'add' | 'remove') =>
        (operation !== 'EstablishSVG' ? params[key] : key === 'add' ? params : {}) as
          { producers?: string[]; consumers?: string[] } | undefined;
      for (const kind of ['producers', 'consumers'] as const) {
        if (atUs >= answeredUs) for (const name of part('add')?.[kind] ?? []) group[kind].add(name);
        if (atUs >= askedUs) for (const name of part('remove')?.[kind] ?? []) group[kind].delete(name);
      }
    }
    return [...new Set([...groups.values()].filter((g) => g.producers.has(producer)).flatMap((g) => [...g.consumers]))];
  };
}

/** What GetLSAGMetrics answered. */
function answersOf(evidence: CellEvidence, phase: PhaseRecord): Timeline['answers'] {
  return requests(evidence, phase).flatMap(({ operation, answer, answeredUs }) =>
    operation === 'GetLSAGMetrics'
      ? [
          {
            atNs: BigInt(phase.startedNs) + BigInt(Math.round(answeredUs * 1000)),
            consumers: conform(metricsAnswer, answer, 'GetLSAGMetrics').consumers,
          },
        ]
      : [],
  );
}

/** With the messages that reached nobody: those that a producer said it would generate, and has not left records of. */
function withLost(messages: readonly Message[], evidence: CellEvidence, phase: PhaseRecord): Message[] {
  const all = [...messages];
  const seen = new Set(messages.map((m) => `${m.source} ${m.sequence}`));
  for (const { operation, answer } of requests(evidence, phase)) {
    if (operation !== 'Send') continue;
    const { stream, startNs, count, periodNs } = conform(sendAnswer, answer, 'Send');
    const startUs = Number(BigInt(startNs) - BigInt(phase.startedNs)) / 1000;
    for (let sequence = 0; sequence < count; sequence++) {
      if (!seen.has(`${stream} ${sequence}`))
        all.push({
          source: stream,
          sequence,
          atUs: startUs + (sequence * periodNs) / 1000,
          epoch: 0,
          receipts: new Map(),
          expected: [],
          clockBoundUs: 0,
        });
    }
  }
  return all.sort((a, b) => a.atUs - b.atUs);
}

/** A node's stamps on the reference's clock, from the start of the phase; zero bound where all share one kernel. */
function clocks(
  evidence: CellEvidence,
  phase: PhaseRecord,
  nodes: readonly NodeInfo[],
): (node: string, ns: bigint) => { atUs: number; boundUs: number } {
  const startNs = BigInt(phase.startedNs);
  const { reference, samples } = evidence.clocks;
  const machines = new Map(nodes.map((n) => [n.name, evidence.agents.find((a) => a.node === n.name)?.machine ?? '']));
  const known = new Map<string, ReturnType<typeof offsetAt>>();
  return (node, ns) => {
    const atUs = Number(ns - startNs) / 1000;
    const machine = machines.get(node) ?? '';
    if (reference === null) return { atUs: atUs - logAheadMs(evidence, node) * 1000, boundUs: 0 };
    if (machine === reference) return { atUs, boundUs: 0 };
    const atMs = Math.round(Number(ns / 1_000_000n) / 100) * 100;
    const key = `${machine} ${atMs}`;
    let offset = known.get(key);
    if (offset === undefined) known.set(key, (offset = offsetAt(samples, machine, atMs)));
    // Not known: nothing can be said of it.
    return offset === null ? { atUs, boundUs: Infinity } : { atUs: atUs - offset.offsetNs / 1000, boundUs: offset.boundNs / 1000 };
  };
}

/** Kernel's stamps of what came to a captured node, by "source sequence sender"; undefined: its captures show nothing. */
function capturedStamps(evidence: CellEvidence, nodes: readonly NodeInfo[], node: string): ReadonlyMap<string, bigint> | undefined {
  const passages = passagesAt(evidence, nodes, node);
  return typeof passages === 'string'
    ? undefined
    : new Map(passages.arrived.map((p) => [`${p.source} ${p.sequence} ${p.sender}`, p.stampNs]));
}
