/** A validated file (one cell, variables substituted) to the resolved model. Pure; collects problems instead of throwing. */
import { DURATION_PATTERN, formatDurationUs, formatRate, parseDurationUs, parseFraction, parseRateBps, parseSizeBytes, PERCENT_PATTERN, RATE_PATTERN, splitQuantity } from '../core/units.ts';
import { assignAddresses, isSwitchKind, macFor, segmentsOf, type RawInterface } from './addressing.ts';
import { resolveEvents } from './events.ts';
import { endpointName, routeBetween, type CapturePoint, type Fabric, type Flow, type Impairment, type Lab, type LabNode, type Link, type Phase, type System } from './model.ts';
import { unitOfTarget, type Unit } from './units.ts';
import type { Path, Problem } from './problems.ts';
import type { FlowFile, ImpairmentFile, LinkFile, NodeSettings, TargetFile, TopologyFile } from './schema.ts';
import { matches } from './matrix.ts';
import { expandAll, expandRange, expandTogether } from './ranges.ts';
import { suggest } from './validate.ts';

/** Smallest queue: a handful of full frames, so that a slow link still absorbs a burst. */
const MIN_QUEUE_BYTES = 16 * 1514;
/** Administratively scoped (RFC 2365). */
const MULTICAST_GROUP = '239.255.0.1';
/** Queueing time in front of a rate limit beyond the round trip: a switch port's few milliseconds. */
const QUEUE_BASE_US = 5000;

export interface CellFile {
  readonly file: TopologyFile;
  readonly cell: string;
  readonly variant: Readonly<Record<string, string>>;
}

export function resolveLab({ file, cell, variant }: CellFile, labName: string, problems: Problem[]): Lab {
  const fabric = resolveFabric(file, labName, problems);
  const systems = resolveSystems(file, fabric.nodes, problems);
  const phases = resolveTraffic(file, fabric.nodes, systems, problems);
  const captures = resolveCaptures(file, fabric.nodes, variant, problems);
  const targets = (file.targets ?? []).filter((t) => matches(t.when, variant));
  checkTargets(file.targets ?? [], variant, phases, captures, fabric.nodes, problems);
  return {
    name: labName, cell, variant, fabric, phases, targets,
    tolerance: {
      rate: parseFraction(file.linktest?.['rate-tolerance'] ?? '5%'),
      delayUs: parseDurationUs(file.linktest?.['delay-tolerance'] ?? '1ms'),
      reachabilityOnly: file.linktest?.skip ?? false,
    },
    systems,
    captures,
    saturation: parseFraction(file.saturation ?? '95%'),
  };
}

/** containerlab's precedence: node over group over kind over defaults; mappings merge, the rest replaces. */
export function effectiveSettings(file: TopologyFile, key: string): NodeSettings {
  const { defaults, kinds, groups, nodes } = file.topology;
  const own = nodes[key] ?? {};
  const group = own.group ?? defaults?.group;
  const kind = own.kind ?? (group ? groups?.[group]?.kind : undefined) ?? defaults?.kind ?? 'linux';
  const layers: NodeSettings[] = [defaults ?? {}, kinds?.[kind] ?? {}, group ? groups?.[group] ?? {} : {}, own, { kind }];
  const merged: Record<string, unknown> = {};
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer)) {
      const before = merged[key];
      const mergeable = ['labels', 'sysctls', 'env', 'interfaces'].includes(key) && before !== undefined;
      merged[key] = mergeable ? { ...(before as object), ...(value as object) } : value;
    }
  }
  return merged;
}

