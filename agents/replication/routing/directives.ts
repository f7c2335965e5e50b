/** A tree to what each of its nodes is told: order and holds (R0 sections 3.4 to 3.6). Pure. Latencies in microseconds. */
import { consumerOf, isConsumer, type Evaluation, type Order, type Problem, type Tree } from './graph.ts';
import type { Destination, NodeId, Scheme } from '../protocol.ts';

/** Numbers of the problem to nodes of the run. */
export interface Naming {
  readonly ppns: readonly NodeId[];
  readonly consumers: readonly NodeId[];
}

export interface HoldLimits {
  /** What one PPN may hold for one destination: its buffer is finite (R0-17). */
  readonly mostUs: number;
  /** absolute: beyond the slowest path, so that jitter before the exit is absorbed. */
  readonly marginUs: number;
}

export interface Planned {
  /** By consumer: when it is to have a message, after generation; its class's slowest path. */
  readonly due: Float64Array;
  /** By consumer, microseconds. */
  readonly holds: Float64Array;
  /** Estimated latency by consumer, holds included (R0-7). */
  readonly estimated: Float64Array;
  readonly destinations: ReadonlyMap<NodeId, readonly Destination[]>;
  /** Holds had to be cut: the spread remains. */
  readonly cut: boolean;
}

const ORDERS: Readonly<Record<Scheme, Order>> = {
  relative: 'longest-first',
  absolute: 'longest-first',
  plain: 'longest-first',
  reversed: 'shortest-first',
  wrong: 'shortest-first',
  single: 'as-numbered',
  unicast: 'as-numbered',
};
export const orderOf = (scheme: Scheme): Order => ORDERS[scheme];

/** `classOf`: consumers that are to be alike. `floors`: what another graph of the same messages needs, by class. */
export function planDirectives(
  problem: Problem,
  tree: Tree,
  evaluation: Evaluation,
  scheme: Scheme,
  naming: Naming,
  classOf: readonly number[],
  limits: HoldLimits,
  floors: ReadonlyMap<number, number> = new Map(),
): Planned {
  const { consumers } = problem;
  const due = dueTimes(evaluation, classOf, scheme === 'absolute' ? limits.marginUs : 0, floors);
  const holds = new Float64Array(consumers);
  const estimated = Float64Array.from(evaluation.latency);
  let cut = false;
  for (let c = 0; c < consumers; c++) {
    if (scheme === 'relative' || scheme === 'absolute') {
      // Held from its arrival at the exit on: its slot's delay is within the hold.
      const exit = tree.exit[c]!;
      const wanted = due[c]! - evaluation.arrival[exit]! - problem.toConsumer[c * problem.ppns + exit]!;
      holds[c] = Math.min(wanted, limits.mostUs);
      if (holds[c]! < wanted) cut = true;
      estimated[c] = due[c]! - (wanted - holds[c]!);
    } else if (scheme === 'wrong') {
      // Those that are slow already wait as long as the fast ones should.
      holds[c] = Math.min(evaluation.latency[c]! - evaluation.smallest, limits.mostUs);
      estimated[c] = evaluation.latency[c]! + holds[c]!;
    }
  }
  const destinations = new Map<NodeId, readonly Destination[]>();
  evaluation.children.forEach((children, p) => {
    if (children.length === 0) return;
    destinations.set(
      naming.ppns[p]!,
      children.map((child): Destination => {
        if (!isConsumer(child)) return { peer: naming.ppns[child]!, hold: 'relative', holdNs: 0 };
        const c = consumerOf(child);
        const peer = naming.consumers[c]!;
        // At the consumer at the due time: sent earlier by the last path.
        if (scheme === 'absolute')
          return { peer, hold: 'absolute', holdNs: Math.round((due[c]! - problem.toConsumer[c * problem.ppns + p]!) * 1000) };
        return { peer, hold: 'relative', holdNs: Math.round(holds[c]! * 1000) };
      }),
    );
  });
  return { due, holds, estimated, destinations, cut };
}

/** The largest latency of each class. */
export function slowestOf({ latency }: Evaluation, classOf: readonly number[]): Map<number, number> {
  const slowest = new Map<number, number>();
  latency.forEach((us, c) => slowest.set(classOf[c]!, Math.max(slowest.get(classOf[c]!) ?? 0, us)));
  return slowest;
}

function dueTimes(evaluation: Evaluation, classOf: readonly number[], marginUs: number, floors: ReadonlyMap<number, number>): Float64Array {
  const slowest = slowestOf(evaluation, classOf);
  return evaluation.latency.map((_, c) => Math.max(slowest.get(classOf[c]!)!, floors.get(classOf[c]!) ?? 0) + marginUs);
}

/** Star: one PPN sends to all, in the order of their numbers. */
export function star({ ppns, consumers }: Problem, entry: number): Tree {
  const parent = new Int32Array(ppns).fill(-1);
  parent[entry] = entry;
  return { entry, parent, exit: new Int32Array(consumers).fill(entry) };
}

/** Same destinations in the same order, and no hold that differs by more than the tolerance: nothing to send (R0-9). */
export function isSame(a: readonly Destination[], b: readonly Destination[], toleranceUs: number): boolean {
  return (
    a.length === b.length &&
    a.every((d, i) => {
      const other = b[i]!;
      return d.peer === other.peer && d.hold === other.hold && Math.abs(d.holdNs - other.holdNs) <= toleranceUs * 1000;
    })
  );
}
