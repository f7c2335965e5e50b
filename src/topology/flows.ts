/** Phases of a file to flows and events. Pure. */
import { formatDurationUs, parseDurationUs, parseRateBps, parseSizeBytes } from '../core/units.ts';
import { Allowance, MAX_EVENTS, MAX_FLOWS, tooLong } from './bounds.ts';
import { resolveEvents } from './events.ts';
import type { Flow, Impairment, Link, Phase, System } from './model.ts';
import { rateProblem } from './kernelrules.ts';
import { routeBetween } from './lab.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import type { CheckDefinitions } from './checks.ts';
import { expandAll } from '../core/config/ranges.ts';
import { orProblem, requireNode, type Nodes } from './references.ts';
import type { FlowFile, TopologyFile } from './schema.ts';
import { countedFlows } from './targets.ts';

/** Administratively scoped (RFC 2365). */
const MULTICAST_GROUP = '239.255.0.1';

export interface TrafficScope {
  readonly nodes: Nodes;
  readonly links: readonly Link[];
  readonly systems: readonly System[];
  readonly checks: CheckDefinitions;
}

export function resolveTraffic(file: TopologyFile, { nodes, links, systems, checks }: TrafficScope, problems: Problem[]): Phase[] {
  const current = new Map<string, Impairment>();
  const flowsLeft = new Allowance(MAX_FLOWS, 'flows');
  const eventsLeft = new Allowance(MAX_EVENTS, 'events');
  return (file.traffic ?? []).map((phase, p, all) => {
    if (all.findIndex((other) => other.phase === phase.phase) !== p)
      problems.push({ path: ['traffic', p, 'phase'], message: `two phases are called "${phase.phase}"` });
    const durationUs = parseDurationUs(phase.duration);
    const long = tooLong(durationUs, ['traffic', p, 'duration']);
    if (long) problems.push(long);
    if (durationUs === 0) problems.push({ path: ['traffic', p, 'duration'], message: 'a phase of no time' });
    const flows = (phase.flows ?? []).flatMap((flow, f) => {
      const path: Path = ['traffic', p, 'flows', f];
      problems.push(...flowProblems(flow, path));
      return expandFlow(flow, durationUs, nodes, flowsLeft, path, problems);
    });
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
      { nodes, links, systems, phaseUs: durationUs, current, eventsLeft },
      ['traffic', p, 'events'],
      problems,
    );
    const counted = countedFlows(file.targets ?? [], phase.phase, p === all.length - 1, checks);
    return { name: phase.phase, durationUs, flows: flows.map((flow) => ({ ...flow, counted: counted.has(flow.name) })), events };
  });
}

/** Smallest and largest of what a tool takes. */
const MIN_INTERVAL_US = 100;
const MAX_DATAGRAM_BYTES = 65_507;
const MAX_WRITE_BYTES = 1 << 20;

/** Quantities of which a tool would make nothing, or something else: iperf3 takes a rate of 0 for none. */
function flowProblems({ rate, size, interval, burst, protocol, tool }: FlowFile, path: Path): Problem[] {
  const problems: Problem[] = [];
  if (rate !== undefined) {
    const problem = rateProblem(rate, [...path, 'rate']);
    if (problem) problems.push(problem);
  }
  const bytes = parseSizeBytes(size ?? '1B');
  const most = protocol === 'udp' || tool === 'mgen' || tool === 'prober' ? MAX_DATAGRAM_BYTES : MAX_WRITE_BYTES;
  if (bytes < 1 || bytes > most) problems.push({ path: [...path, 'size'], message: `a size of ${size}: at least 1B, at most ${most}B` });
  if (interval !== undefined && parseDurationUs(interval) < MIN_INTERVAL_US)
    problems.push({ path: [...path, 'interval'], message: `an interval of ${interval}: at least ${formatDurationUs(MIN_INTERVAL_US)}` });
  if (burst !== undefined) {
    const [everyUs, forUs] = [parseDurationUs(burst.every), parseDurationUs(burst.for)];
    if (forUs === 0 || forUs > everyUs)
      problems.push({ path: [...path, 'burst'], message: 'a burst lasts longer than nothing, and no longer than "every"' });
  }
  return problems;
}

function expandFlow(flow: FlowFile, phaseUs: number, nodes: Nodes, flowsLeft: Allowance, path: Path, problems: Problem[]): Flow[] {
  const list = (value: string | readonly string[] | undefined): string[] => orProblem(() => expandAll(value ?? []), path, problems);
  const senders = list(flow.matrix ?? flow.from);
  const receivers = flow.matrix ? senders : list(flow.to);
  if (!flowsLeft.take(senders.length * receivers.length - (flow.matrix ? senders.length : 0), path, problems)) return [];
  const pairs = senders.flatMap((from) => receivers.filter((to) => !flow.matrix || to !== from).map((to) => [from, to] as const));
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
    const sender = requireNode(from, nodes, [...path, flow.matrix ? 'matrix' : 'from'], problems);
    const receiver = requireNode(to, nodes, [...path, flow.matrix ? 'matrix' : 'to'], problems);
    if (!sender || !receiver) return [];
    const route = routeBetween(sender, receiver);
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
