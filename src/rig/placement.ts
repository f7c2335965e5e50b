/**
 * Binds the nodes of a lab to the machines of a rig. Pure and deterministic.
 *
 * Nodes that a switch serves stay on the switch's machine, so that only links between switches cross the data
 * network; clusters go to the machine with the least on it that their labels and needs allow, largest first.
 */
import { NetrigError } from '../core/errors.ts';
import type { Capability, Fabric, LabNode } from '../topology/model.ts';
import type { RigHost } from './rigfile.ts';
import type { Assignments } from './labs/assignment.ts';

export interface Candidate {
  readonly host: RigHost;
  readonly capabilities: ReadonlySet<Capability>;
}

export function placeNodes(fabric: Fabric, candidates: readonly Candidate[]): Assignments {
  const load = new Map<string, number>(candidates.map((c) => [c.host.name, 0]));
  const assignments: Record<string, Assignments[string]> = {};
  for (const cluster of clustersOf(fabric)) {
    const fit = candidates.filter(
      (c) => fits(c, cluster) && (c.host.carries !== 'one-node' || (cluster.length === 1 && load.get(c.host.name) === 0)),
    );
    // A machine that takes one node only is for what nothing else can take, or for nodes that ask for it by its labels.
    const ranked = fit.sort((a, b) => rank(a, cluster) - rank(b, cluster) || (load.get(a.host.name) ?? 0) - (load.get(b.host.name) ?? 0));
    const chosen = ranked[0];
    if (!chosen)
      throw new NetrigError('PLACEMENT_IMPOSSIBLE', describeMisfit(cluster, candidates), {
        hint: 'labels and needs of the nodes must be met by one host: netrig rig check shows what each has',
      });
    load.set(chosen.host.name, (load.get(chosen.host.name) ?? 0) + cluster.length);
    for (const node of cluster)
      assignments[node.name] = { machine: chosen.host.name, container: chosen.host.carries === 'containers' && node.kind === 'linux' };
  }
  return assignments;
}

const rank = ({ host }: Candidate, cluster: readonly LabNode[]): number =>
  host.carries === 'one-node' ? (cluster.some((n) => Object.keys(n.place).length > 0) ? 0 : 2) : 1;

const fits = ({ host, capabilities }: Candidate, cluster: readonly LabNode[]): boolean =>
  cluster.every(
    (node) =>
      Object.entries(node.place).every(([key, value]) => host.labels[key] === value) && node.needs.every((need) => capabilities.has(need)),
  );

function describeMisfit(cluster: readonly LabNode[], candidates: readonly Candidate[]): string {
  const wishes = cluster.flatMap((n) => [...Object.entries(n.place).map(([k, v]) => `${k}=${v}`), ...n.needs]);
  return `no host of the rig can carry ${cluster.map((n) => n.name).join(', ')} (wanted: ${[...new Set(wishes)].join(', ') || 'a free host'}): ${candidates.map((c) => `${c.host.name} has ${[...Object.entries(c.host.labels).map(([k, v]) => `${k}=${v}`), ...c.capabilities].join(', ') || 'nothing'}`).join('; ')}`;
}

/** A switch with the hosts that are plugged into it alone; everything else by itself. Largest first. */
function clustersOf({ nodes, links }: Fabric): LabNode[][] {
  const neighbours = new Map<string, Set<string>>(nodes.map((n) => [n.name, new Set()]));
  for (const {
    ends: [a, b],
  } of links) {
    neighbours.get(a.node)?.add(b.node);
    neighbours.get(b.node)?.add(a.node);
  }
  const kindOf = new Map(nodes.map((n) => [n.name, n.kind]));
  const placed = new Map(nodes.map((n) => [n.name, JSON.stringify([n.place, n.needs])]));
  const home = new Map<string, string>();
  for (const node of nodes) {
    const switches = [...(neighbours.get(node.name) ?? [])].filter((n) => kindOf.get(n) !== 'linux');
    const only = node.kind === 'linux' && switches.length === 1 ? (switches[0] as string) : undefined;
    // Different wishes, different machines.
    home.set(node.name, only !== undefined && placed.get(only) === placed.get(node.name) ? only : node.name);
  }
  const clusters = Map.groupBy(nodes, (n) => home.get(n.name) as string);
  return [...clusters.values()].sort((a, b) => b.length - a.length);
}