function resolveFabric(file: TopologyFile, labName: string, problems: Problem[]): Fabric {
  const keyOf = nodeKeys(file, problems);
  const names = [...keyOf.keys()];
  const settings = new Map([...keyOf].map(([name, key]) => [name, effectiveSettings(file, key)]));
  for (const key of Object.keys(file.topology.nodes)) checkNode(file, key, effectiveSettings(file, key), problems);

  const raws: (RawInterface & { mac: string | undefined; mtu: number; labels: Readonly<Record<string, string>> })[] = [];
  const seen = new Map<string, number>();
  const links: { ends: [number, number]; raw: LinkFile; path: Path }[] = [];
  for (const { raw, path, endpoints } of expandLinks(file, problems)) {
    const ends = endpoints.map((parsed, e) => {
      const where = [...path, 'endpoints', e];
      const node = settings.get(parsed.node);
      if (!node) {
        const near = suggest(parsed.node, names);
        problems.push({ path: where, message: `link to unknown node "${parsed.node}"`, hint: near ? `did you mean "${near}"?` : `nodes: ${names.join(', ')}` });
        return -1;
      }
      const key = `${parsed.node}:${parsed.interface}`;
      if (parsed.interface === 'lo' || seen.has(key)) {
        problems.push({ path: where, message: parsed.interface === 'lo' ? '"lo" is the loopback interface' : `endpoint ${key} is used by two links`, hint: 'give every link end an interface of its own' });
        return -1;
      }
      const own = node.interfaces?.[parsed.interface];
      const address = ('ipv4' in parsed ? parsed.ipv4 : undefined) ?? own?.address;
      const isPort = isSwitchKind(node.kind ?? 'linux') && (address === undefined || address === 'none');
      if (address !== undefined) checkCidr(address, where, problems);
      seen.set(key, raws.length);
      raws.push({ node: parsed.node, name: parsed.interface, address, port: isPort, mac: ('mac' in parsed ? parsed.mac : undefined) ?? own?.mac, mtu: raw.mtu ?? 1500, labels: { ...node.labels, ...raw.labels } });
      return raws.length - 1;
    });
    const [a, b] = ends as [number, number];
    if (a >= 0 && b >= 0) links.push({ ends: [a, b], raw, path });
  }
  for (const name of names) {
    for (const itf of Object.keys(settings.get(name)?.interfaces ?? {})) {
      const key = keyOf.get(name) as string;
      if (!seen.has(`${name}:${itf}`) && file.topology.nodes[key]?.interfaces?.[itf]) {
        problems.push({ path: ['topology', 'nodes', key, 'interfaces', itf], atKey: true, message: `no link ends at ${name}:${itf}` });
      }
    }
  }
  const segments = segmentsOf(raws, links);
  const addresses = assignAddresses(raws, segments);
  const nodes = names.map((name): LabNode => {
    const s = settings.get(name) as NodeSettings;
    return {
      name, kind: (s.kind ?? 'linux'), labels: s.labels ?? {},
      sysctls: Object.fromEntries(Object.entries(s.sysctls ?? {}).map(([k, v]) => [k, String(v)])),
      exec: (s.exec ?? []).map((line) => line.trim().split(/\s+/)),
      interfaces: raws.flatMap((raw, i) => (raw.node === name
        ? [{ name: raw.name, mac: raw.mac ?? macFor(labName, i + 1), addresses: addresses[i] as string[], port: raw.port, mtu: raw.mtu, segment: segments[i] as number, labels: raw.labels }]
        : [])),
    };
  });
  return { nodes, links: links.map(({ ends, raw }) => resolveLink(raw, raws[ends[0]] as RawInterface, raws[ends[1]] as RawInterface)) };
}

/** Every node to the key that declares it: its name, or a range. */
function nodeKeys(file: TopologyFile, problems: Problem[]): Map<string, string> {
  const keyOf = new Map<string, string>();
  for (const key of Object.keys(file.topology.nodes)) {
    const path: Path = ['topology', 'nodes', key];
    for (const name of orProblem(() => expandRange(key), path, problems)) {
      if (keyOf.has(name)) problems.push({ path, atKey: true, message: `node "${name}" is declared twice`, hint: `also by "${keyOf.get(name)}"` });
      keyOf.set(name, key);
    }
  }
  return keyOf;
}

