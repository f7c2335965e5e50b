/** The resolved topology: what every later stage reads. Plain data, no optional spelling left. */
import type { TargetFile } from './schema.ts';

export type NodeKind = 'linux' | 'bridge' | 'ovs-bridge';

/** What a host of a rig can do, as found by probing it. */
export const CAPABILITIES = ['ovs-kernel', 'netem', 'containers'] as const;
export type Capability = (typeof CAPABILITIES)[number];

export interface EndpointRef {
  readonly node: string;
  readonly interface: string;
}

export interface Interface {
  readonly name: string;
  readonly mac: string;
  /** CIDR addresses; empty on a port of a switch. */
  readonly addresses: readonly string[];
  /** True if the interface is a port of its node's switch. */
  readonly port: boolean;
  readonly mtu: number;
  /** Index of the layer-2 segment (broadcast domain) it is in. */
  readonly segment: number;
  /** Labels of its node, overridden by those of its link. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface LabNode {
  readonly name: string;
  readonly kind: NodeKind;
  /** A switch whose ports are segments of their own. */
  readonly separate: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly exec: readonly (readonly string[])[];
  readonly interfaces: readonly Interface[];
  /** Labels that the host of a rig must have to carry it. */
  readonly place: Readonly<Record<string, string>>;
  /** Capabilities that the host must have. */
  readonly needs: readonly Capability[];
  /** Of effect where the node is a container. */
  readonly container: {
    /** null: the rig's. */
    readonly image: string | null;
    readonly env: Readonly<Record<string, string>>;
    readonly memoryBytes: number | null;
    readonly cpus: number | null;
  };
}

/** One direction of a link. */
export interface Impairment {
  /** bit/s of layer-2 frame bytes; null: not limited. */
  readonly rateBps: number | null;
  readonly delayUs: number;
  readonly jitterUs: number;
  /** 0..1 */
  readonly loss: number;
  /** Bytes queued in front of the rate limit; null: not limited. */
  readonly queueBytes: number | null;
}

export interface Link {
  /** "a:eth1--b:eth1" */
  readonly id: string;
  readonly ends: readonly [EndpointRef, EndpointRef];
  /** [first to second, second to first] */
  readonly impairments: readonly [Impairment, Impairment];
  readonly mtu: number;
}

export interface System {
  readonly name: string;
  readonly on: readonly string[];
  readonly crash: 'void' | 'restart';
  readonly config: Readonly<Record<string, unknown>>;
}

