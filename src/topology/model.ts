/**
 * The resolved topology: what every later stage reads. Plain data without optional spelling.
 * A run keeps it as evidence, so that it is described by a schema, and the types follow from that.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { closed, nullable, record } from '../core/config/parts.ts';
import type { Described } from '../core/readonly.ts';
import { targetSchema } from './target.ts';

const pair = <S extends TSchema>(schema: S) => Type.Unsafe<[Static<S>, Static<S>]>(Type.Array(schema, { minItems: 2, maxItems: 2 }));
const texts = record(Type.String());
const values = record(Type.Unknown());

export const NODE_KINDS = ['linux', 'bridge', 'ovs-bridge'] as const;
export type NodeKind = (typeof NODE_KINDS)[number];

/** What a host of a rig can do, as found by probing it. */
export const CAPABILITIES = ['ovs-kernel', 'netem', 'containers'] as const;
export type Capability = (typeof CAPABILITIES)[number];

const endpointRef = closed({ node: Type.String(), interface: Type.String() });
export type EndpointRef = Described<typeof endpointRef>;

const networkInterface = closed({
  name: Type.String(),
  mac: Type.String(),
  /** CIDR addresses; empty on a port of a switch. */
  addresses: Type.Array(Type.String()),
  /** True if the interface is a port of its node's switch. */
  port: Type.Boolean(),
  mtu: Type.Number(),
  /** Index of the layer-2 segment (broadcast domain) it is in. */
  segment: Type.Number(),
  /** Labels of its node, overridden by those of its link. */
  labels: texts,
});
export type Interface = Described<typeof networkInterface>;

const labNode = closed({
  name: Type.String(),
  kind: Type.Enum(NODE_KINDS),
  /** A switch whose ports are segments of their own. */
  separate: Type.Boolean(),
  labels: texts,
  sysctls: texts,
  exec: Type.Array(Type.Array(Type.String())),
  interfaces: Type.Array(networkInterface),
  /** Labels that the host of a rig must have to carry it. */
  place: texts,
  /** Capabilities that the host must have. */
  needs: Type.Array(Type.Enum(CAPABILITIES)),
  /** Of effect where the node is a container. */
  container: closed({
    /** null: the rig's. */
    image: nullable(Type.String()),
    env: texts,
    memoryBytes: nullable(Type.Number()),
    cpus: nullable(Type.Number()),
    /** Absent: no. */
    privileged: Type.Optional(Type.Boolean()),
  }),
});
export type LabNode = Described<typeof labNode>;

export const impairment = closed({
  /** bit/s of layer-2 frame bytes; null: not limited. */
  rateBps: nullable(Type.Number()),
  delayUs: Type.Number(),
  jitterUs: Type.Number(),
  /** 0..1 */
  loss: Type.Number(),
  /** Bytes queued in front of the rate limit; null: not limited. */
  queueBytes: nullable(Type.Number()),
});
/** One direction of a link. */
export type Impairment = Described<typeof impairment>;

const link = closed({
  /** "a:eth1--b:eth1" */
  id: Type.String(),
  ends: pair(endpointRef),
  /** [first to second, second to first] */
  impairments: pair(impairment),
  mtu: Type.Number(),
});
export type Link = Described<typeof link>;

const system = closed({ name: Type.String(), on: Type.Array(Type.String()), crash: Type.Enum(['void', 'restart']), config: values });
export type System = Described<typeof system>;

const flow = closed({
  name: Type.String(),
  from: Type.String(),
  to: Type.String(),
  /** Address that `to` is reached at. */
  address: Type.String(),
  protocol: Type.Enum(['tcp', 'udp']),
  tool: Type.Enum(['iperf3', 'netperf', 'mgen', 'prober']),
  rateBps: nullable(Type.Number()),
  parallel: Type.Number(),
  sizeBytes: nullable(Type.Number()),
  intervalUs: Type.Number(),
  /** mgen: sends for `forUs` of every `everyUs`; null: all the time. */
  burst: nullable(closed({ everyUs: Type.Number(), forUs: Type.Number() })),
  /** mgen: to a multicast group instead, by these interfaces; null: to `address`. */
  multicast: nullable(closed({ group: Type.String(), fromDevice: Type.String(), toDevice: Type.String() })),
  /** A target asks for its loss: the sender logs every datagram. */
  counted: Type.Boolean(),
  /** Offsets within the phase. */
  startUs: Type.Number(),
  durationUs: Type.Number(),
  congestion: nullable(Type.String()),
});
export type Flow = Described<typeof flow>;

