/** The best tree there is, by trying all: for a handful of PPNs and consumers, to say how far the search is from it. */
import { evaluate, UNUSED, type Problem, type Tree } from './graph.ts';
import { isBetter, type Found } from './search.ts';

export function exactSearch(problem: Problem): Found | undefined {
  const { ppns, consumers, fanOut } = problem;
  let best: Found | undefined;
  const parent = new Int32Array(ppns).fill(UNUSED);
  const exit = new Int32Array(consumers).fill(UNUSED);
  const left = Int32Array.from(fanOut);

  const placeConsumer = (entry: number, c: number): void => {
    if (c === consumers) {
      const tree: Tree = { entry, parent: Int32Array.from(parent), exit: Int32Array.from(exit) };
      const evaluation = evaluate(problem, tree);
      if (!best || isBetter(evaluation, best.evaluation)) best = { tree, evaluation };
      return;
    }
    for (let p = 0; p < ppns; p++) {
      if ((p !== entry && parent[p] === UNUSED) || left[p] === 0) continue;
      exit[c] = p;
      left[p]! -= 1;
      placeConsumer(entry, c + 1);
      left[p]! += 1;
    }
  };

  const isTree = (entry: number): boolean =>
    [...parent.keys()].every((p) => {
      let [at, steps] = [p, 0];
      while (at !== entry && parent[at] !== UNUSED && steps++ <= ppns) at = parent[at]!;
      return at === entry || parent[p] === UNUSED;
    });

  const placePpn = (entry: number, p: number): void => {
    if (p === ppns) {
      if (isTree(entry)) placeConsumer(entry, 0);
      return;
    }
    if (p === entry) {
      placePpn(entry, p + 1);
      return;
    }
    parent[p] = UNUSED;
    placePpn(entry, p + 1);
    for (let q = 0; q < ppns; q++) {
      if (q === p || left[q] === 0) continue;
      parent[p] = q;
      left[q]! -= 1;
      placePpn(entry, p + 1);
      left[q]! += 1;
    }
    parent[p] = UNUSED;
  };

  for (let entry = 0; entry < ppns; entry++) {
    if (!Number.isFinite(problem.fromProducer[entry])) continue;
    parent.fill(UNUSED);
    parent[entry] = entry;
    placePpn(entry, 0);
  }
  return best;
}