interface EndpointSettings { readonly node: string; readonly interface: string; readonly mac?: string; readonly ipv4?: string }

/** Links with ranges become several, all of them at one place of the file. */
function expandLinks(file: TopologyFile, problems: Problem[]): { raw: LinkFile; path: Path; endpoints: EndpointSettings[] }[] {
  return (file.topology.links ?? []).flatMap((raw, l) => {
    const path: Path = ['topology', 'links', l];
    const ends = raw.endpoints.map((e): EndpointSettings => (typeof e === 'string' ? { node: e.split(':')[0] as string, interface: e.split(':')[1] as string } : e));
    const names = orProblem(() => expandTogether(ends.flatMap((e) => [e.node, e.interface])), path, problems);
    return names.map((four) => ({ raw, path, endpoints: ends.map((e, i) => ({ ...e, node: four[i * 2] as string, interface: four[i * 2 + 1] as string })) }));
  });
}

function orProblem<T>(expand: () => T[], path: Path, problems: Problem[]): T[] {
  try {
    return expand();
  } catch (error) {
    problems.push({ path, message: (error as Error).message });
    return [];
  }
}

function checkNode(file: TopologyFile, name: string, settings: NodeSettings, problems: Problem[]): void {
  const path: Path = ['topology', 'nodes', name];
  const groups = Object.keys(file.topology.groups ?? {});
  if (settings.group && !groups.includes(settings.group)) {
    const near = suggest(settings.group, groups);
    problems.push({ path: [...path, 'group'], message: `unknown group "${settings.group}"`, hint: near ? `did you mean "${near}"?` : 'declare it under topology.groups' });
  }
  for (const key of Object.keys(settings.sysctls ?? {})) {
    if (!/^net\.[a-zA-Z0-9_./-]+$/.test(key) || key.includes('..')) {
      problems.push({ path: [...path, 'sysctls', key], atKey: true, message: `sysctl "${key}" is not one of a network namespace`, hint: 'only net.* belongs to a node; the machine\'s own settings stay as they are' });
    }
  }
}

function checkCidr(address: string, path: Path, problems: Problem[]): void {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(address);
  if (v4 && (v4.slice(1, 5).some((octet) => Number(octet) > 255) || Number(v4[5]) > 32)) {
    problems.push({ path, message: `"${address}" is not an IPv4 address with prefix length` });
  }
}

function resolveLink(raw: LinkFile, a: RawInterface, b: RawInterface): Link {
  const mtu = raw.mtu ?? 1500;
  const forward: ImpairmentFile = raw;
  const backward: ImpairmentFile = { ...raw, ...raw.reverse };
  const rttUs = oneWayUs(forward) + oneWayUs(backward);
  const ends = [{ node: a.node, interface: a.name }, { node: b.node, interface: b.name }] as const;
  return { id: `${a.node}:${a.name}--${b.node}:${b.name}`, ends, mtu, impairments: [resolveImpairment(forward, rttUs), resolveImpairment(backward, rttUs)] };
}

const oneWayUs = (i: ImpairmentFile): number => parseDurationUs(i.delay ?? '0us') + parseDurationUs(i.jitter ?? '0us');

function resolveImpairment(raw: ImpairmentFile, rttUs: number): Impairment {
  const rateBps = raw.rate === undefined || raw.rate === 'none' ? null : parseRateBps(raw.rate);
  return {
    rateBps,
    delayUs: parseDurationUs(raw.delay ?? '0us'),
    jitterUs: parseDurationUs(raw.jitter ?? '0us'),
    loss: parseFraction(raw.loss ?? '0%'),
    queueBytes: rateBps === null ? null : queueBytes(raw.queue, rateBps, rttUs),
  };
}

