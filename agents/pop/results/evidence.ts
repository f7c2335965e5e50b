/** What a run left of its connections, policies and loads, dated from the start of a phase. */
import type { TSchema } from 'typebox';
import { conform } from '../../../src/core/json.ts';
import type { Described } from '../../../src/core/readonly.ts';
import { agentLog, logAheadMs, loggedEvents, type Logged } from '../../../src/evidence/agentlog.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isRequest, type AnsweredRequest } from '../../../src/evidence/events.ts';
import { perPhase } from '../../../src/evidence/perphase.ts';
import { phaseStartUs } from '../../../src/evidence/phases.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { popSchema, type NodeInfo, type Pop, type PopFile, type Service } from '../config.ts';
import {
  accessLine,
  connectionsLine,
  feedbackAnswer,
  loadLine,
  policiesAnswer,
  policiesLine,
  tablesLine,
  type Fate,
  type FeedbackAnswer,
} from '../logs.ts';
import type { Policies } from '../protocol.ts';
import { feedbackUsOf, intervalUsOf, nodesOf, popsOf, servicesOf } from '../system.ts';

export interface Connection {
  readonly client: string;
  readonly service: string;
  /** "address:port" of the client. */
  readonly end: string;
  readonly startedUs: number;
  readonly endedUs: number;
  readonly fate: Fate;
  readonly requests: number;
  /** By its answers. */
  readonly servers: readonly string[];
  /** PoPs of those servers; the first one took it. */
  readonly pops: readonly string[];
  readonly firstUs: number;
  readonly hash: string;
}

/** A request as a server logged it. */
export interface Access {
  readonly atUs: number;
  readonly server: string;
  readonly pop: string;
  /** "address:port" of the client, as the server saw it. */
  readonly end: string;
  readonly path: string;
}

export interface PolicyChange {
  readonly version: number;
  readonly sentUs: number;
  readonly appliedUs: number;
  readonly policies: Readonly<Record<string, Policies>>;
}

/**
 * Entries of a PoP's tables after a version, as its edge read them from the kernel: by service, the PoP that each
 * points to; '' is here.
 */
export interface TableDump {
  readonly atUs: number;
  readonly pop: string;
  readonly version: number;
  readonly tables: Readonly<Record<string, readonly string[]>>;
}

export interface LoadPoint {
  readonly atUs: number;
  readonly server: string;
  readonly pop: string;
  readonly load: number;
}

/** What GetPolicies answered of a PoP's entries (R3-38). */
export interface Answer {
  readonly atUs: number;
  readonly entries: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>>;
}

export interface Timeline {
  readonly nodes: readonly NodeInfo[];
  readonly pops: readonly Pop[];
  readonly services: readonly Service[];
  readonly connections: readonly Connection[];
  readonly accesses: readonly Access[];
  readonly policies: readonly PolicyChange[];
  /** Did the controller leave a log, whatever it says? */
  readonly controllerLogged: boolean;
  readonly tables: readonly TableDump[];
  readonly loads: readonly LoadPoint[];
  readonly answers: readonly Answer[];
  /** Of PullFeedback (R3-29). */
  readonly feedback: readonly FeedbackAnswer[];
  readonly slots: number;
  readonly feedbackUs: number;
  /** Of the controller's decisions. */
  readonly intervalUs: number;
}

/** A text says why there is none. */
export const timelineOf = perPhase(readTimeline);

/** Configuration of the system in this cell; undefined: it has none. */
export function configOf(evidence: CellEvidence): PopFile | undefined {
  const system = evidence.lab.systems.find((s) => s.name === 'pop');
  return system && conform(popSchema, system.config, 'config of pop', 'system pop');
}

