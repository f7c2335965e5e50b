/** Measurements and requirements to trees and directives: one iteration of an RDN, without its messages. Pure. */
import { evaluate, flaw, UNUSED, type Problem, type Tree } from './graph.ts';
import { orderOf, planDirectives, slowestOf, star, type Planned } from './directives.ts';
import type { Gateway, NodeId } from './protocol.ts';
import { lowerBound, search } from './search.ts';

/** A new tree must be this much faster than the one that rules: graphs that flap cost more than they gain. */
const BETTER_BY = 0.05;
const BETTER_BY_US = 100;
/** Of a PPN's buffer, for holds: the rest is for what comes in bursts. */
const BUFFER_SHARE = 0.5;

/** What is known of the nodes; microseconds, undefined: not measured. */
export interface Knowledge {
  latencyUs(from: NodeId, to: NodeId): number | undefined;
  dwellUs(ppn: NodeId): number;
  elapsedUs(ppn: NodeId): number;
  /** Bytes that a PPN may hold. */
  bufferBytes(ppn: NodeId): number;
}

export interface Graph {
  /** Its number in messages. */
  readonly id: number;
  readonly ppns: readonly NodeId[];
  readonly consumers: readonly NodeId[];
  readonly problem: Problem;
  readonly tree: Tree;
  readonly plan: Planned;
}

export interface Route {
  readonly producer: NodeId;
  /** The second one is for duplicates. */
  readonly graphs: readonly Graph[];
  /** Where the producer sends. */
  readonly aims: readonly NodeId[];
  readonly feasible: boolean;
  readonly reason: string | null;
  /** Nobody's tree could be faster. */
  readonly boundUs: number;
}

export interface RoutingInput {
  readonly gateway: Gateway;
  /** PPNs that answer. */
  readonly healthy: readonly NodeId[];
  readonly knowledge: Knowledge;
  readonly marginUs: number;
}

/** `before`: what rules now for this producer. */
export function route(producer: NodeId, index: number, { gateway, healthy, knowledge, marginUs }: RoutingInput, before: Route | undefined): Route {
  const all = [...new Set(Object.values(gateway.classes).flatMap((c) => c.consumers))];
  const consumers = all.filter((c) => (gateway.scheme === 'unicast' ? [producer] : healthy).some((from) => knowledge.latencyUs(from, c) !== undefined));
  const none = (reason: string): Route => ({ producer, graphs: [], aims: [], feasible: false, reason, boundUs: Infinity });
  if (gateway.scheme === 'unicast') return { ...none('no graph: the producer sends to all'), aims: all, feasible: true };
  if (consumers.length === 0) return none('no consumer is measured yet');
  const classOf = classesOf(gateway, consumers);
  const problem = problemOf(producer, healthy, consumers, gateway.fanOut, knowledge);
  const tree = gateway.scheme === 'single' ? star(problem, nearest(problem.fromProducer)) : chooseTree(problem, healthy, consumers, before?.graphs[0]);
  if (!tree) return none(`${healthy.length} PPNs with a fan-out of ${gateway.fanOut} cannot serve ${consumers.length} consumers`);
  const id = gateway.firstGraph + 2 * index;
  const spare = gateway.duplicates.filter((c) => consumers.includes(c));
  const second = spare.length === 0 ? undefined : secondTree(producer, spare, healthy, tree, gateway.fanOut, knowledge, before?.graphs[1]);
  const firstEvaluation = evaluate(problem, tree, orderOf(gateway.scheme));
  const floors = slowestOf(firstEvaluation, classOf);
  const spareClassOf = classesOf(gateway, spare);
  if (second) for (const [k, us] of slowestOf(evaluate(second.problem, second.tree, orderOf(gateway.scheme)), spareClassOf)) floors.set(k, Math.max(us, floors.get(k) ?? 0));
  const build = (graph: number, own: Problem, t: Tree, of: readonly NodeId[], classes: readonly number[]): Graph => {
    const limits = { mostUs: mostHold(own, t, healthy, gateway, knowledge), marginUs };
    return { id: graph, ppns: healthy, consumers: of, problem: own, tree: t, plan: planDirectives(own, t, gateway.scheme, { ppns: healthy, consumers: of }, classes, limits, floors) };
  };
  const graphs = [build(id, problem, tree, consumers, classOf), ...(second ? [build(id + 1, second.problem, second.tree, spare, spareClassOf)] : [])];
  const { feasible, reason } = judge(gateway, graphs[0]!, classOf, consumers.length < all.length ? all.length - consumers.length : 0);
  return { producer, graphs, aims: graphs.map((g) => healthy[g.tree.entry]!), feasible, reason, boundUs: lowerBound(problem) };
}

/** Numbers of consumers' classes, in the order of their names. */
const classesOf = ({ classes }: Gateway, consumers: readonly NodeId[]): number[] => consumers.map((c) => Object.values(classes).findIndex((k) => k.consumers.includes(c)));

const nearest = (fromProducer: Float64Array): number => fromProducer.reduce((best, us, p) => (us < fromProducer[best]! ? p : best), 0);

