/** Phases of a file to flows and events. Pure. */
import { formatDurationUs, parseDurationUs, parseRateBps, parseSizeBytes } from '../core/units.ts';
import { resolveEvents } from './events.ts';
import type { Flow, Impairment, LabNode, Link, Phase, System } from './model.ts';
import { routeBetween } from './lab.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import type { CheckDefinitions } from './checks.ts';
import { expandAll } from '../core/config/ranges.ts';
import { orProblem, requireNode } from './references.ts';
import type { FlowFile, TopologyFile } from './schema.ts';
import { countedFlows } from './targets.ts';

/** Administratively scoped (RFC 2365). */
const MULTICAST_GROUP = '239.255.0.1';

export interface TrafficScope {
  readonly nodes: readonly LabNode[];
  readonly links: readonly Link[];
  readonly systems: readonly System[];
  readonly checks: CheckDefinitions;
}

export function resolveTraffic(file: TopologyFile, { nodes, links, systems, checks }: TrafficScope, problems: Problem[]): Phase[] {
  const current = new Map<string, Impairment>();
  return (file.traffic ?? []).map((phase, p, all) => {
    if (all.findIndex((other) => other.phase === phase.phase) !== p)
      problems.push({ path: ['traffic', p, 'phase'], message: `two phases are called "${phase.phase}"` });
    const durationUs = parseDurationUs(phase.duration);
    const flows = (phase.flows ?? []).flatMap((flow, f) => expandFlow(flow, durationUs, nodes, ['traffic', p, 'flows', f], problems));
    const names = new Set<string>();
    for (const flow of flows) {
      if (names.has(flow.name))
        problems.push({
          path: ['traffic', p],
          message: `two flows are called "${flow.name}" in phase "${phase.phase}"`,
          hint: 'give them names',
        });
      names.add(flow.name);
    }
    const events = resolveEvents(
      phase.events ?? [],
      { nodes, links, systems, phaseUs: durationUs, current },
      ['traffic', p, 'events'],
      problems,
    );
    const counted = countedFlows(file.targets ?? [], phase.phase, p === all.length - 1, checks);
    return { name: phase.phase, durationUs, flows: flows.map((flow) => ({ ...flow, counted: counted.has(flow.name) })), events };
  });
}

function expandFlow(flow: FlowFile, phaseUs: number, nodes: readonly LabNode[], path: Path, problems: Problem[]): Flow[] {
  const list = (value: string | readonly string[] | undefined): string[] => orProblem(() => expandAll(value ?? []), path, problems);
  const pairs = flow.matrix
    ? list(flow.matrix).flatMap((from, _, all) => all.filter((to) => to !== from).map((to) => [from, to] as const))
    : list(flow.from).flatMap((from) => list(flow.to).map((to) => [from, to] as const));
  if (pairs.length === 0) problems.push({ path, message: 'a flow needs "from" and "to", or "matrix"' });
  const tool = flow.tool ?? 'iperf3';
  const protocol = flow.protocol ?? (tool === 'mgen' ? 'udp' : 'tcp');
  if (protocol === 'udp' && (tool === 'iperf3' || tool === 'mgen') && flow.rate === undefined) {
    problems.push({ path, message: 'a UDP flow needs a rate', hint: 'e.g. rate: 50Mbit, or several times the link for a greedy sender' });
  }
  if (tool === 'mgen' && protocol !== 'udp')
    problems.push({ path: [...path, 'protocol'], message: 'mgen sends UDP', hint: 'tool: iperf3 for TCP' });
  for (const key of ['burst', 'cast'] as const) {
    if (flow[key] !== undefined && tool !== 'mgen')
      problems.push({ path: [...path, key], atKey: true, message: `"${key}" needs tool: mgen` });
  }
  const startUs = parseDurationUs(flow.start ?? '0s');
  const durationUs = flow.duration === undefined ? phaseUs - startUs : parseDurationUs(flow.duration);
  if (startUs + durationUs > phaseUs || durationUs <= 0)
    problems.push({
      path,
      message: 'the flow does not fit into its phase',
      hint: 'start + duration must be at most the duration of the phase',
    });
  if ((tool === 'iperf3' || tool === 'netperf') && durationUs % 1e6 !== 0)
    problems.push({
      path,
      message: `${tool} sends for whole seconds only, not for ${formatDurationUs(durationUs)}`,
      hint: 'set duration, or start, so that whole seconds are left of the phase',
    });
  return pairs.flatMap(([from, to]) => {
    const known =
      requireNode(from, nodes, [...path, flow.matrix ? 'matrix' : 'from'], problems) &&
      requireNode(to, nodes, [...path, flow.matrix ? 'matrix' : 'to'], problems);
    if (!known) return [];
    const route = routeBetween(nodes, from, to);
    if (!route) {
      problems.push({ path, message: `node "${to}" has no address that "${from}" could send to` });
      return [];
    }
    return [
      {
        name: flow.name === undefined ? `${from}-${to}` : pairs.length > 1 ? `${flow.name}-${from}-${to}` : flow.name,
        from,
        to,
        address: flow.address ?? route.address,
        protocol,
        tool,
        startUs,
        durationUs,
        rateBps: flow.rate === undefined ? null : parseRateBps(flow.rate),
        parallel: flow.parallel ?? 1,
        sizeBytes: flow.size === undefined ? null : parseSizeBytes(flow.size),
        intervalUs: parseDurationUs(flow.interval ?? '10ms'),
        burst: flow.burst === undefined ? null : { everyUs: parseDurationUs(flow.burst.every), forUs: parseDurationUs(flow.burst.for) },
        multicast: flow.cast === 'multicast' ? { group: MULTICAST_GROUP, fromDevice: route.fromDevice, toDevice: route.toDevice } : null,
        congestion: flow.congestion ?? null,
        counted: false,
      },
    ];
  });
}
