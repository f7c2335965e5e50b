/**
 * Finds the tree that keeps the limits of all classes or misses them by least, then whose slowest consumer is fastest, then
 * whose consumers differ least (R0-4, R0-8; the text names no procedure). Deterministic. Degree-limited min-max trees
 * are NP-hard: trees are grown from the entry like Prim's with
 * depth for cost (compact trees: Shi, Turner 2002), consumers with the least to spare choose first, and what is slowest is then moved.
 */
import {
  consumerChild,
  consumerOf,
  departure,
  evaluate,
  flaw,
  isConsumer,
  UNUSED,
  wayTo,
  type Child,
  type Evaluation,
  type Problem,
  type Tree,
} from './graph.ts';

export interface Found {
  readonly tree: Tree;
  readonly evaluation: Evaluation;
}

/** Problems with more edges than this are searched from one size only. */
const LARGE = 200_000;
/** Entries that are tried, from the nearest on, and how many PPNs beyond those that are needed. */
const ENTRIES = 6;
const SPARES = [1, 1.15, 1.5, 2.5, Infinity];
/** Problems up to this many edges are improved by every kind of move, from several starts; larger ones only where they are slowest. */
const SMALL = 4000;
const MOST_MOVES = 400;
const MOST_MOVES_OF_LARGE = 100;
/**
 * Shaken starts of small problems: fewer, the more edges there are. An RDN that searches for longer than others wait
 * for it is taken for dead.
 */
const SHAKES = 120;
const SHAKING = 1500;

/** undefined: there are not enough PPNs for these consumers. */
export function search(problem: Problem): Found | undefined {
  const entries = [...problem.fromProducer.keys()]
    .filter((p) => Number.isFinite(problem.fromProducer[p]))
    .sort((a, b) => problem.fromProducer[a]! - problem.fromProducer[b]!);
  const edges = problem.ppns * (problem.consumers + problem.ppns);
  const sizes = sizesOf(problem);
  let best: Found | undefined;
  const keep = (found: Found) => {
    if (!best || isBetter(found.evaluation, best.evaluation)) best = found;
  };
  for (const entry of entries.slice(0, edges <= SMALL ? ENTRIES : 1)) {
    for (const size of edges <= LARGE || sizes.length < 2 ? sizes : sizes.slice(1, 2)) {
      const tree = place(problem, grow(problem, entry, size));
      if (tree) keep(relieve(problem, tree));
    }
  }
  if (!best || edges > SMALL) return best;
  keep(improve(problem, best.tree));
  const random = generator();
  for (let shakes = Math.min(SHAKES, Math.floor(SHAKING / edges)); shakes > 0; shakes--)
    keep(improve(problem, shaken(problem, best.tree, random)));
  return best;
}

/** Another tree not far away: the same one for the same problem. */
function shaken(problem: Problem, tree: Tree, random: (below: number) => number): Tree {
  let out = tree;
  for (let i = 0; i < 2; i++) out = exchanged(out, random(problem.ppns), random(problem.ppns));
  const exit = Int32Array.from(out.exit);
  for (let i = 0; i < 3; i++) {
    const [a, b] = [random(problem.consumers), random(problem.consumers)];
    [exit[a], exit[b]] = [exit[b]!, exit[a]!];
  }
  const next = { ...out, exit };
  return Number.isFinite(problem.fromProducer[next.entry]) && !flaw(problem, next) ? next : tree;
}

