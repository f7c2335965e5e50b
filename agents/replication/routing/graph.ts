/**
 * Replication graphs as the routing decisions node sees them (R0 section 3.3): what is known of the paths, what a tree
 * costs on them, and in which order each node sends. Pure. Latencies in microseconds.
 */

/** PPNs and consumers are numbered from 0; matrices are row by row. */
export interface Problem {
  readonly ppns: number;
  readonly consumers: number;
  /** Producer to PPN; Infinity: not an entry. */
  readonly fromProducer: Float64Array;
  /** [from * ppns + to]; Infinity: no path, or an unhealthy PPN. */
  readonly between: Float64Array;
  /** [consumer * ppns + ppn]: a consumer's paths are together */
  readonly toConsumer: Float64Array;
  /** From arrival to the first replica, and from one replica to the next. */
  readonly dwellUs: Float64Array;
  readonly elapsedUs: Float64Array;
  /** Destinations that each PPN may serve. */
  readonly fanOut: Int32Array;
  /** By consumer: what its class allows, without holds; Infinity: anything (R0-4). */
  readonly limitUs: Float64Array;
}

export const UNUSED = -1;

export interface Tree {
  /** The PPN that takes the producer's messages. */
  readonly entry: number;
  /** By PPN: who sends to it; the entry's is itself; UNUSED. */
  readonly parent: Int32Array;
  /** By consumer: the PPN that sends to it; UNUSED where none is left. */
  readonly exit: Int32Array;
}

/** A destination of a PPN: another PPN (its number), or a consumer (its number, negated, less one). */
export type Child = number;
export const consumerChild = (consumer: number): Child => -1 - consumer;
export const isConsumer = (child: Child): boolean => child < 0;
export const consumerOf = (child: Child): number => -1 - child;

export type Order = 'longest-first' | 'shortest-first' | 'as-numbered';
/** By PPN, in sending order. */
export type Children = readonly (readonly Child[])[];

export interface Evaluation {
  readonly children: Children;
  /** By PPN: from generation to its arrival there. */
  readonly arrival: Float64Array;
  /** By consumer: from generation to receipt, without holds. */
  readonly latency: Float64Array;
  readonly largest: number;
  readonly smallest: number;
  /** By how much the worst consumer is beyond its limit; 0: none is. */
  readonly excess: number;
  /** Who must become faster first: the one that is farthest beyond its limit, else the slowest. */
  readonly critical: number;
}

/** The PPNs that a consumer's messages pass, from its exit back to the entry. */
export function wayTo({ entry, parent, exit }: Tree, consumer: number): number[] {
  const way = [exit[consumer]!];
  while (way.at(-1) !== entry) way.push(parent[way.at(-1)!]!);
  return way;
}

/** What every consumer would see without holds. Longest onward path first (R0-15), unless another order is asked for. */
export function evaluate(problem: Problem, tree: Tree, order: Order = 'longest-first'): Evaluation {
  return evaluateInOrder(problem, tree, ordered(problem, tree, order));
}

function ordered(problem: Problem, tree: Tree, order: Order): Children {
  const { ppns, consumers } = problem;
  const children: Child[][] = Array.from({ length: ppns }, () => []);
  for (let p = 0; p < ppns; p++) if (p !== tree.entry && tree.parent[p] !== UNUSED) children[tree.parent[p]!]!.push(p);
  for (let c = 0; c < consumers; c++) if (tree.exit[c] !== UNUSED) children[tree.exit[c]!]!.push(consumerChild(c));
  const down = topDown(tree.entry, children);
  const onward = new Float64Array(ppns);
  const edge = (p: number, child: Child): number =>
    isConsumer(child) ? problem.toConsumer[consumerOf(child) * ppns + p]! : problem.between[p * ppns + child]! + onward[child]!;
  for (const p of down.toReversed()) {
    const own = children[p]!;
    // Equal paths keep their numbers' order: the same metrics give the same directive.
    if (order === 'longest-first') own.sort((a, b) => edge(p, b) - edge(p, a) || rank(a) - rank(b));
    if (order === 'shortest-first') own.sort((a, b) => edge(p, a) - edge(p, b) || rank(a) - rank(b));
    onward[p] = own.reduce((longest, child, slot) => Math.max(longest, departure(problem, p, slot) + edge(p, child)), 0);
  }
  return children;
}

/** The same for an order that is given. */
export function evaluateInOrder(problem: Problem, { entry }: Tree, children: Children): Evaluation {
  const { ppns, consumers } = problem;
  const arrival = new Float64Array(ppns).fill(Infinity);
  const latency = new Float64Array(consumers).fill(Infinity);
  arrival[entry] = problem.fromProducer[entry]!;
  for (const p of topDown(entry, children)) {
    children[p]!.forEach((child, slot) => {
      const leaves = arrival[p]! + departure(problem, p, slot);
      if (isConsumer(child)) latency[consumerOf(child)] = leaves + problem.toConsumer[consumerOf(child) * ppns + p]!;
      else arrival[child] = leaves + problem.between[p * ppns + child]!;
    });
  }
  let [largest, smallest, excess, slowest, critical] = [0, Infinity, 0, 0, -1];
  latency.forEach((value, c) => {
    if (value > largest) [largest, slowest] = [value, c];
    if (value < smallest) smallest = value;
    if (value - problem.limitUs[c]! > excess) [excess, critical] = [value - problem.limitUs[c]!, c];
  });
  return { children, arrival, latency, largest, smallest, excess, critical: critical < 0 ? slowest : critical };
}

/** Every PPN has `fanOut` places, and all but the entry take one. */
export const ppnsNeeded = (consumers: number, fanOut: number): number =>
  consumers === 0 ? 0 : fanOut === 1 ? consumers : Math.max(1, Math.ceil((consumers - 1) / (fanOut - 1)));

/** When the replica of a slot has left, after the message arrived. */
export const departure = ({ dwellUs, elapsedUs }: Problem, ppn: number, slot: number): number =>
  dwellUs[ppn]! + (slot + 1) * elapsedUs[ppn]!;

const rank = (child: Child): number => (isConsumer(child) ? 1e9 + consumerOf(child) : child);

/** PPNs of the tree, parents first. */
function topDown(entry: number, children: Children): number[] {
  const order = [entry];
  for (let i = 0; i < order.length; i++) for (const child of children[order[i]!]!) if (!isConsumer(child)) order.push(child);
  return order;
}

/** Why a tree is none: a cycle, a PPN that is reached twice or serves too many, a consumer left out. undefined: it is sound. */
export function flaw({ ppns, consumers, fanOut }: Problem, tree: Tree): string | undefined {
  const served = new Int32Array(ppns);
  for (let p = 0; p < ppns; p++) {
    if (tree.parent[p] === UNUSED || p === tree.entry) continue;
    served[tree.parent[p]!]! += 1;
    let [at, steps] = [p, 0];
    while (at !== tree.entry) {
      at = tree.parent[at]!;
      if (at === UNUSED || ++steps > ppns) return `PPN ${p} is not reached from the entry`;
    }
  }
  for (let c = 0; c < consumers; c++) {
    const exit = tree.exit[c]!;
    if (exit === UNUSED) return `consumer ${c} is not served`;
    if (exit !== tree.entry && tree.parent[exit] === UNUSED) return `consumer ${c} hangs on a PPN that is not used`;
    served[exit]! += 1;
  }
  const over = served.findIndex((n, p) => n > fanOut[p]!);
  return over < 0 ? undefined : `PPN ${over} serves ${served[over]} of at most ${fanOut[over]}`;
}