/** Bandwidth-delay product plus a switch port's few milliseconds, unless the file says otherwise. */
export function queueBytes(queue: string | undefined, rateBps: number, rttUs: number): number {
  if (queue === undefined) return Math.max(MIN_QUEUE_BYTES, Math.round((rateBps / 8e6) * (rttUs + QUEUE_BASE_US)));
  const [value, unit] = splitQuantity(queue);
  if (unit === 'packets') return value * 1514;
  if (/s$/.test(unit)) return Math.round((rateBps / 8e6) * parseDurationUs(queue));
  return parseSizeBytes(queue);
}

function resolveSystems(file: TopologyFile, nodes: readonly LabNode[], problems: Problem[]): System[] {
  return Object.entries(file.systems ?? {}).map(([name, system]) => {
    const written = typeof system.on === 'string' ? [system.on] : system.on;
    const on = written.flatMap((text, i) => {
      const path = ['systems', name, 'on', ...(typeof system.on === 'string' ? [] : [i])];
      const expanded = orProblem(() => expandRange(text), path, problems);
      for (const node of expanded) requireNode(node, nodes, path, problems);
      return expanded;
    });
    return { name, on, crash: system.crash ?? 'void', config: system.config ?? {} };
  });
}

function requireNode(name: string, nodes: readonly LabNode[], path: Path, problems: Problem[]): boolean {
  if (nodes.some((n) => n.name === name)) return true;
  const near = suggest(name, nodes.map((n) => n.name));
  problems.push({ path, message: `unknown node "${name}"`, ...(near ? { hint: `did you mean "${near}"?` } : {}) });
  return false;
}

function resolveTraffic(file: TopologyFile, nodes: readonly LabNode[], systems: readonly System[], problems: Problem[]): Phase[] {
  return (file.traffic ?? []).map((phase, p, all) => {
    if (all.findIndex((other) => other.phase === phase.phase) !== p) problems.push({ path: ['traffic', p, 'phase'], message: `two phases are called "${phase.phase}"` });
    const durationUs = parseDurationUs(phase.duration);
    const flows = (phase.flows ?? []).flatMap((flow, f) => expandFlow(flow, durationUs, nodes, ['traffic', p, 'flows', f], problems));
    const names = new Set<string>();
    for (const flow of flows) {
      if (names.has(flow.name)) problems.push({ path: ['traffic', p], message: `two flows are called "${flow.name}" in phase "${phase.phase}"`, hint: 'give them names' });
      names.add(flow.name);
    }
    const events = resolveEvents(phase.events ?? [], { nodes, systems, phaseUs: durationUs }, ['traffic', p, 'events'], problems);
    return { name: phase.phase, durationUs, flows, events };
  });
}

