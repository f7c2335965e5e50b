/** Nodes and links of a file to the fabric: settings inherited, ranges expanded, addresses and queues assigned. Pure. */
import { formatRate, parseDurationUs, parseFraction, parseRateBps, parseSizeBytes, splitQuantity } from '../core/units.ts';
import { isName } from '../core/names.ts';
import { assignAddresses, isSwitchKind, macFor, segmentsOf, type RawInterface } from './addressing.ts';
import { Allowance, MAX_LINKS, MAX_NODES, tooMany } from './bounds.ts';
import { addressProblem, deviceProblem, impairmentProblems, macProblem, parseCidr, ringOf, switchDeviceProblem } from './kernelrules.ts';
import type { Fabric, Impairment, LabNode, Link } from './model.ts';
import type { Findings, Path, Problem } from '../core/config/problems.ts';
import { expandRange, expandTogether } from '../core/config/ranges.ts';
import { orProblem } from './references.ts';
import type { ImpairmentFile, LinkFile, NodeSettings, TopologyFile } from './schema.ts';
import { listed, suggest } from '../core/config/validate.ts';

/** Smallest queue: a handful of full frames, so that a slow link still absorbs a burst. */
const MIN_QUEUE_BYTES = 16 * 1514;
/** Queueing time in front of a rate limit beyond the round trip: a switch port's few milliseconds. */
const QUEUE_BASE_US = 5000;

/** containerlab's precedence: node over group over kind over defaults; mappings merge, the rest replaces. */
function effectiveSettings(file: TopologyFile, key: string): NodeSettings {
  const { defaults, kinds, groups, nodes } = file.topology;
  const own = nodes[key] ?? {};
  const group = own.group ?? defaults?.group;
  const kind = own.kind ?? (group ? groups?.[group]?.kind : undefined) ?? defaults?.kind ?? 'linux';
  const layers: NodeSettings[] = [defaults ?? {}, kinds?.[kind] ?? {}, group ? (groups?.[group] ?? {}) : {}, own, { kind }];
  const merged: Record<string, unknown> = {};
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer)) {
      const before = merged[key];
      const mergeable = ['labels', 'sysctls', 'env', 'interfaces', 'place'].includes(key) && before !== undefined;
      merged[key] = mergeable ? { ...(before as object), ...(value as object) } : value;
    }
  }
  return merged;
}

/** containerlab's words for containers; memory as Docker writes it ("512Mb"). */
function containerSettings({ image, env, memory, cpu, privileged }: NodeSettings): LabNode['container'] {
  return {
    image: image ?? null,
    env: Object.fromEntries(Object.entries(env ?? {}).map(([key, value]) => [key, String(value)])),
    memoryBytes: memory === undefined ? null : parseSizeBytes(memory),
    cpus: cpu ?? null,
    ...(privileged ? { privileged } : {}),
  };
}

interface Raw extends RawInterface {
  readonly mac: string | undefined;
  readonly mtu: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Its switch forwards between its ports by itself. */
  readonly bridged: boolean;
}

interface RawLink {
  readonly ends: readonly [number, number];
  readonly raw: LinkFile;
  readonly path: Path;
}

export function resolveFabric(file: TopologyFile, labName: string, { problems, warnings }: Findings): Fabric {
  const keyOf = nodeKeys(file, problems);
  const settingsOfKey = new Map(Object.keys(file.topology.nodes).map((key) => [key, effectiveSettings(file, key)]));
  const settings = new Map([...keyOf].map(([name, key]) => [name, settingsOfKey.get(key) as NodeSettings]));
  for (const [key, own] of settingsOfKey) checkNode(file, key, own, problems);
  const { raws, links } = resolveEnds(file, settings, problems);
  checkInterfaces(file, raws, problems);
  const segments = segmentsOf(raws, links);
  const addresses = assignAddresses(raws, segments);
  checkTwins(raws, segments, addresses, links, problems);
  const ring = ringOf(raws, links);
  if (ring)
    problems.push({
      path: ring.path,
      message: `this link closes a ring of switches: ${ring.ends.map((i) => raws[i]?.node).join(' and ')} are joined already`,
      hint: 'nothing runs a spanning tree: leave a link out, or let an agent say what an ovs-bridge forwards (separate: true)',
    });
  warnings.push(...mtuWarnings(raws, segments, links));
  const own = Map.groupBy(raws.keys(), (i) => raws[i]?.node as string);
  const nodes = [...settings].map(([name, s]): LabNode => ({
    name,
    kind: s.kind ?? 'linux',
    separate: s.separate ?? false,
    labels: s.labels ?? {},
    sysctls: Object.fromEntries(Object.entries(s.sysctls ?? {}).map(([k, v]) => [k, String(v)])),
    exec: (s.exec ?? []).map((line) => line.trim().split(/\s+/)),
    place: s.place ?? {},
    needs: s.needs ?? [],
    container: containerSettings(s),
    interfaces: (own.get(name) ?? []).map((i) => {
      const raw = raws[i] as Raw;
      return {
        name: raw.name,
        mac: raw.mac ?? macFor(labName, i + 1),
        addresses: addresses[i] as string[],
        port: raw.port,
        mtu: raw.mtu,
        segment: segments[i] as number,
        labels: raw.labels,
      };
    }),
  }));
  return { nodes, links: links.map(({ ends, raw }) => resolveLink(raw, raws[ends[0]] as RawInterface, raws[ends[1]] as RawInterface)) };
}