export interface Flow {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Address that `to` is reached at. */
  readonly address: string;
  readonly protocol: 'tcp' | 'udp';
  readonly tool: 'iperf3' | 'netperf' | 'mgen' | 'prober';
  readonly rateBps: number | null;
  readonly parallel: number;
  readonly sizeBytes: number | null;
  readonly intervalUs: number;
  /** mgen: sends for `forUs` of every `everyUs`; null: all the time. */
  readonly burst: { readonly everyUs: number; readonly forUs: number } | null;
  /** mgen: to a multicast group instead, by these interfaces; null: to `address`. */
  readonly multicast: { readonly group: string; readonly fromDevice: string; readonly toDevice: string } | null;
  /** A target asks for its loss: the sender logs every datagram. */
  readonly counted: boolean;
  /** Offsets within the phase. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly congestion: string | null;
}

/** What happens to the lab while traffic runs. */
export type Action =
  | { readonly kind: 'kill'; readonly node: string; readonly downUs: number }
  | { readonly kind: 'pause' | 'resume'; readonly node: string }
  | { readonly kind: 'down' | 'up'; readonly end: EndpointRef }
  | { readonly kind: 'configure'; readonly patches: Readonly<Record<string, unknown>> }
  | { readonly kind: 'leave' | 'join'; readonly nodes: readonly string[] }
  | { readonly kind: 'impair'; readonly link: string; readonly changes: readonly LinkChange[] }
  | { readonly kind: 'request'; readonly system: string; readonly node: string; readonly operation: string; readonly params: Readonly<Record<string, unknown>>; readonly expected: string | null; readonly answer?: Readonly<Record<string, unknown>> };

/** What becomes of one direction of a link; its rate and queue stay. */
export interface LinkChange {
  /** Index into the link's impairments. */
  readonly direction: 0 | 1;
  readonly to: Impairment;
}

export interface LabEvent {
  /** Offset within the phase. */
  readonly atUs: number;
  readonly what: Action;
  /** Of the phase's list in the file. */
  readonly index: number;
}

export interface Phase {
  readonly name: string;
  readonly durationUs: number;
  readonly flows: readonly Flow[];
  /** In the order of time. */
  readonly events: readonly LabEvent[];
}

export interface CapturePoint {
  readonly at: EndpointRef;
  readonly direction: 'in' | 'out' | 'both';
  readonly filter: string | null;
  readonly snapBytes: number;
}

export interface Tolerance {
  readonly rate: number;
  readonly delayUs: number;
  readonly reachabilityOnly: boolean;
}

/** Everything that is built before agents and traffic. Cells with the same fabric share a deployment. */
export interface Fabric {
  readonly nodes: readonly LabNode[];
  readonly links: readonly Link[];
}

export type SyncKind = 'ptp' | 'chrony' | 'none';

export interface ClockSettings {
  /** null: the rig file decides. */
  readonly sync: SyncKind | null;
  readonly maxOffsetUs: number;
  readonly settleUs: number;
  /** Node whose machine leads; null: the rig file decides. */
  readonly grandmaster: string | null;
}

/** One cell of the matrix, resolved. */
export interface Lab {
  readonly name: string;
  /** "" without a matrix, else "udp-none" etc. */
  readonly cell: string;
  readonly variant: Readonly<Record<string, string>>;
  readonly fabric: Fabric;
  readonly tolerance: Tolerance;
  readonly clocks: ClockSettings;
  readonly systems: readonly System[];
  readonly phases: readonly Phase[];
  readonly captures: readonly CapturePoint[];
  readonly targets: readonly TargetFile[];
  /** Fraction of all cores above which figures are not trusted. */
  readonly saturation: number;
}

/** The whole experiment: all cells of the matrix. */
export interface Experiment {
  readonly name: string;
  readonly description: string;
  readonly cells: readonly Lab[];
  readonly repeat: number;
  /** Repeats after which figures are looked at, where undecided cells get more of them; null: `repeat` is all. */
  readonly looks: readonly number[] | null;
  readonly dimensions: Readonly<Record<string, readonly string[]>>;
}

export const isImpaired = (i: Impairment): boolean => i.rateBps !== null || isDelayed(i);
/** Something delays or drops packets there. */
export const isDelayed = (i: Impairment): boolean => i.delayUs > 0 || i.jitterUs > 0 || i.loss > 0;
export const endpointName = (e: EndpointRef): string => `${e.node}:${e.interface}`;

/** Interfaces that two nodes reach each other by, and the second one's address there. */
export interface Route {
  readonly fromDevice: string;
  readonly toDevice: string;
  readonly address: string;
}

/** By a subnet that both are in, where there is one; undefined: `to` has no address, or `from` none to send from. */
export function routeBetween(nodes: readonly LabNode[], from: string, to: string): Route | undefined {
  const own = (name: string) => nodes.find((n) => n.name === name)?.interfaces.flatMap((i) => i.addresses.map((cidr) => ({ device: i.name, cidr, subnet: `${i.segment} ${subnetOf(cidr)}` }))) ?? [];
  const near = own(from);
  const far = own(to);
  const sink = far.find((a) => near.some((b) => b.subnet === a.subnet)) ?? far[0];
  const source = near.find((b) => b.subnet === sink?.subnet) ?? near[0];
  return sink && source && { fromDevice: source.device, toDevice: sink.device, address: sink.cidr.split('/')[0] as string };
}

/** First address of an IPv4 subnet; of IPv6, which segments tell apart well enough, nothing. */
function subnetOf(cidr: string): string {
  const [address, bits] = cidr.split('/') as [string, string];
  if (address.includes(':')) return '';
  const size = 2 ** (32 - Number(bits));
  const number = address.split('.').reduce((n, octet) => n * 256 + Number(octet), 0);
  return `${Math.floor(number / size)}/${bits}`;
}

/** The lab as it is while some of its hosts are unplugged. */
export function without(lab: Lab, absent: ReadonlySet<string>): Lab {
  if (absent.size === 0) return lab;
  const { nodes, links } = lab.fabric;
  return { ...lab, fabric: { nodes: nodes.filter((n) => !absent.has(n.name)), links: links.filter((l) => l.ends.every((e) => !absent.has(e.node))) } };
}
