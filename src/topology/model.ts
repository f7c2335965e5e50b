/** The resolved topology: what every later stage reads. Plain data, no optional spelling left. */
import type { TargetFile } from './schema.ts';

export type NodeKind = 'linux' | 'bridge' | 'ovs-bridge';

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
}

export interface LabNode {
  readonly name: string;
  readonly kind: NodeKind;
  readonly labels: Readonly<Record<string, string>>;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly exec: readonly (readonly string[])[];
  readonly interfaces: readonly Interface[];
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
  readonly tool: 'iperf3' | 'netperf' | 'prober';
  readonly rateBps: number | null;
  readonly parallel: number;
  readonly sizeBytes: number | null;
  readonly intervalUs: number;
  /** Offsets within the phase. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly congestion: string | null;
}

export interface Phase {
  readonly name: string;
  readonly durationUs: number;
  readonly flows: readonly Flow[];
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

/** One cell of the matrix, resolved. */
export interface Lab {
  readonly name: string;
  /** "" without a matrix, else "udp-none" etc. */
  readonly cell: string;
  readonly variant: Readonly<Record<string, string>>;
  readonly fabric: Fabric;
  readonly tolerance: Tolerance;
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
  readonly dimensions: Readonly<Record<string, readonly string[]>>;
}

export const isImpaired = (i: Impairment): boolean => i.rateBps !== null || i.delayUs > 0 || i.jitterUs > 0 || i.loss > 0;
export const endpointName = (e: EndpointRef): string => `${e.node}:${e.interface}`;

/** The address of `to` in a segment that `from` is in too; undefined if there is none. */
export function addressSeenFrom(nodes: readonly LabNode[], from: string, to: string): string | undefined {
  const source = nodes.find((n) => n.name === from);
  const sink = nodes.find((n) => n.name === to);
  if (!source || !sink) return undefined;
  const near = new Set(source.interfaces.filter((i) => i.addresses.length > 0).map((i) => i.segment));
  const shared = sink.interfaces.find((i) => i.addresses.length > 0 && near.has(i.segment));
  return (shared ?? sink.interfaces.find((i) => i.addresses.length > 0))?.addresses[0]?.split('/')[0];
}