/** Both ends of every link: interfaces, each of its own, of nodes that there are. */
function resolveEnds(
  file: TopologyFile,
  settings: ReadonlyMap<string, NodeSettings>,
  problems: Problem[],
): { raws: readonly Raw[]; links: readonly RawLink[] } {
  const raws: Raw[] = [];
  const links: RawLink[] = [];
  const taken = new Set<string>();
  for (const { raw, path, endpoints } of expandLinks(file, problems)) {
    const ends = endpoints.map((parsed, e) => {
      const where = [...path, 'endpoints', e];
      const node = settings.get(parsed.node);
      if (!node) {
        const near = suggest(parsed.node, [...settings.keys()]);
        problems.push({
          path: where,
          message: `link to unknown node "${parsed.node}"`,
          hint: near ? `did you mean "${near}"?` : `nodes: ${listed([...settings.keys()])}`,
        });
        return -1;
      }
      const onSwitch = isSwitchKind(node.kind ?? 'linux');
      const wrong = deviceProblem(parsed.interface, where) ?? (onSwitch ? switchDeviceProblem(parsed.interface, where) : null);
      if (wrong) {
        problems.push(wrong);
        return -1;
      }
      const key = `${parsed.node}:${parsed.interface}`;
      if (taken.has(key)) {
        problems.push({
          path: where,
          message: `endpoint ${key} is used by two links`,
          hint: 'give every link end an interface of its own',
        });
        return -1;
      }
      taken.add(key);
      const own = node.interfaces?.[parsed.interface];
      const address = parsed.ipv4 ?? own?.address;
      const mac = (parsed.mac ?? own?.mac)?.toLowerCase();
      const mtu = raw.mtu ?? 1500;
      const port = onSwitch && (address === undefined || address === 'none');
      const separate = node.separate ?? false;
      const unfit = [
        address === undefined || address === 'auto' || address === 'none' ? null : addressProblem(address, mtu, where),
        mac === undefined ? null : macProblem(mac, where),
      ].filter((problem) => problem !== null);
      problems.push(...unfit);
      const labels = { ...node.labels, ...raw.labels };
      raws.push({ node: parsed.node, name: parsed.interface, address, port, separate, mac, mtu, labels, bridged: port && !separate });
      return raws.length - 1;
    });
    const [a, b] = ends as [number, number];
    if (a >= 0 && b >= 0) links.push({ ends: [a, b], raw, path });
  }
  return { raws, links };
}

/** Settings of interfaces that no link has. */
function checkInterfaces({ topology }: TopologyFile, raws: readonly Raw[], problems: Problem[]): void {
  const there = new Set(raws.map((raw) => `${raw.node}:${raw.name}`));
  for (const [key, node] of Object.entries(topology.nodes)) {
    const settings = Object.keys(node?.interfaces ?? {});
    const names = settings.length === 0 ? [] : orProblem(() => expandRange(key), ['topology', 'nodes', key], problems);
    for (const itf of settings) {
      const bare = names.find((name) => !there.has(`${name}:${itf}`));
      if (bare !== undefined)
        problems.push({ path: ['topology', 'nodes', key, 'interfaces', itf], atKey: true, message: `no link ends at ${bare}:${itf}` });
    }
  }
}

/** One MAC twice in the lab, or one address at two nodes of a segment. */
function checkTwins(
  raws: readonly Raw[],
  segments: readonly number[],
  addresses: readonly (readonly string[])[],
  links: readonly RawLink[],
  problems: Problem[],
): void {
  const pathOf = new Map(links.flatMap(({ ends, path }) => ends.map((end) => [end, path] as const)));
  const first = new Map<string, number>();
  const check = (i: number, key: string, what: string, allowed: (other: Raw) => boolean): void => {
    const twin = first.get(key);
    first.set(key, twin ?? i);
    const [own, other] = [raws[i] as Raw, raws[twin ?? i] as Raw];
    if (twin === undefined || allowed(other)) return;
    problems.push({
      path: pathOf.get(i) ?? ['topology', 'links'],
      message: `${other.node}:${other.name} and ${own.node}:${own.name} have the same ${what}`,
    });
  };
  for (const [i, raw] of raws.entries()) {
    if (raw.mac !== undefined) check(i, `mac ${raw.mac}`, `MAC ${raw.mac}`, () => false);
    for (const text of addresses[i] ?? []) {
      const address = parseCidr(text)?.address ?? text;
      check(i, `${segments[i]} ${address}`, `address ${address}`, (other) => other.node === raw.node);
    }
  }
}

