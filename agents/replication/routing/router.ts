/** Measurements and requirements to trees and directives: one iteration of an RDN, without its messages. Pure. */
import {
  consumerChild,
  consumerOf,
  evaluate,
  evaluateInOrder,
  flaw,
  isConsumer,
  ppnsNeeded,
  UNUSED,
  wayTo,
  type Children,
  type Evaluation,
  type Problem,
  type Tree,
} from './graph.ts';
import { deviationOf } from './latencies.ts';
import { orderOf, planDirectives, slowestOf, star, type Planned } from './directives.ts';
import { consumersOf, type Aim, type Gateway, type NodeId } from '../protocol.ts';
import { isBetter, lowerBound, search } from './search.ts';

/** A new tree must be this much faster than the one that rules: graphs that flap cost more than they gain. */
const BETTER_BY = 0.05;
const BETTER_BY_US = 100;
const SAME_ORDER_US = 50;
/** Of a PPN's buffer, for holds: the rest is for what comes in bursts. */
const BUFFER_SHARE = 0.5;

/** What is known of the nodes; microseconds, undefined: not measured. */
export interface Knowledge {
  latencyUs(from: NodeId, to: NodeId): number | undefined;
  dwellUs(ppn: NodeId): number;
  elapsedUs(ppn: NodeId): number;
  /** Bytes of messages that came to a PPN, a second. */
  bytesPerSecond(ppn: NodeId): number;
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
  readonly evaluation: Evaluation;
  /** When the tree was found: it is looked for again where this has grown. */
  readonly foundUs: Reached;
  readonly plan: Planned;
}

/** How good a tree is: its largest latency, and by how much it misses a limit. */
type Reached = Pick<Evaluation, 'largest' | 'excess'>;

export interface Route {
  readonly producer: NodeId;
  /** The second one is for duplicates. */
  readonly graphs: readonly Graph[];
  /** Where the producer sends. */
  readonly aims: readonly Aim[];
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
  /** Looks for a better tree even where the one that rules is as good as when it was found. */
  readonly thorough: boolean;
}

/** `before`: what rules now for this producer. */
export function route(producer: NodeId, index: number, input: RoutingInput, before: Route | undefined): Route {
  const { gateway, healthy, knowledge, marginUs } = input;
  const all = consumersOf(gateway);
  const none = (reason: string): Route => ({ producer, graphs: [], aims: [], feasible: false, reason, boundUs: Infinity });
  if (gateway.scheme === 'unicast')
    return { ...none('no graph: the producer sends to all'), aims: all.map((peer) => ({ peer, graph: 0 })), feasible: true };
  const consumers = all.filter((c) => healthy.some((from) => knowledge.latencyUs(from, c) !== undefined));
  if (consumers.length === 0) return none('no consumer is measured yet');
  const twice = gateway.duplicates.filter((c) => consumers.includes(c));
  const { first, second } = choosePaths(producer, consumers, twice, input, before);
  if (!first) return none(`${healthy.length} PPNs with a fan-out of ${gateway.fanOut} cannot serve ${consumers.length} consumers`);
  const chosen = second ? [first, second] : [first];
  // Copies of a message are due at the same time, whichever way they come.
  const floors = new Map<number, number>();
  for (const c of chosen)
    for (const [k, us] of slowestOf(c.evaluation, classesOf(gateway, c.consumers))) floors.set(k, Math.max(us, floors.get(k) ?? 0));
  const graphs = chosen.map((c, i): Graph => {
    const limits = { mostUs: mostHold(c.problem, c.tree, healthy, gateway, knowledge), marginUs };
    const naming = { ppns: healthy, consumers: c.consumers };
    return {
      id: gateway.firstGraph + 2 * index + i,
      ...naming,
      ...c,
      plan: planDirectives(c.problem, c.tree, c.evaluation, gateway.scheme, naming, classesOf(gateway, c.consumers), limits, floors),
    };
  });
  const reasons = flaws(gateway, graphs[0]!, classesOf(gateway, consumers), all.length - consumers.length);
  if (twice.length > 0 && !second) reasons.push('there are too few PPNs for second paths');
  return {
    producer,
    graphs,
    aims: graphs.map((g) => ({ peer: healthy[g.tree.entry]!, graph: g.id })),
    feasible: reasons.length === 0,
    reason: reasons.join('; ') || null,
    boundUs: lowerBound(first.problem),
  };
}

interface Choice {
  readonly problem: Problem;
  readonly consumers: readonly NodeId[];
  readonly tree: Tree;
  readonly evaluation: Evaluation;
  readonly foundUs: Reached;
}

/** Numbers of consumers' classes, in the order of their names. */
const classesOf = ({ classes }: Gateway, consumers: readonly NodeId[]): number[] =>
  consumers.map((c) => Object.values(classes).findIndex((k) => k.consumers.includes(c)));

const nearest = (fromProducer: Float64Array): number => fromProducer.reduce((best, us, p) => (us < fromProducer[best]! ? p : best), 0);