const linkChange = closed({
  /** Index into the link's impairments. */
  direction: Type.Union([Type.Literal(0), Type.Literal(1)]),
  to: impairment,
});
/** What becomes of one direction of a link; its rate and queue stay. */
export type LinkChange = Described<typeof linkChange>;

export const action = Type.Union([
  closed({ kind: Type.Literal('kill'), node: Type.String(), downUs: Type.Number() }),
  closed({ kind: Type.Enum(['pause', 'resume']), node: Type.String() }),
  closed({ kind: Type.Enum(['down', 'up']), end: endpointRef }),
  closed({ kind: Type.Literal('configure'), patches: values }),
  closed({ kind: Type.Enum(['leave', 'join']), nodes: Type.Array(Type.String()) }),
  closed({ kind: Type.Literal('impair'), link: Type.String(), changes: Type.Array(linkChange) }),
  closed({
    kind: Type.Literal('request'),
    system: Type.String(),
    node: Type.String(),
    operation: Type.String(),
    params: values,
    /** Code of the error that it must be refused with; null: it must succeed. */
    expected: nullable(Type.String()),
    /** What the answer must hold. */
    answer: Type.Optional(values),
  }),
]);
/** What happens to the lab while traffic runs. */
export type Action = Described<typeof action>;

const labEvent = closed({
  /** Offset within the phase. */
  atUs: Type.Number(),
  what: action,
  /** Of the phase's list in the file. */
  index: Type.Number(),
});
export type LabEvent = Described<typeof labEvent>;

const phase = closed({
  name: Type.String(),
  durationUs: Type.Number(),
  flows: Type.Array(flow),
  /** In the order of time. */
  events: Type.Array(labEvent),
});
export type Phase = Described<typeof phase>;

const capturePoint = closed({
  at: endpointRef,
  direction: Type.Enum(['in', 'out', 'both']),
  filter: nullable(Type.String()),
  snapBytes: Type.Number(),
});
export type CapturePoint = Described<typeof capturePoint>;

const tolerance = closed({ rate: Type.Number(), delayUs: Type.Number(), reachabilityOnly: Type.Boolean() });
export type Tolerance = Described<typeof tolerance>;

const fabric = closed({ nodes: Type.Array(labNode), links: Type.Array(link) });
/** Everything that is built before agents and traffic. Cells with the same fabric share a deployment. */
export type Fabric = Described<typeof fabric>;

const syncKind = Type.Enum(['ptp', 'chrony', 'none']);
export type SyncKind = Described<typeof syncKind>;

const clockSettings = closed({
  /** null: the rig file decides. */
  sync: nullable(syncKind),
  maxOffsetUs: Type.Number(),
  settleUs: Type.Number(),
  /** Node whose machine leads; null: the rig file decides. */
  grandmaster: nullable(Type.String()),
});
export type ClockSettings = Described<typeof clockSettings>;

export const labSchema = closed({
  name: Type.String(),
  /** "" without a matrix, else "udp-none" etc. */
  cell: Type.String(),
  variant: texts,
  fabric,
  tolerance,
  clocks: clockSettings,
  systems: Type.Array(system),
  phases: Type.Array(phase),
  captures: Type.Array(capturePoint),
  targets: Type.Array(targetSchema),
  /** Fraction of all cores above which figures are not trusted. */
  saturation: Type.Number(),
});
/** One cell of the matrix, resolved. */
export type Lab = Described<typeof labSchema>;

/** The whole experiment: all cells of the matrix. */
export interface Experiment {
  readonly name: string;
  readonly description: string;
  readonly cells: readonly Lab[];
  /** With their places in the file: what is allowed, and probably not meant so. */
  readonly warnings: readonly string[];
  readonly repeat: number;
  /** Repeats after which figures are looked at, where undecided cells get more of them; null: `repeat` is all. */
  readonly looks: readonly number[] | null;
  readonly dimensions: Readonly<Record<string, readonly string[]>>;
}