/** Frames larger than the smallest MTU of a segment vanish in it: nothing there can say so. */
function mtuWarnings(raws: readonly Raw[], segments: readonly number[], links: readonly RawLink[]): Problem[] {
  const least = new Map<number, Raw>();
  raws.forEach((raw, i) => {
    const before = least.get(segments[i] as number);
    if (!before || raw.mtu < before.mtu) least.set(segments[i] as number, raw);
  });
  const warned = new Set<number>();
  return links.flatMap(({ ends, path, raw }) => {
    const segment = segments[ends[0]] as number;
    const smallest = least.get(segment) as Raw;
    if ((raw.mtu ?? 1500) <= smallest.mtu || warned.has(segment)) return [];
    warned.add(segment);
    return [
      {
        path,
        message: `an MTU of ${raw.mtu ?? 1500} in the segment of ${smallest.node}:${smallest.name}, which has ${smallest.mtu}: larger frames vanish there without a word`,
        hint: 'give all links of a segment one MTU, or put a router between',
      },
    ];
  });
}

/** Every node to the key that declares it: its name, or a range. */
function nodeKeys(file: TopologyFile, problems: Problem[]): Map<string, string> {
  const keyOf = new Map<string, string>();
  for (const key of Object.keys(file.topology.nodes)) {
    const path: Path = ['topology', 'nodes', key];
    for (const name of orProblem(() => expandRange(key), path, problems)) {
      if (keyOf.has(name))
        problems.push({ path, atKey: true, message: `node "${name}" is declared twice`, hint: `also by "${keyOf.get(name)}"` });
      else if (!isName(name))
        problems.push({ path, atKey: true, message: `"${name}" is longer than a name of a node may be: 32 characters` });
      keyOf.set(name, key);
    }
  }
  const problem = tooMany(keyOf.size, MAX_NODES, 'nodes', ['topology', 'nodes']);
  if (problem) problems.push(problem);
  return keyOf;
}

interface EndpointSettings {
  readonly node: string;
  readonly interface: string;
  readonly mac?: string;
  readonly ipv4?: string;
}

/** Links with ranges become several, all of them at one place of the file. */
function expandLinks(file: TopologyFile, problems: Problem[]): { raw: LinkFile; path: Path; endpoints: EndpointSettings[] }[] {
  const left = new Allowance(MAX_LINKS, 'links');
  return (file.topology.links ?? []).flatMap((raw, l) => {
    const path: Path = ['topology', 'links', l];
    problems.push(...impairmentProblems(raw, path));
    if (raw.reverse) problems.push(...impairmentProblems({ ...raw, ...raw.reverse }, [...path, 'reverse']));
    const ends = raw.endpoints.map((e): EndpointSettings =>
      typeof e === 'string' ? { node: e.split(':')[0] as string, interface: e.split(':')[1] as string } : e,
    );
    const names = orProblem(() => expandTogether(ends.flatMap((e) => [e.node, e.interface])), path, problems);
    if (!left.take(names.length, path, problems)) return [];
    return names.map((four) => ({
      raw,
      path,
      endpoints: ends.map((e, i) => ({ ...e, node: four[i * 2] as string, interface: four[i * 2 + 1] as string })),
    }));
  });
}

function checkNode(file: TopologyFile, name: string, settings: NodeSettings, problems: Problem[]): void {
  const path: Path = ['topology', 'nodes', name];
  const groups = Object.keys(file.topology.groups ?? {});
  if (settings.group && !groups.includes(settings.group)) {
    const near = suggest(settings.group, groups);
    problems.push({
      path: [...path, 'group'],
      message: `unknown group "${settings.group}"`,
      hint: near ? `did you mean "${near}"?` : 'declare it under topology.groups',
    });
  }
  for (const key of Object.keys(settings.sysctls ?? {})) {
    if (!/^net\.[a-zA-Z0-9_./-]+$/.test(key) || key.includes('..')) {
      problems.push({
        path: [...path, 'sysctls', key],
        atKey: true,
        message: `sysctl "${key}" is not one of a network namespace`,
        hint: "only net.* belongs to a node; the machine's own settings stay as they are",
      });
    }
  }
}

function resolveLink(raw: LinkFile, a: RawInterface, b: RawInterface): Link {
  const mtu = raw.mtu ?? 1500;
  const forward: ImpairmentFile = raw;
  const backward: ImpairmentFile = { ...raw, ...raw.reverse };
  const rttUs = oneWayUs(forward) + oneWayUs(backward);
  const ends = [
    { node: a.node, interface: a.name },
    { node: b.node, interface: b.name },
  ] as const;
  return {
    id: `${a.node}:${a.name}--${b.node}:${b.name}`,
    ends,
    mtu,
    impairments: [resolveImpairment(forward, rttUs), resolveImpairment(backward, rttUs)],
  };
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

export function describeImpairment(i: Impairment): string {
  const parts = [
    i.rateBps === null ? '' : formatRate(i.rateBps),
    i.delayUs > 0 ? `${i.delayUs / 1000}ms` : '',
    i.jitterUs > 0 ? `±${i.jitterUs / 1000}ms` : '',
    i.loss > 0 ? `${i.loss * 100}% loss` : '',
  ];
  return parts.filter(Boolean).join(' ') || 'no limits';
}