/** What a consumer's class allows before holds: with absolute holds, the margin is subtracted. */
function limitOf({ classes, scheme }: Gateway, consumer: NodeId, marginUs: number): number {
  const limitUs = Object.values(classes).find((k) => k.consumers.includes(consumer))?.latencyUs ?? Infinity;
  return scheme === 'absolute' ? limitUs - marginUs : limitUs;
}

function problemOf(
  producer: NodeId,
  ppns: readonly NodeId[],
  consumers: readonly NodeId[],
  { gateway, knowledge, marginUs }: RoutingInput,
  excluded: ReadonlySet<number> = new Set(),
): Problem {
  const known = (from: NodeId, to: NodeId): number => knowledge.latencyUs(from, to) ?? Infinity;
  const open = (p: number, us: number): number => (excluded.has(p) ? Infinity : us);
  return {
    ppns: ppns.length,
    consumers: consumers.length,
    fromProducer: Float64Array.from(ppns, (ppn, p) => open(p, known(producer, ppn))),
    between: Float64Array.from({ length: ppns.length ** 2 }, (_, i) => {
      const [from, to] = [Math.floor(i / ppns.length), i % ppns.length];
      return from === to || excluded.has(from) ? Infinity : open(to, known(ppns[from]!, ppns[to]!));
    }),
    toConsumer: Float64Array.from({ length: consumers.length * ppns.length }, (_, i) =>
      open(i % ppns.length, known(ppns[i % ppns.length]!, consumers[Math.floor(i / ppns.length)]!)),
    ),
    dwellUs: Float64Array.from(ppns, (ppn) => knowledge.dwellUs(ppn)),
    elapsedUs: Float64Array.from(ppns, (ppn) => knowledge.elapsedUs(ppn)),
    fanOut: Int32Array.from(ppns, (_, p) => (excluded.has(p) ? 0 : gateway.fanOut)),
    limitUs: Float64Array.from(consumers, (c) => limitOf(gateway, c, marginUs)),
  };
}

/** The tree that rules, unless another is clearly faster, or it serves other nodes. undefined: there are too few PPNs. */
function choose(
  producer: NodeId,
  consumers: readonly NodeId[],
  excluded: ReadonlySet<number>,
  input: RoutingInput,
  before: Graph | undefined,
): Choice | undefined {
  const { gateway, healthy, thorough } = input;
  const problem = problemOf(producer, healthy, consumers, input, excluded);
  const order = orderOf(gateway.scheme);
  const made = (tree: Tree): Choice => {
    const evaluation = evaluate(problem, tree, order);
    return { problem, consumers, tree, evaluation, foundUs: evaluation };
  };
  if (gateway.scheme === 'single') return made(star(problem, nearest(problem.fromProducer)));
  const kept = before && carriedOver(before, healthy, consumers);
  if (!before || !kept || flaw(problem, kept.tree) !== undefined) return found(problem, made);
  const evaluation = steady(evaluate(problem, kept.tree, order), evaluateInOrder(problem, kept.tree, kept.children));
  const keeping: Choice = { problem, consumers, tree: kept.tree, evaluation, foundUs: before.foundUs };
  // A limit that can be kept is not missed, not even by little; among trees that all miss one, noise makes no difference.
  const keepsLimits = (than: Reached): boolean =>
    evaluation.excess === 0 || (than.excess > 0 && evaluation.excess <= than.excess + BETTER_BY_US);
  const isGood = (than: Reached): boolean =>
    Number.isFinite(evaluation.largest) && evaluation.largest <= than.largest * (1 + BETTER_BY) + BETTER_BY_US && keepsLimits(than);
  // The graph is only verified (R0 section 3.1).
  if (isGood({ largest: lowerBound(problem), excess: 0 }) || (!thorough && isGood(before.foundUs))) return keeping;
  const other = found(problem, made);
  if (other && !isGood(other.evaluation) && isBetter(other.evaluation, evaluation)) return other;
  return {
    ...keeping,
    foundUs: { largest: Math.max(before.foundUs.largest, evaluation.largest), excess: Math.max(before.foundUs.excess, evaluation.excess) },
  };
}

function found(problem: Problem, made: (tree: Tree) => Choice): Choice | undefined {
  const best = search(problem);
  return best && Number.isFinite(best.evaluation.largest) ? made(best.tree) : undefined;
}

/** The order that rules, where another would gain no more than noise: equal paths must not take turns. */
const steady = (sorted: Evaluation, before: Evaluation): Evaluation => (before.largest <= sorted.largest + SAME_ORDER_US ? before : sorted);

