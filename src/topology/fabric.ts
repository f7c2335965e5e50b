/** Nodes and links of a file to the fabric: settings inherited, ranges expanded, addresses and queues assigned. Pure. */
import { formatRate, parseDurationUs, parseFraction, parseRateBps, parseSizeBytes, splitQuantity } from '../core/units.ts';
import { assignAddresses, isSwitchKind, macFor, segmentsOf, type RawInterface } from './addressing.ts';
import type { Fabric, Impairment, LabNode, Link } from './model.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import { expandRange, expandTogether } from '../core/config/ranges.ts';
import { orProblem } from './references.ts';
import type { ImpairmentFile, LinkFile, NodeSettings, TopologyFile } from './schema.ts';
import { suggest } from '../core/config/validate.ts';

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

export function resolveFabric(file: TopologyFile, labName: string, problems: Problem[]): Fabric {
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
        problems.push({
          path: where,
          message: `link to unknown node "${parsed.node}"`,
          hint: near ? `did you mean "${near}"?` : `nodes: ${names.join(', ')}`,
        });
        return -1;
      }
      const key = `${parsed.node}:${parsed.interface}`;
      if (parsed.interface === 'lo' || seen.has(key)) {
        problems.push({
          path: where,
          message: parsed.interface === 'lo' ? '"lo" is the loopback interface' : `endpoint ${key} is used by two links`,
          hint: 'give every link end an interface of its own',
        });
        return -1;
      }
      const own = node.interfaces?.[parsed.interface];
      const address = ('ipv4' in parsed ? parsed.ipv4 : undefined) ?? own?.address;
      const isPort = isSwitchKind(node.kind ?? 'linux') && (address === undefined || address === 'none');
      if (address !== undefined) checkCidr(address, where, problems);
      seen.set(key, raws.length);
      raws.push({
        node: parsed.node,
        name: parsed.interface,
        address,
        port: isPort,
        separate: node.separate ?? false,
        mac: ('mac' in parsed ? parsed.mac : undefined)?.toLowerCase() ?? own?.mac?.toLowerCase(),
        mtu: raw.mtu ?? 1500,
        labels: { ...node.labels, ...raw.labels },
      });
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
  for (const [index, raw] of raws.entries()) {
    const twin = raws.findIndex(
      (other, o) =>
        (raw.mac !== undefined && other.mac === raw.mac) ||
        (raw.address?.includes('/') === true &&
          other.address === raw.address &&
          other.node !== raw.node &&
          segments[o] === segments[index]),
    );
    if (twin >= 0 && twin < index)
      problems.push({
        path: ['topology', 'links'],
        message: `${raws[twin]?.node}:${raws[twin]?.name} and ${raw.node}:${raw.name} have the same ${raw.mac !== undefined && raws[twin]?.mac === raw.mac ? `MAC ${raw.mac}` : `address ${raw.address}`}`,
      });
  }
  const addresses = assignAddresses(raws, segments);
  const nodes = names.map((name): LabNode => {
    const s = settings.get(name) as NodeSettings;
    return {
      name,
      kind: s.kind ?? 'linux',
      separate: s.separate ?? false,
      labels: s.labels ?? {},
      sysctls: Object.fromEntries(Object.entries(s.sysctls ?? {}).map(([k, v]) => [k, String(v)])),
      exec: (s.exec ?? []).map((line) => line.trim().split(/\s+/)),
      place: settings.get(name)?.place ?? {},
      needs: settings.get(name)?.needs ?? [],
      container: containerSettings(settings.get(name) ?? {}),
      interfaces: raws.flatMap((raw, i) =>
        raw.node === name
          ? [
              {
                name: raw.name,
                mac: raw.mac ?? macFor(labName, i + 1),
                addresses: addresses[i] as string[],
                port: raw.port,
                mtu: raw.mtu,
                segment: segments[i] as number,
                labels: raw.labels,
              },
            ]
          : [],
      ),
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
      if (keyOf.has(name))
        problems.push({ path, atKey: true, message: `node "${name}" is declared twice`, hint: `also by "${keyOf.get(name)}"` });
      keyOf.set(name, key);
    }
  }
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
  return (file.topology.links ?? []).flatMap((raw, l) => {
    const path: Path = ['topology', 'links', l];
    const ends = raw.endpoints.map((e): EndpointSettings =>
      typeof e === 'string' ? { node: e.split(':')[0] as string, interface: e.split(':')[1] as string } : e,
    );
    const names = orProblem(() => expandTogether(ends.flatMap((e) => [e.node, e.interface])), path, problems);
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
