/**
 * What a run leaves on disk, as schemas: the only source of these types. What produces a record imports its type from
 * here. A change that old readers would misread raises the version of its part (parts.ts).
 */
import { Type } from 'typebox';
import type { Described } from '../core/readonly.ts';
import { closed, nullable, opt, record } from '../core/config/parts.ts';
import { action, impairment } from '../topology/model.ts';

const count = Type.Integer({ minimum: 0 });
const texts = record(Type.String());

const offset = closed(
  {
    offsetNs: Type.Number(),
    /** The truth is within ± this. */
    boundNs: Type.Number({ minimum: 0 }),
  },
  { description: 'A clock minus the one that it is held against.' },
);
/** A clock minus another one. What is not known is null, never zero. */
export type ClockOffset = Described<typeof offset>;

const linkMeasurement = closed(
  {
    link: Type.String(),
    from: Type.String(),
    to: Type.String(),
    declared: impairment,
    /** null: not measured. */
    rateBps: nullable(Type.Number()),
    offeredBps: nullable(Type.Number()),
    /** Median one-way delay of a lightly loaded link; includes serialization. */
    delayUs: nullable(Type.Number()),
    delayP90Us: nullable(Type.Number()),
    /** How far the clocks of its ends may have been apart beyond what was corrected; 0: one clock. */
    clockBoundUs: Type.Number({ minimum: 0 }),
    lossSent: count,
    lossReceived: count,
    /** Measurements that it took; the figures are those of the last one. */
    attempts: count,
    /** Empty: within tolerance. */
    problems: Type.Array(Type.String()),
  },
  { description: 'One direction of a link, as measured before the run.' },
);
export type LinkMeasurement = Described<typeof linkMeasurement>;
export const linksSchema = Type.Array(linkMeasurement);

const datagramCount = closed(
  {
    /** From the start of the flow. */
    startS: Type.Number(),
    endS: Type.Number(),
    sent: Type.Number(),
    /** iperf3 dates arrivals, so that the losses of one interval may be below zero. */
    lost: Type.Number(),
  },
  { description: 'Datagrams that left in an interval.' },
);
export type DatagramCount = Described<typeof datagramCount>;

const flowResult = closed(
  {
    flow: Type.String(),
    ok: Type.Boolean(),
    /** Absent: the tool worked up to its end. Else what it reports says nothing about the network. */
    error: opt(Type.String()),
    /** The sender got as far as sending. */
    started: Type.Boolean(),
    receivedBytes: Type.Number(),
    seconds: Type.Number(),
    /** Goodput (payload bits per second) at the receiver, in intervals of the length that the tool reports. */
    intervals: Type.Array(closed({ startS: Type.Number(), endS: Type.Number(), rateBps: Type.Number() })),
    /** Datagrams counted at both ends, in the order of time; mgen: only of a flow that is `counted`. */
    datagrams: opt(Type.Array(datagramCount)),
    /** Why `datagrams` says nothing of losses. */
    uncounted: opt(Type.String()),
    /** TCP segments sent again. */
    retransmits: opt(Type.Number()),
    /** Prober: round-trip times in µs in the order of the requests; null: no answer. */
    rttUs: opt(Type.Array(nullable(Type.Number()))),
    /** Prober: when each request was sent, µs from the start of the flow. */
    askedUs: opt(Type.Array(Type.Number())),
  },
  { description: 'What a flow achieved, as its receiver saw it.' },
);
export type FlowResult = Described<typeof flowResult>;

const phaseRecord = closed({
  phase: Type.String(),
  /** Epoch nanoseconds, as text: beyond what a JSON number holds. */
  startedNs: Type.String({ pattern: '^[0-9]+$' }),
  durationUs: Type.Number(),
  flows: Type.Array(flowResult),
});
export type PhaseRecord = Described<typeof phaseRecord>;
export const phasesSchema = Type.Array(phaseRecord);

const captureRecord = closed({
  /** Capture point, "node:interface". */
  at: Type.String(),
  direction: Type.Enum(['in', 'out', 'both']),
  filter: nullable(Type.String()),
  /** Relative to the folder of the repeat. */
  file: Type.String(),
  captured: count,
  /** Drops void whatever needs the capture. */
  droppedByKernel: count,
  /** The clock that stamped the packets, against the one that phases are dated by. */
  clock: offset,
  /** Why the capture is incomplete; null: it is whole. */
  error: nullable(Type.String()),
});
export type CaptureRecord = Described<typeof captureRecord>;
export const capturesSchema = Type.Array(captureRecord);