/** The same tree and order in the numbers of now; undefined: somebody came or went. */
function carriedOver(before: Graph, ppns: readonly NodeId[], consumers: readonly NodeId[]): { tree: Tree; children: Children } | undefined {
  if (before.consumers.length !== consumers.length || !before.consumers.every((c, i) => c === consumers[i])) return undefined;
  const now = (p: number): number => ppns.indexOf(before.ppns[p]!);
  const parent = new Int32Array(ppns.length).fill(UNUSED);
  const children: number[][] = Array.from({ length: ppns.length }, () => []);
  for (const [p, above] of before.tree.parent.entries()) {
    if (above === UNUSED) continue;
    if (now(p) < 0 || now(above) < 0) return undefined;
    parent[now(p)] = now(above);
    children[now(p)] = before.evaluation.children[p]!.map((child) => (isConsumer(child) ? consumerChild(consumerOf(child)) : now(child)));
  }
  return { tree: { entry: now(before.tree.entry), parent, exit: before.tree.exit.map(now) }, children };
}

/** A tree, and one for duplicates; where the best tree leaves no PPNs for a second, one that does. */
function choosePaths(
  producer: NodeId,
  consumers: readonly NodeId[],
  twice: readonly NodeId[],
  input: RoutingInput,
  before: Route | undefined,
): { first: Choice | undefined; second: Choice | undefined } {
  const pair = (excluded: ReadonlySet<number>) => {
    const first = choose(producer, consumers, excluded, input, before?.graphs[0]);
    return { first, second: first && twice.length > 0 ? chooseSecond(producer, twice, first, input, before?.graphs[1]) : undefined };
  };
  const best = pair(new Set());
  if (twice.length === 0 || best.second) return best;
  const { healthy, knowledge, gateway } = input;
  const distance = (p: number): number =>
    Math.max(
      ...twice.map((c) => (knowledge.latencyUs(producer, healthy[p]!) ?? Infinity) + (knowledge.latencyUs(healthy[p]!, c) ?? Infinity)),
    );
  const far = [...healthy.keys()].sort((a, b) => distance(b) - distance(a) || b - a);
  const spared = pair(new Set(far.slice(0, ppnsNeeded(twice.length, gateway.fanOut))));
  return spared.first && spared.second ? spared : best;
}

/**
 * On PPNs that the first tree does not use or, where there are too few, that are on no way to these consumers: what one
 * PPN loses, the other copy has (R0-24). undefined: there are no second paths, and a copy over the first one helps nobody.
 */
function chooseSecond(
  producer: NodeId,
  consumers: readonly NodeId[],
  { tree, consumers: all }: Choice,
  input: RoutingInput,
  before: Graph | undefined,
): Choice | undefined {
  const used = new Set([...tree.parent.keys()].filter((p) => tree.parent[p] !== UNUSED));
  const ways = new Set(consumers.flatMap((c) => wayTo(tree, all.indexOf(c))));
  for (const excluded of [used, ways]) {
    const choice = choose(producer, consumers, excluded, input, before);
    if (choice) return choice;
  }
  return undefined;
}

/**
 * So that what all PPNs hold fits: bytes are rate × size × hold × destinations. What comes counts where it is more than
 * was announced (R0-17).
 */
function mostHold(
  problem: Problem,
  tree: Tree,
  ppns: readonly NodeId[],
  { messagesPerSecond, messageBytes }: Gateway,
  knowledge: Knowledge,
): number {
  let most = Infinity;
  for (let p = 0; p < problem.ppns; p++) {
    const destinations = tree.exit.reduce((n, exit) => n + (exit === p ? 1 : 0), 0);
    const bytesPerSecond = Math.max(1, messagesPerSecond * messageBytes, knowledge.bytesPerSecond(ppns[p]!));
    if (destinations > 0) most = Math.min(most, (knowledge.bufferBytes(ppns[p]!) * BUFFER_SHARE * 1e6) / (destinations * bytesPerSecond));
  }
  return most;
}

/** What of the requirements this graph cannot meet. */
function flaws({ classes, scheme }: Gateway, { plan, consumers }: Graph, classOf: readonly number[], unmeasured: number): string[] {
  const reasons: string[] = [];
  for (const [k, [name, limits]] of Object.entries(classes).entries()) {
    const own = consumers.flatMap((_, i) => (classOf[i] === k ? [plan.estimated[i]!] : []));
    if (own.length === 0) continue;
    const [largest, spread] = [Math.max(...own), Math.max(...own) - Math.min(...own)];
    if (limits.latencyUs !== null && largest > limits.latencyUs)
      reasons.push(`class ${name}: ${Math.round(largest)} us is the least that its slowest consumer can have, not ${limits.latencyUs}`);
    const deviation = deviationOf(own);
    if (limits.deviationUs !== null && deviation > limits.deviationUs)
      reasons.push(`class ${name}: a standard deviation of ${Math.round(deviation)} us remains, not ${limits.deviationUs}`);
    if (limits.variationUs !== null && spread > limits.variationUs)
      reasons.push(
        `class ${name}: a spread of ${Math.round(spread)} us remains (${scheme}${plan.cut ? ', buffers limit the holds' : ''}), not ${limits.variationUs}`,
      );
  }
  if (unmeasured > 0) reasons.push(`${unmeasured} consumers cannot be reached`);
  return reasons;
}