function expandFlow(flow: FlowFile, phaseUs: number, nodes: readonly LabNode[], path: Path, problems: Problem[]): Flow[] {
  const list = (value: string | string[] | undefined): string[] => orProblem(() => expandAll(value ?? []), path, problems);
  const pairs = flow.matrix
    ? list(flow.matrix).flatMap((from, _, all) => all.filter((to) => to !== from).map((to) => [from, to] as const))
    : list(flow.from).flatMap((from) => list(flow.to).map((to) => [from, to] as const));
  if (pairs.length === 0) problems.push({ path, message: 'a flow needs "from" and "to", or "matrix"' });
  const tool = flow.tool ?? 'iperf3';
  const protocol = flow.protocol ?? (tool === 'mgen' ? 'udp' : 'tcp');
  if (protocol === 'udp' && (tool === 'iperf3' || tool === 'mgen') && flow.rate === undefined) {
    problems.push({ path, message: 'a UDP flow needs a rate', hint: 'e.g. rate: 50Mbit, or several times the link for a greedy sender' });
  }
  if (tool === 'mgen' && protocol !== 'udp') problems.push({ path: [...path, 'protocol'], message: 'mgen sends UDP', hint: 'tool: iperf3 for TCP' });
  for (const key of ['burst', 'cast'] as const) {
    if (flow[key] !== undefined && tool !== 'mgen') problems.push({ path: [...path, key], atKey: true, message: `"${key}" needs tool: mgen` });
  }
  const startUs = parseDurationUs(flow.start ?? '0s');
  const durationUs = flow.duration === undefined ? phaseUs - startUs : parseDurationUs(flow.duration);
  if (startUs + durationUs > phaseUs || durationUs <= 0) problems.push({ path, message: 'the flow does not fit into its phase', hint: 'start + duration must be at most the duration of the phase' });
  if ((tool === 'iperf3' || tool === 'netperf') && durationUs % 1e6 !== 0) problems.push({ path, message: `${tool} sends for whole seconds only, not for ${formatDurationUs(durationUs)}`, hint: 'set duration, or start, so that whole seconds are left of the phase' });
  return pairs.flatMap(([from, to]) => {
    const known = requireNode(from, nodes, [...path, flow.matrix ? 'matrix' : 'from'], problems) && requireNode(to, nodes, [...path, flow.matrix ? 'matrix' : 'to'], problems);
    if (!known) return [];
    const route = routeBetween(nodes, from, to);
    if (!route) {
      problems.push({ path, message: `node "${to}" has no address that "${from}" could send to` });
      return [];
    }
    return [{
      name: flow.name === undefined ? `${from}-${to}` : pairs.length > 1 ? `${flow.name}-${from}-${to}` : flow.name,
      from, to, address: route.address, protocol, tool, startUs, durationUs,
      rateBps: flow.rate === undefined ? null : parseRateBps(flow.rate),
      parallel: flow.parallel ?? 1,
      sizeBytes: flow.size === undefined ? null : parseSizeBytes(flow.size),
      intervalUs: parseDurationUs(flow.interval ?? '10ms'),
      burst: flow.burst === undefined ? null : { everyUs: parseDurationUs(flow.burst.every), forUs: parseDurationUs(flow.burst.for) },
      multicast: flow.cast === 'multicast' ? { group: MULTICAST_GROUP, fromDevice: route.fromDevice, toDevice: route.toDevice } : null,
      congestion: flow.congestion ?? null,
    }];
  });
}

function resolveCaptures(file: TopologyFile, nodes: readonly LabNode[], variant: Readonly<Record<string, string>>, problems: Problem[]): CapturePoint[] {
  const taken = new Set<string>();
  return (file.capture ?? []).flatMap((capture, c) => {
    const [node, itf] = capture.at.split(':') as [string, string];
    const path: Path = ['capture', c, 'at'];
    if (!requireNode(node, nodes, path, problems)) return [];
    const interfaces = nodes.find((n) => n.name === node)?.interfaces.map((i) => i.name) ?? [];
    if (!interfaces.includes(itf)) problems.push({ path, message: `node "${node}" has no interface "${itf}"`, hint: `interfaces: ${interfaces.join(', ')}` });
    if (!matches(capture.when, variant)) return [];
    if (taken.has(capture.at)) problems.push({ path, message: `two captures at ${capture.at}`, hint: 'one with direction: both sees everything' });
    taken.add(capture.at);
    return [{ at: { node, interface: itf }, direction: capture.direction ?? 'both', filter: capture.filter ?? null, snapBytes: parseSizeBytes(capture.snap ?? '96B') }];
  });
}