const eventRecord = closed(
  {
    /** What was done, with all of its parameters. */
    action,
    /** Offsets within the phase. */
    plannedUs: Type.Number(),
    beganUs: Type.Number(),
    tookUs: Type.Number(),
    outcome: Type.Union([
      /** `answer`: of a request. */
      closed({ state: Type.Literal('done'), answer: Type.Unknown() }),
      /** The agent refused the request, with an error of this code. */
      closed({ state: Type.Literal('refused'), code: Type.String(), answer: Type.Unknown() }),
    ]),
  },
  { description: 'An event of the topology, as it happened.' },
);
export type EventRecord = Described<typeof eventRecord>;
/** By phase. */
export const eventsSchema = record(Type.Array(eventRecord));

const agentRecord = closed({
  system: Type.String(),
  node: Type.String(),
  /** Machine that carried it. */
  machine: Type.String(),
  crashes: Type.Array(closed({ atMs: Type.Number(), reason: Type.String() })),
  /** Final counters as the agent reported them. */
  counters: record(Type.Number()),
  /** CPU seconds of the agent while it ran. */
  cpuSeconds: Type.Number(),
  /** The clock of its log, against the one that phases are dated by; null: not known. */
  clock: nullable(offset),
  /** It stopped by itself and removed what it had made; if not, the deployment is not used again. */
  clean: Type.Boolean(),
});
export type AgentRecord = Described<typeof agentRecord>;
export const agentsSchema = Type.Array(agentRecord);

const loadSample = closed({
  /** Epoch milliseconds. */
  atMs: Type.Number(),
  machine: Type.String(),
  /** Fraction of all cores that was busy since the sample before. */
  busy: Type.Number(),
});
export type LoadSample = Described<typeof loadSample>;
export const loadSchema = Type.Array(loadSample);

const clockSample = closed(
  {
    machine: Type.String(),
    /** When the answer came, epoch milliseconds of the machine that netrig runs on. */
    atMs: Type.Number(),
    /** The clock of the machine against the reference; null: no answer. */
    clock: nullable(offset),
  },
  { description: 'One burst of exchanges between a machine and the reference.' },
);
export type ClockSample = Described<typeof clockSample>;

export const clocksSchema = closed(
  {
    /** Machine whose clock the others are held against; null: all nodes share one clock, and every bound is zero. */
    reference: nullable(Type.String()),
    sync: Type.String(),
    maxOffsetUs: nullable(Type.Number()),
    samples: Type.Array(clockSample),
  },
  { description: 'The clocks while a cell ran.' },
);
export type ClockRecord = Described<typeof clocksSchema>;

/** Why nothing may be concluded from a repeat; empty: sound. */
export const voidedSchema = Type.Array(Type.String());

const machineInfo = closed({
  kernel: Type.String(),
  cores: Type.Number(),
  cpu: Type.String(),
  memoryGiB: Type.Number(),
  versions: texts,
  capabilities: closed({ ovsKernel: Type.Boolean(), netem: Type.Boolean() }),
});
export type MachineInfo = Described<typeof machineInfo>;

export const MANIFEST_SCHEMA = 'netrig-run-4';
export const manifestSchema = closed(
  {
    schema: Type.Literal(MANIFEST_SCHEMA),
    name: Type.String(),
    description: Type.String(),
    topology: Type.String(),
    command: Type.Array(Type.String()),
    startedAt: Type.String(),
    /** null: the run goes on, or was killed. */
    endedAt: nullable(Type.String()),
    /** Repeats that every cell was to have. */
    repeat: count,
    /** Repeats after which figures were looked at, where the run went on until they were decided; else null. */
    looks: nullable(Type.Array(count)),
    /** By cell: repeats that it was to have in the end, where it is more than `repeat`. */
    more: record(count),
    dimensions: record(Type.Array(Type.String())),
    cells: Type.Array(Type.String()),
    /** Name of the rig; null: this machine alone. */
    rig: nullable(Type.String()),
    machines: record(machineInfo),
    /** Why the run was stopped before its end; null: it was not. */
    stopped: nullable(Type.String()),
  },
  { description: 'What was run, when, on what.' },
);
export type RunManifest = Described<typeof manifestSchema>;