function problemOf(producer: NodeId, ppns: readonly NodeId[], consumers: readonly NodeId[], fanOut: number, knowledge: Knowledge, excluded: ReadonlySet<number> = new Set()): Problem {
  const known = (from: NodeId, to: NodeId): number => knowledge.latencyUs(from, to) ?? Infinity;
  const open = (p: number, us: number): number => (excluded.has(p) ? Infinity : us);
  return {
    ppns: ppns.length, consumers: consumers.length,
    fromProducer: Float64Array.from(ppns, (ppn, p) => open(p, known(producer, ppn))),
    between: Float64Array.from({ length: ppns.length ** 2 }, (_, i) => {
      const [from, to] = [Math.floor(i / ppns.length), i % ppns.length];
      return from === to || excluded.has(from) ? Infinity : open(to, known(ppns[from]!, ppns[to]!));
    }),
    toConsumer: Float64Array.from({ length: consumers.length * ppns.length }, (_, i) => open(i % ppns.length, known(ppns[i % ppns.length]!, consumers[Math.floor(i / ppns.length)]!))),
    dwellUs: Float64Array.from(ppns, (ppn) => knowledge.dwellUs(ppn)),
    elapsedUs: Float64Array.from(ppns, (ppn) => knowledge.elapsedUs(ppn)),
    fanOut: Int32Array.from(ppns, (_, p) => (excluded.has(p) ? 0 : fanOut)),
  };
}

/** The tree that rules, unless another is clearly faster, or it serves other nodes. */
function chooseTree(problem: Problem, ppns: readonly NodeId[], consumers: readonly NodeId[], before: Graph | undefined): Tree | undefined {
  const kept = before && carriedOver(before, ppns, consumers);
  const keeps = kept && flaw(problem, kept) === undefined ? evaluate(problem, kept).largest : Infinity;
  const good = (than: number): boolean => Number.isFinite(keeps) && keeps <= than * (1 + BETTER_BY) + BETTER_BY_US;
  // Nothing can be much better than what nearly is the shortest path: the graph is only verified.
  if (kept && good(lowerBound(problem))) return kept;
  const found = search(problem);
  if (kept && found && good(found.evaluation.largest)) return kept;
  return found && Number.isFinite(found.evaluation.largest) ? found.tree : undefined;
}

/** The same tree in the numbers of now; undefined: somebody came or went. */
function carriedOver(before: Graph, ppns: readonly NodeId[], consumers: readonly NodeId[]): Tree | undefined {
  if (before.consumers.length !== consumers.length || !before.consumers.every((c, i) => c === consumers[i])) return undefined;
  const now = (p: number): number => ppns.indexOf(before.ppns[p]!);
  const parent = new Int32Array(ppns.length).fill(UNUSED);
  for (const [p, above] of before.tree.parent.entries()) {
    if (above === UNUSED) continue;
    if (now(p) < 0 || now(above) < 0) return undefined;
    parent[now(p)] = now(above);
  }
  return { entry: now(before.tree.entry), parent, exit: before.tree.exit.map(now) };
}

/** On other PPNs than the first tree's as far as there are enough of them, so that no single one is in both paths (R0-24). */
function secondTree(producer: NodeId, consumers: readonly NodeId[], ppns: readonly NodeId[], first: Tree, fanOut: number, knowledge: Knowledge, before: Graph | undefined): { problem: Problem; tree: Tree } | undefined {
  const used = new Set([...first.parent.keys()].filter((p) => first.parent[p] !== UNUSED));
  for (const excluded of [used, new Set([first.entry]), new Set<number>()]) {
    const problem = problemOf(producer, ppns, consumers, fanOut, knowledge, excluded);
    const tree = chooseTree(problem, ppns, consumers, before);
    if (tree) return { problem, tree };
  }
  return undefined;
}

/** So that what all PPNs hold fits: bytes are rate × size × hold × destinations (R0-17). */
function mostHold(problem: Problem, tree: Tree, ppns: readonly NodeId[], { messagesPerSecond, messageBytes }: Gateway, knowledge: Knowledge): number {
  let most = Infinity;
  for (let p = 0; p < problem.ppns; p++) {
    const destinations = tree.exit.reduce((n, exit) => n + (exit === p ? 1 : 0), 0);
    if (destinations > 0) most = Math.min(most, (knowledge.bufferBytes(ppns[p]!) * BUFFER_SHARE * 1e6) / (destinations * Math.max(1, messagesPerSecond * messageBytes)));
  }
  return most;
}

function judge({ classes, scheme }: Gateway, { plan, consumers }: Graph, classOf: readonly number[], unmeasured: number): { feasible: boolean; reason: string | null } {
  const reasons: string[] = [];
  for (const [k, [name, limits]] of Object.entries(classes).entries()) {
    const own = consumers.flatMap((_, i) => (classOf[i] === k ? [plan.estimated[i]!] : []));
    if (own.length === 0) continue;
    const [largest, spread] = [Math.max(...own), Math.max(...own) - Math.min(...own)];
    if (limits.latencyUs !== null && largest > limits.latencyUs) reasons.push(`class ${name}: ${Math.round(largest)} us is the least that its slowest consumer can have, not ${limits.latencyUs}`);
    if (limits.variationUs !== null && spread > limits.variationUs) reasons.push(`class ${name}: a spread of ${Math.round(spread)} us remains (${scheme}${plan.cut ? ', buffers limit the holds' : ''}), not ${limits.variationUs}`);
  }
  if (unmeasured > 0) reasons.push(`${unmeasured} consumers cannot be reached`);
  return { feasible: reasons.length === 0, reason: reasons.join('; ') || null };
}