/** The targets of this cell, each against what it needs: phase, window, flow, capture, group, unit of its bounds. */
function checkTargets(targets: readonly TargetFile[], variant: Readonly<Record<string, string>>, phases: readonly Phase[], captures: readonly CapturePoint[], nodes: readonly LabNode[], problems: Problem[]): void {
  const names = new Set<string>();
  targets.forEach((target, t) => {
    if (!matches(target.when, variant)) return;
    const path: Path = ['targets', t];
    if (names.has(target.name)) problems.push({ path: [...path, 'name'], message: `two targets of this cell are called "${target.name}"` });
    names.add(target.name);
    if (target['relative-to']?.allowance !== undefined && unitOfTarget(target) !== 'durationUs') problems.push({ path: [...path, 'relative-to', 'allowance'], message: 'an allowance is a duration, the figure is not' });
    const reference = target['relative-to']?.phase;
    if (reference !== undefined && !phases.some((p) => p.name === reference)) problems.push({ path: [...path, 'relative-to', 'phase'], message: `unknown phase "${reference}"`, hint: `phases: ${phases.map((p) => p.name).join(', ')}` });
    const phase = target.phase === undefined ? phases.at(-1) : phases.find((p) => p.name === target.phase);
    if (!phase) {
      problems.push({ path, message: target.phase === undefined ? 'a target needs traffic to judge' : `unknown phase "${target.phase}"`, hint: `phases: ${phases.map((p) => p.name).join(', ') || 'none'}` });
      return;
    }
    for (const edge of ['from', 'to'] as const) {
      const text = target[edge];
      if (text !== undefined && parseDurationUs(text) > phase.durationUs) problems.push({ path: [...path, edge], message: `the window ends after the phase "${phase.name}"` });
    }
    if ('flow' in target && !phase.flows.some((f) => f.name === target.flow)) {
      const near = suggest(target.flow, phase.flows.map((f) => f.name));
      problems.push({ path: [...path, 'flow'], message: `phase "${phase.name}" has no flow "${target.flow}"`, hint: near ? `did you mean "${near}"?` : `flows: ${phase.flows.map((f) => f.name).join(', ')}` });
    }
    if ('capture' in target && !captures.some((c) => endpointName(c.at) === target.capture)) {
      problems.push({ path: [...path, 'capture'], message: `nothing is captured at "${target.capture}" in this cell`, hint: `captures: ${captures.map((c) => endpointName(c.at)).join(', ') || 'none'}` });
    }
    if ('group' in target && !nodes.some((n) => n.interfaces.some((i) => i.labels[target.label ?? 'tenant'] === target.group))) {
      problems.push({ path: [...path, 'group'], message: `no interface is labelled ${target.label ?? 'tenant'}=${target.group}` });
    }
    checkBounds(target, path, problems);
  });
}

const BOUND_FORMS: Readonly<Record<Unit, readonly [pattern: string, expectation: string]>> = {
  durationUs: [DURATION_PATTERN, 'a duration such as "50ms"'],
  rate: [RATE_PATTERN, 'a rate such as "45Mbit"'],
  fraction: [PERCENT_PATTERN, 'a percentage such as "95%"'],
  count: ['^[0-9]+$', 'a whole number such as "0"'],
};

/** What the figure of a target is: a bound of another unit would be compared all the same, and mean nothing. */
function checkBounds(target: TargetFile, path: Path, problems: Problem[]): void {
  if (target.check === 'reachability') return;
  if (target['at-least'] === undefined && target['at-most'] === undefined) problems.push({ path, message: 'a target needs "at-least" or "at-most"' });
  const [pattern, expectation] = BOUND_FORMS[target['relative-to'] === undefined ? unitOfTarget(target) : 'fraction'];
  for (const side of ['at-least', 'at-most'] as const) {
    const text = target[side];
    if (text !== undefined && !new RegExp(pattern).test(String(text))) problems.push({ path: [...path, side], message: `expected ${expectation}, found "${text}"` });
  }
}

/** "70%" of the capacity or "70Mbit" as bit/s. */
export const parseRateOf = (text: string, capacityBps: number): number => (text.trim().endsWith('%') ? parseFraction(text) * capacityBps : parseRateBps(text));

export function describeImpairment(i: Impairment): string {
  const parts = [
    i.rateBps === null ? '' : formatRate(i.rateBps),
    i.delayUs > 0 ? `${i.delayUs / 1000}ms` : '',
    i.jitterUs > 0 ? `±${i.jitterUs / 1000}ms` : '',
    i.loss > 0 ? `${i.loss * 100}% loss` : '',
  ];
  return parts.filter(Boolean).join(' ') || 'no limits';
}
