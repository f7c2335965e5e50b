/** What an RDN writes down of its decisions: the evidence that checks and reports read (results/evidence.ts). */
import { log } from '../../lib/rpc.ts';
import type { NodeInfo } from '../config.ts';
import type { NodeId } from '../protocol.ts';
import { UNUSED } from './graph.ts';
import type { Graph, Route } from './router.ts';

type Names = ReadonlyMap<NodeId, NodeInfo>;

/** What ruled from when on (R0-6). */
export function logDirectives(nodes: Names, graph: Graph, epoch: number): void {
  const name = (id: NodeId) => nodes.get(id)?.name;
  log('info', 'directives', {
    graph: graph.id,
    epoch,
    entry: name(graph.ppns[graph.tree.entry]!),
    destinations: Object.fromEntries(
      [...graph.plan.destinations].map(([ppn, list]) => [
        name(ppn),
        list.map((d) => ({ to: name(d.peer), hold: d.hold, holdNs: d.holdNs })),
      ]),
    ),
    consumers: graph.consumers.map(name),
    edgesUs: edgesOf(graph).map(([from, to, us]) => [name(from), name(to), Math.round(us)]),
  });
}

/** What was found, and what was expected of it (R0-7). */
export function logIteration(
  nodes: Names,
  routes: readonly Route[],
  what: { trigger: string; svg: string; changed: number; epoch: number; tookMs: number; spreadUs: number | null },
): void {
  const primary = routes.flatMap((r) => r.graphs.slice(0, 1));
  log('info', 'iteration', {
    ...what,
    tookMs: Math.round(what.tookMs * 10) / 10,
    feasible: routes.every((r) => r.feasible),
    reason:
      routes
        .map((r) => r.reason)
        .filter(Boolean)
        .join('; ') || null,
    largestUs: Math.round(Math.max(0, ...routes.flatMap((r) => r.graphs.flatMap((g) => [...g.plan.due])))),
    boundUs: Math.round(Math.max(0, ...routes.map((r) => r.boundUs).filter(Number.isFinite))),
    estimatedUs: Object.fromEntries(
      primary.flatMap((g) => g.consumers.map((c, i) => [nodes.get(c)?.name, Math.round(g.plan.estimated[i]!)])),
    ),
  });
}

/** The tree's edges with their measured latencies. */
function edgesOf({ ppns, consumers, problem, tree }: Graph): [NodeId, NodeId, number][] {
  const between = [...tree.parent.entries()].flatMap(([p, above]): [NodeId, NodeId, number][] =>
    above === UNUSED || p === tree.entry ? [] : [[ppns[above]!, ppns[p]!, problem.between[above * problem.ppns + p]!]],
  );
  return [
    ...between,
    ...consumers.map((c, i): [NodeId, NodeId, number] => [ppns[tree.exit[i]!]!, c, problem.toConsumer[i * problem.ppns + tree.exit[i]!]!]),
  ];
}