function readTimeline(evidence: CellEvidence, phase: PhaseRecord): Timeline | string {
  const config = configOf(evidence);
  if (!config) return 'this cell has no PoP system';
  const nodes = nodesOf(config, evidence.lab, evidence.lab.systems.find((s) => s.name === 'pop')!.on);
  const startMs = phaseStartUs(phase) / 1000;
  const popOf = new Map(nodes.map((n) => [n.name, n.pop ?? '']));
  const of = (role: NodeInfo['role']): NodeInfo[] => nodes.filter((n) => n.role === role);
  const us = (ms: number, node: string): number => (ms - logAheadMs(evidence, node) - startMs) * 1000;
  const dated = (atMs: number): number => (atMs - startMs) * 1000;
  const events = <S extends TSchema, T>(
    role: NodeInfo['role'],
    event: string,
    schema: S,
    read: (line: Logged<Described<S>>, node: NodeInfo) => readonly T[],
  ): T[] => of(role).flatMap((node) => loggedEvents(evidence, 'pop', node.name, event, schema).flatMap((line) => read(line, node)));
  const connections = events('client', 'connections', connectionsLine, ({ list }, node) =>
    list.map(([service, port, startedMs, endedMs, fate, requests, servers, firstMs, , hash]): Connection => {
      const names = servers === '' ? [] : servers.split(' ');
      return {
        client: node.name,
        service,
        end: `${node.address}:${port}`,
        startedUs: us(startedMs, node.name),
        endedUs: us(endedMs, node.name),
        fate,
        requests,
        servers: names,
        pops: [...new Set(names.map((s) => popOf.get(s) ?? ''))],
        firstUs: firstMs * 1000,
        hash,
      };
    }),
  ).sort((a, b) => a.startedUs - b.startedUs);
  const accesses = events('server', 'access', accessLine, ({ list }, node) =>
    list.map(([answeredS, client, port, , , path]): Access => ({
      atUs: us(answeredS * 1000, node.name),
      server: node.name,
      pop: node.pop ?? '',
      end: `${client}:${port}`,
      path,
    })),
  ).sort((a, b) => a.atUs - b.atUs);
  const controller = config.controller;
  const policies = events('controller', 'policies', policiesLine, ({ version, sentMs, appliedMs, policies: changed }): PolicyChange[] => [
    { version, sentUs: us(sentMs, controller), appliedUs: us(appliedMs, controller), policies: changed },
  ]);
  const tables = events('edge', 'tables', tablesLine, ({ atMs, version, tables: dumped }, node): TableDump[] => [
    {
      atUs: dated(atMs),
      pop: node.pop ?? '',
      version,
      tables: Object.fromEntries(Object.entries(dumped).map(([service, text]) => [service, text.split(',')])),
    },
  ]);
  const loads = events('server', 'load', loadLine, ({ atMs, load }, node): LoadPoint[] => [
    { atUs: dated(atMs), server: node.name, pop: node.pop ?? '', load },
  ]);
  return {
    nodes,
    pops: popsOf(config),
    services: servicesOf(config),
    connections,
    accesses,
    policies,
    controllerLogged: agentLog(evidence, 'pop', controller).length > 0,
    tables,
    loads,
    answers: answersOf(evidence, phase),
    feedback: feedbackOf(evidence, phase),
    slots: config.slots ?? 1024,
    feedbackUs: feedbackUsOf(config),
    intervalUs: intervalUsOf(config),
  };
}

/** Answers to an operation that was not refused. */
function answered(evidence: CellEvidence, phase: PhaseRecord, operation: string): AnsweredRequest[] {
  return (evidence.events[phase.phase] ?? [])
    .filter(isRequest)
    .filter((e) => e.action.operation === operation && e.outcome.state === 'done');
}

const feedbackOf = (evidence: CellEvidence, phase: PhaseRecord): Timeline['feedback'] =>
  answered(evidence, phase, 'PullFeedback').map((e) => conform(feedbackAnswer, e.outcome.answer, 'PullFeedback'));

function answersOf(evidence: CellEvidence, phase: PhaseRecord): Answer[] {
  return answered(evidence, phase, 'GetPolicies').map(({ beganUs, outcome }): Answer => {
    const { pops } = conform(policiesAnswer, outcome.answer, 'GetPolicies');
    return {
      atUs: beganUs,
      entries: Object.fromEntries(Object.entries(pops).flatMap(([pop, status]) => (status ? [[pop, status.entries] as const] : []))),
    };
  });
}