/** Numbers below a bound, always the same (Numerical Recipes' linear congruence). */
function generator(): (below: number) => number {
  let state = 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Nobody can be served faster than by the shortest path, whatever the tree. */
export function lowerBound(problem: Problem): number {
  const { ppns, consumers } = problem;
  const distance = Float64Array.from(problem.fromProducer);
  const done = new Uint8Array(ppns);
  for (;;) {
    let at = -1;
    for (let p = 0; p < ppns; p++) if (!done[p] && Number.isFinite(distance[p]) && (at < 0 || distance[p]! < distance[at]!)) at = p;
    if (at < 0) break;
    done[at] = 1;
    const leaves = distance[at]! + departure(problem, at, 0);
    for (let p = 0; p < ppns; p++) distance[p] = Math.min(distance[p]!, leaves + problem.between[at * ppns + p]!);
  }
  let bound = 0;
  for (let c = 0; c < consumers; c++) {
    let nearest = Infinity;
    for (let p = 0; p < ppns; p++) nearest = Math.min(nearest, distance[p]! + departure(problem, p, 0) + problem.toConsumer[c * ppns + p]!);
    bound = Math.max(bound, nearest);
  }
  return bound;
}

const SAME_US = 0.01;
export function isBetter(a: Evaluation, b: Evaluation): boolean {
  if (Math.abs(a.excess - b.excess) > SAME_US) return a.excess < b.excess;
  return a.largest < b.largest - SAME_US || (a.largest < b.largest + SAME_US && a.smallest > b.smallest + SAME_US);
}

/** Numbers of PPNs to try: every one more is a hop for some, and two more places for others. */
function sizesOf({ ppns, consumers, fanOut }: Problem): number[] {
  const limits = [...fanOut].sort((a, b) => b - a);
  let [needed, places] = [1, limits[0] ?? 0];
  while (places < consumers && needed < ppns) places += (limits[needed++] ?? 1) - 1;
  return [...new Set(SPARES.map((spare) => Math.min(ppns, Math.ceil(needed * spare))))];
}

interface Skeleton {
  readonly entry: number;
  readonly parent: Int32Array;
  readonly arrival: Float64Array;
  readonly free: Int32Array;
}

/** Always the PPN next that is reached soonest by one that has a place left. */
function grow(problem: Problem, entry: number, size: number): Skeleton {
  const { ppns, between } = problem;
  const parent = new Int32Array(ppns).fill(UNUSED);
  const arrival = new Float64Array(ppns).fill(Infinity);
  const free = Int32Array.from(problem.fanOut);
  const reach = new Float64Array(ppns).fill(Infinity);
  const by = new Int32Array(ppns).fill(UNUSED);
  parent[entry] = entry;
  arrival[entry] = problem.fromProducer[entry]!;
  const offer = (from: number) => {
    const leaves = arrival[from]! + departure(problem, from, problem.fanOut[from]! - free[from]!);
    for (let p = 0; p < ppns; p++) {
      const at = leaves + between[from * ppns + p]!;
      if (parent[p] === UNUSED && at < reach[p]!) {
        reach[p] = at;
        by[p] = from;
      }
    }
  };
  offer(entry);
  for (let used = 1; used < size; used++) {
    let next = UNUSED;
    for (let p = 0; p < ppns; p++)
      if (parent[p] === UNUSED && Number.isFinite(reach[p]) && (next === UNUSED || reach[p]! < reach[next]!)) next = p;
    if (next === UNUSED) break;
    const from = by[next]!;
    parent[next] = from;
    arrival[next] = reach[next]!;
    free[from]! -= 1;
    // PPNs that wanted this place are offered others.
    if (free[from] === 0) reoffer(problem, { entry, parent, arrival, free }, from, reach, by);
    offer(next);
  }
  return { entry, parent, arrival, free };
}

function reoffer(problem: Problem, { parent, arrival, free }: Skeleton, full: number, reach: Float64Array, by: Int32Array): void {
  const { ppns, between } = problem;
  const open = [...parent.keys()].filter((p) => parent[p] !== UNUSED && free[p]! > 0);
  for (let p = 0; p < ppns; p++) {
    if (parent[p] !== UNUSED || by[p] !== full) continue;
    reach[p] = Infinity;
    for (const from of open) {
      const at = arrival[from]! + departure(problem, from, problem.fanOut[from]! - free[from]!) + between[from * ppns + p]!;
      if (at < reach[p]!) {
        reach[p] = at;
        by[p] = from;
      }
    }
  }
}

/** Consumers with the least to spare choose their place first. PPNs that nobody needs are dropped. */
function place(problem: Problem, { entry, parent, arrival, free }: Skeleton): Tree | undefined {
  const { ppns, consumers, toConsumer } = problem;
  const used = [...parent.keys()].filter((p) => parent[p] !== UNUSED);
  const left = Int32Array.from(free);
  const places = used.reduce((sum, p) => sum + left[p]!, 0);
  if (places < consumers) return undefined;
  const cost = (p: number, c: number): number =>
    arrival[p]! + departure(problem, p, problem.fanOut[p]! - left[p]!) + toConsumer[c * ppns + p]!;
  const best = new Float64Array(consumers);
  for (let c = 0; c < consumers; c++) {
    let nearest = Infinity;
    for (const p of used) nearest = Math.min(nearest, arrival[p]! + toConsumer[c * ppns + p]!);
    best[c] = nearest;
  }
  const exit = new Int32Array(consumers).fill(UNUSED);
  // Those with the least to spare first, then the hardest to reach: the largest latency is what counts.
  const spare = (c: number): number => problem.limitUs[c]! - best[c]!;
  const order = [...best.keys()].sort((a, b) => (spare(a) === spare(b) ? 0 : spare(a) - spare(b)) || best[b]! - best[a]! || a - b);
  let open = used.filter((p) => left[p]! > 0);
  for (const c of order) {
    let chosen = UNUSED;
    let least = Infinity;
    for (const p of open) {
      const at = cost(p, c);
      if (at < least) {
        least = at;
        chosen = p;
      }
    }
    if (chosen === UNUSED) return undefined;
    exit[c] = chosen;
    left[chosen]! -= 1;
    if (left[chosen] === 0) open = open.filter((p) => p !== chosen);
  }
  return prune(ppns, { entry, parent: Int32Array.from(parent), exit });
}

/** Drops PPNs that lead to no consumer. */
function prune(ppns: number, tree: Tree): Tree {
  const { entry, parent, exit } = tree;
  const needed = new Uint8Array(ppns);
  needed[entry] = 1;
  for (const leaf of exit) for (let p = leaf; p !== UNUSED && !needed[p]; p = parent[p]!) needed[p] = 1;
  for (let p = 0; p < ppns; p++) if (!needed[p]) parent[p] = UNUSED;
  return tree;
}

const copyOf = ({ entry, parent, exit }: Tree): Tree => ({ entry, parent: Int32Array.from(parent), exit: Int32Array.from(exit) });

/** Takes every single change that makes the tree better, until none does. */
function improve(problem: Problem, start: Tree): Found {
  let best: Found = { tree: start, evaluation: evaluate(problem, start) };
  for (let moved = 0; moved < MOST_MOVES; moved++) {
    const next = betterNeighbour(problem, best);
    if (!next) break;
    best = next;
  }
  return best;
}

function betterNeighbour(problem: Problem, from: Found): Found | undefined {
  for (const tree of neighbours(problem, from)) {
    if (flaw(problem, tree)) continue;
    const evaluation = evaluate(problem, prune(problem.ppns, tree));
    if (isBetter(evaluation, from.evaluation)) return { tree, evaluation };
  }
  return undefined;
}

/** Only what is on the critical path, and what may change places with it, can make the critical consumer faster. */
function* neighbours({ ppns, consumers }: Problem, { tree, evaluation }: Found): Generator<Tree> {
  const slowest = evaluation.critical;
  const change = (make: (t: { entry: number; parent: Int32Array; exit: Int32Array }) => void): Tree => {
    const copy = copyOf(tree) as { entry: number; parent: Int32Array; exit: Int32Array };
    make(copy);
    return copy;
  };
  const all = [
    ...Array.from({ length: ppns }, (_, p) => p).filter((p) => p !== tree.entry && tree.parent[p] !== UNUSED),
    ...Array.from({ length: consumers }, (_, c) => consumerChild(c)),
  ];
  const sender = (t: Tree, child: Child): number => (isConsumer(child) ? t.exit[consumerOf(child)]! : t.parent[child]!);
  const hang = (t: Tree, child: Child, below: number): void => {
    if (isConsumer(child)) t.exit[consumerOf(child)] = below;
    else t.parent[child] = below;
  };
  const slow: Child[] = [consumerChild(slowest), ...wayTo(tree, slowest).slice(0, -1)];
  for (const x of slow) {
    for (let p = 0; p < ppns; p++)
      if (p !== x && p !== sender(tree, x) && (p === tree.entry || tree.parent[p] !== UNUSED)) yield change((t) => hang(t, x, p));
    for (const y of all) {
      const [p, q] = [sender(tree, x), sender(tree, y)];
      if (p !== q)
        yield change((t) => {
          hang(t, x, q);
          hang(t, y, p);
        });
    }
  }
  for (let p = 0; p < ppns; p++) {
    for (let q = 0; q < ppns; q++) {
      if (p === q) continue;
      // One that is not used comes in: for the slowest consumer, or between two.
      if (p !== tree.entry && tree.parent[p] === UNUSED && tree.parent[q] !== UNUSED) {
        for (const x of [consumerChild(slowest), ...all.filter((child) => sender(tree, child) === q)])
          yield change((t) => {
            hang(t, p, q);
            hang(t, x, p);
          });
      }
      if (p < q) yield exchanged(tree, p, q);
    }
  }
  // Remove one PPN; its sender takes over its children.
  for (let p = 0; p < ppns; p++) {
    if (p === tree.entry || tree.parent[p] === UNUSED) continue;
    yield change((t) => {
      const above = t.parent[p]!;
      t.parent.forEach((parent, child) => {
        if (parent === p) t.parent[child] = above;
      });
      t.exit.forEach((exit, c) => {
        if (exit === p) t.exit[c] = above;
      });
      t.parent[p] = UNUSED;
    });
  }
}

/** Two PPNs change places, used or not. */
function exchanged(tree: Tree, p: number, q: number): Tree {
  const as = (x: number): number => (x === p ? q : x === q ? p : x);
  const parent = new Int32Array(tree.parent.length).fill(UNUSED);
  tree.parent.forEach((above, child) => {
    parent[as(child)] = above === UNUSED ? UNUSED : as(above);
  });
  return { entry: as(tree.entry), parent, exit: tree.exit.map(as) };
}

/** Large trees: the slowest consumer moves, or changes places with one that can afford it, until it cannot. */
function relieve(problem: Problem, start: Tree): Found {
  const { ppns, consumers, toConsumer } = problem;
  const tree = copyOf(start);
  let evaluation = evaluate(problem, tree);
  const moves = ppns * consumers > LARGE ? MOST_MOVES_OF_LARGE : MOST_MOVES;
  for (let moved = 0; moved < moves; moved++) {
    const slowest = evaluation.critical;
    const bound = evaluation.latency[slowest]!;
    const from = tree.exit[slowest]!;
    const load = (p: number): number => evaluation.children[p]!.length;
    let to = UNUSED;
    let least = bound - SAME_US;
    let partner = UNUSED;
    for (let p = 0; p < ppns; p++) {
      if (p === from || tree.parent[p] === UNUSED) continue;
      const own = evaluation.arrival[p]! + toConsumer[slowest * ppns + p]!;
      if (load(p) < problem.fanOut[p]! && own + departure(problem, p, load(p)) < least) {
        least = own + departure(problem, p, load(p));
        [to, partner] = [p, UNUSED];
        continue;
      }
      if (own + departure(problem, p, load(p) - 1) >= least) continue;
      for (const child of evaluation.children[p]!) {
        if (!isConsumer(child)) continue;
        const there = evaluation.arrival[from]! + departure(problem, from, load(from) - 1) + toConsumer[consumerOf(child) * ppns + from]!;
        if (there < bound - SAME_US && Math.max(there, own + departure(problem, p, load(p) - 1)) < least) {
          least = Math.max(there, own + departure(problem, p, load(p) - 1));
          [to, partner] = [p, consumerOf(child)];
        }
      }
    }
    if (to === UNUSED) break;
    if (partner !== UNUSED) tree.exit[partner] = from;
    tree.exit[slowest] = to;
    const after = evaluate(problem, tree);
    if (!isBetter(after, evaluation)) {
      tree.exit[slowest] = from;
      if (partner !== UNUSED) tree.exit[partner] = to;
      break;
    }
    evaluation = after;
  }
  const pruned = prune(ppns, tree);
  return { tree: pruned, evaluation: evaluate(problem, pruned) };
}
