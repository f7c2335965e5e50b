/** What PoPs did with connections and packets, held against what was asked of them. Pure. */
import { quantileOf } from '../../../src/checks/statistics.ts';
import type { Window } from '../../../src/checks/check.ts';
import { opensConnection } from '../../lib/ip.ts';
import { flowOf, identityOf, type SeenPacket } from './packets.ts';
import type { Connection, LoadPoint, PolicyChange, TableDump, Timeline } from './evidence.ts';

/** Connections that were alive at any time of the window. */
export const aliveIn = (connections: readonly Connection[], { fromUs, toUs }: Window): Connection[] =>
  connections.filter((c) => c.startedUs < toUs && c.endedUs >= fromUs);
export const startedIn = (connections: readonly Connection[], { fromUs, toUs }: Window): Connection[] =>
  connections.filter((c) => c.startedUs >= fromUs && c.startedUs < toUs);

/** How far a share is from its policy, in standard deviations of the binomial. */
export function sigmas(count: number, of: number, policy: number): number {
  return of === 0 ? Infinity : Math.abs(count / of - policy) / Math.sqrt((policy * (1 - policy)) / of);
}

/** R3-14: requests whose client, as the server saw it, made no connection then. */
export function wrongSources({ accesses, connections }: Pick<Timeline, 'accesses' | 'connections'>, { fromUs, toUs }: Window): number {
  const lives = Map.groupBy(connections, (c) => c.end);
  /** nginx dates by the millisecond, and writes when it is done. */
  const slackUs = 5000;
  return accesses.filter(
    (a) =>
      a.atUs >= fromUs &&
      a.atUs < toUs &&
      !lives.get(a.end)?.some((c) => a.atUs >= c.startedUs - slackUs && a.atUs <= c.endedUs + slackUs && c.servers.includes(a.server)),
  ).length;
}

/** R3-39: bodies that differ from the most frequent one of the service. */
export function differing(connections: readonly Connection[]): number {
  return [
    ...Map.groupBy(
      connections.filter((c) => c.fate === 'ok'),
      (c) => c.service,
    ).values(),
  ].reduce((sum, own) => {
    const counts = [...Map.groupBy(own, (c) => c.hash).values()].map((same) => same.length);
    return sum + own.length - Math.max(...counts);
  }, 0);
}

/**
 * R3-30, R3-31: from when a policy was sent that gives a PoP more, or from an event, until the first new connection
 * there; the longest. undefined: there was none.
 */
export function reaction(
  policies: readonly PolicyChange[],
  connections: readonly Connection[],
  pop: string,
  { fromUs, toUs }: Window,
  eventUs?: number,
): number | undefined {
  const firstAfter = (us: number): number => (connections.find((c) => c.startedUs >= us && c.pops[0] === pop)?.startedUs ?? Infinity) - us;
  if (eventUs !== undefined) return firstAfter(eventUs);
  const given = (p: PolicyChange): number =>
    Object.values(p.policies)
      .flatMap((services) => Object.values(services))
      .reduce((sum, shares) => sum + (shares[pop] ?? 0), 0);
  const waits = policies.flatMap((p, i) => {
    if (p.sentUs < fromUs || p.sentUs >= toUs || given(p) <= (i > 0 ? given(policies[i - 1]!) : 0)) return [];
    return [firstAfter(p.sentUs)];
  });
  return waits.length === 0 ? undefined : Math.max(...waits);
}

/** R3-19: entries that were changed beyond those that had to be, from one dump of a PoP's tables to the next. */
export function redundantChanges(dumps: readonly TableDump[], slots: number): number {
  let excess = 0;
  for (const [i, dump] of dumps.entries()) {
    for (const [service, after] of Object.entries(dump.tables)) {
      const before = dumps[i - 1]?.tables[service] ?? new Array<string>(slots).fill('');
      const count = (table: readonly string[], pop: string) => table.filter((p) => p === pop).length;
      const grown = [...new Set([...before, ...after])].reduce((sum, pop) => sum + Math.max(0, count(after, pop) - count(before, pop)), 0);
      excess += after.filter((pop, slot) => pop !== before[slot]).length - grown;
    }
  }
  return excess;
}

/** Entries that were changed, from one dump to the next. */
export const modifications = (dumps: readonly TableDump[], before: TableDump | undefined, slots: number): number =>
  dumps.reduce((sum, dump, i) => {
    const last = dumps[i - 1] ?? before;
    return (
      sum +
      Object.entries(dump.tables).reduce(
        (n, [service, after]) =>
          n + after.filter((to, slot) => to !== (last?.tables[service] ?? new Array<string>(slots).fill(''))[slot]).length,
        0,
      )
    );
  }, 0);

/** R3-20: entries that were changed although one that pointed to the same PoP, and still does, had been changed longer ago. */
export function prematureChanges(dumps: readonly TableDump[], slots: number): number {
  let violations = 0;
  for (const service of new Set(dumps.flatMap((d) => Object.keys(d.tables)))) {
    const modified = new Array<number>(slots).fill(-1);
    let before = new Array<string>(slots).fill('');
    for (const [version, dump] of dumps.entries()) {
      const after = dump.tables[service] ?? before;
      const oldest = new Map<string, number>();
      for (const [slot, to] of after.entries())
        if (to === before[slot]) oldest.set(to, Math.min(oldest.get(to) ?? Infinity, modified[slot]!));
      const changed = [...after.keys()].filter((slot) => after[slot] !== before[slot]);
      violations += changed.filter((slot) => modified[slot]! > (oldest.get(before[slot]!) ?? Infinity)).length;
      for (const slot of changed) modified[slot] = version;
      before = [...after];
    }
  }
  return violations;
}

/** Load of a PoP, as the mean of its servers, an interval at a time. */
export function loadSeries(
  loads: readonly LoadPoint[],
  pop: string,
  intervalUs: number,
): { readonly atUs: number; readonly load: number }[] {
  const own = Map.groupBy(
    loads.filter((l) => l.pop === pop),
    (l) => Math.floor(l.atUs / intervalUs),
  );
  return [...own]
    .sort(([a], [b]) => a - b)
    .map(([i, points]) => ({ atUs: (i + 1) * intervalUs, load: points.reduce((sum, p) => sum + p.load, 0) / points.length }));
}

/** A measured load scatters: this part of the intervals that follow must keep the limit. */
const KEPT = 0.8;

/** Control intervals from the first one above a limit until the load keeps it. undefined: it was never above. Infinity: it does not. */
export function settling(
  series: readonly { readonly atUs: number; readonly load: number }[],
  fromUs: number,
  limit: number,
): number | undefined {
  const after = series.filter((s) => s.atUs >= fromUs);
  const onset = after.findIndex((s) => s.load > limit);
  if (onset < 0) return undefined;
  for (let i = onset + 1; i < after.length; i++) {
    const rest = after.slice(i);
    if (rest[0]!.load <= limit && rest.filter((s) => s.load <= limit).length >= KEPT * rest.length) return i - onset;
  }
  return Infinity;
}

/** Turns of what a PoP sheds in a window, from more to less or back: one that settles has none. It begins with what it shed before. */
export function turns(policies: readonly PolicyChange[], pop: string, { fromUs, toUs }: Window): number {
  const total = (p: PolicyChange): number[] =>
    p.policies[pop] === undefined
      ? []
      : [
          Object.values(p.policies[pop])
            .map((shares) => Object.values(shares).reduce((a, b) => a + b, 0))
            .reduce((a, b) => Math.max(a, b), 0),
        ];
  const totals = [
    policies
      .filter((p) => p.sentUs < fromUs)
      .flatMap(total)
      .at(-1) ?? 0,
    ...policies.filter((p) => p.sentUs >= fromUs && p.sentUs < toUs).flatMap(total),
  ];
  const signs = totals
    .slice(1)
    .map((t, i) => Math.sign(t - totals[i]!))
    .filter((s) => s !== 0);
  return signs.slice(1).filter((s, i) => s !== signs[i]).length;
}

const isTunnelled = (p: SeenPacket): boolean => p.kind === 'gre' || p.kind === 'gue';

/** R3-21, R3-22: packets that went through more than one tunnel. */
export function relayed(points: readonly (readonly SeenPacket[])[]): number {
  const tunnels = new Map<string, Set<string>>();
  for (const p of points.flat()) {
    if (!isTunnelled(p)) continue;
    const id = identityOf(p.inner);
    const own = tunnels.get(id) ?? new Set<string>();
    tunnels.set(id, own.add(`${p.from} ${p.to}`));
  }
  return [...tunnels.values()].filter((own) => own.size > 1).length;
}

/** R3-9: packets of clients that are not the same in a tunnel or a first hop as they came; those of known flows that never came, too. */
export function altered(points: readonly (readonly SeenPacket[])[], services: ReadonlySet<string>): { altered: number; compared: number } {
  const plain = new Map<string, Buffer>();
  const flows = new Set<string>();
  const all = points.flat();
  for (const p of all) {
    if (p.kind !== 'plain' || !services.has(p.inner.destination)) continue;
    plain.set(identityOf(p.inner), p.inner.bytes);
    flows.add(flowOf(p.inner));
  }
  let [different, compared] = [0, 0];
  for (const p of all) {
    if (p.kind === 'plain' || !flows.has(flowOf(p.inner))) continue;
    compared += 1;
    const original = plain.get(identityOf(p.inner));
    const length = Math.min(original?.length ?? 0, p.inner.bytes.length);
    if (!original || !original.subarray(0, length).equals(p.inner.bytes.subarray(0, length))) different += 1;
  }
  return { altered: different, compared };
}

/** R3-10: connections that more than one PoP answered, or got packets of by tunnel. */
export function split(
  packets: readonly SeenPacket[],
  { connections, nodes, services }: Pick<Timeline, 'connections' | 'nodes' | 'services'>,
): number {
  const popOf = new Map(nodes.filter((n) => n.role === 'edge').map((n) => [n.address, n.pop ?? '']));
  const address = new Map(services.map((s) => [s.name, s.address]));
  const lives = Map.groupBy(connections, (c) => `${c.end} ${address.get(c.service)}:80 6`);
  const pops = new Map<Connection, Set<string>>();
  for (const p of packets) {
    const own = isTunnelled(p) ? lives.get(flowOf(p.inner))?.find((c) => isDuring(p, c)) : undefined;
    if (own) pops.set(own, (pops.get(own) ?? new Set<string>(own.pops)).add(popOf.get(p.to ?? '') ?? ''));
  }
  return [...pops.values()].filter((seen) => seen.size > 1).length;
}

/** R3-8: tunnels of another kind than configured, or between others than edges. */
export function malformed(packets: readonly SeenPacket[], { nodes }: Pick<Timeline, 'nodes'>, encapsulation: 'gre' | 'gue'): number {
  const edges = new Set(nodes.filter((n) => n.role === 'edge').map((n) => n.address));
  return packets.filter((p) => isTunnelled(p) && (p.kind !== encapsulation || !edges.has(p.from ?? '') || !edges.has(p.to ?? ''))).length;
}

/** Ports are used again: a packet belongs to the connection that lived when it was sent. Clients date by the millisecond. */
const isDuring = (p: SeenPacket, c: Connection): boolean => p.atUs >= c.startedUs - 1000 && p.atUs <= c.endedUs + 1000;

/** Packets in tunnels to another PoP than the one that serves their connection: the mis-steered ones. */
export function misdelivered(
  packets: readonly SeenPacket[],
  { connections, nodes, services }: Pick<Timeline, 'connections' | 'nodes' | 'services'>,
): number {
  const popOf = new Map(nodes.filter((n) => n.role === 'edge').map((n) => [n.address, n.pop]));
  const address = new Map(services.map((s) => [s.name, s.address]));
  const lives = Map.groupBy(connections, (c) => `${c.end} ${address.get(c.service)}:80 6`);
  return packets.filter((p) => {
    if (!isTunnelled(p)) return false;
    const own = lives.get(flowOf(p.inner))?.find((c) => isDuring(p, c));
    return own !== undefined && own.pops[0] !== undefined && popOf.get(p.to ?? '') !== own.pops[0];
  }).length;
}

/** R3-12: replies at a place that were served elsewhere, in a tunnel or not. */
export function indirect(
  packets: readonly SeenPacket[],
  { connections, services }: Pick<Timeline, 'connections' | 'services'>,
  pop: string,
): number {
  const anycast = new Set(services.map((s) => s.address));
  const lives = Map.groupBy(connections, (c) => c.end);
  return packets.filter((p) => {
    if (!anycast.has(p.inner.source)) return false;
    const own = lives.get(`${p.inner.destination}:${p.inner.destinationPort}`)?.find((c) => isDuring(p, c));
    return own !== undefined && own.pops.length > 0 && !own.pops.includes(pop);
  }).length;
}

/** Medians of first answers: of a PoP's connections, less what others take. */
export function addedUs(connections: readonly Connection[], pop: string, beside: string): number[] {
  const at = (name: string): number[] => connections.filter((c) => c.fate === 'ok' && c.pops[0] === name).map((c) => c.firstUs);
  const base = quantileOf(at(beside), 0.5);
  return at(pop).map((us) => us - base);
}

/** R3-29: PoPs that an answer leaves out, or whose servers it tells less of than load and, where they served, latency. */
export function incomplete({ feedback, pops }: Pick<Timeline, 'feedback' | 'pops'>): number {
  return feedback.reduce(
    (sum, answer) =>
      sum +
      pops.filter(({ name, servers }) => {
        const told = answer[name]?.servers ?? {};
        return servers.some(
          (server) =>
            !told[server] || !Number.isFinite(told[server].load) || (told[server].requests > 0 && told[server].latencyMs === null),
        );
      }).length,
    0,
  );
}

/** R3-38: entries that an answer told otherwise than the tables had them. */
export function wrongAnswers({ answers, tables }: Pick<Timeline, 'answers' | 'tables'>): number {
  return answers.reduce(
    (sum, { atUs, entries }) =>
      sum +
      Object.entries(entries).reduce((own, [pop, services]) => {
        const dump = tables.filter((t) => t.pop === pop && t.atUs <= atUs).at(-1);
        return (
          own +
          Object.entries(services).reduce(
            (n, [service, counts]) =>
              n +
              Object.entries(counts).reduce(
                (m, [to, count]) =>
                  m + (dump ? Math.abs(count - (dump.tables[service] ?? []).filter((t) => t === to).length) : to === '' ? 0 : count),
                0,
              ),
            0,
          )
        );
      }, 0),
    0,
  );
}

/**
 * R3-35: how far any server's part of a PoP's connections is from an equal part, in standard deviations; undefined:
 * there is one server at most.
 */
export function uneven(connections: readonly Connection[], servers: readonly string[], pop: string): number | undefined {
  if (servers.length < 2) return undefined;
  const own = connections.filter((c) => c.pops[0] === pop);
  return Math.max(...servers.map((server) => sigmas(own.filter((c) => c.servers[0] === server).length, own.length, 1 / servers.length)));
}

/**
 * R3-38: at an edge, the parts of new flows of each service that leave in tunnels to each other PoP, held against the last
 * answer's parts of its table; the farthest, in standard deviations. undefined: there is nothing to compare.
 */
export function untrue(
  packets: readonly SeenPacket[],
  { answers, nodes, services, slots }: Pick<Timeline, 'answers' | 'nodes' | 'services' | 'slots'>,
  pop: string,
): number | undefined {
  const told = answers.at(-1)?.entries[pop];
  if (!told) return undefined;
  const popOf = new Map(nodes.filter((n) => n.role === 'edge').map((n) => [n.address, n.pop ?? '']));
  const distances = services.flatMap(({ name, address }) => {
    const begun = packets.filter((p) => p.inner.destination === address && opensConnection(p.inner.flags));
    const flows = new Set(begun.filter((p) => p.kind === 'plain').map((p) => flowOf(p.inner)));
    const tunnelled = Map.groupBy(
      begun.filter((p) => isTunnelled(p) && flows.has(flowOf(p.inner))),
      (p) => popOf.get(p.to ?? '') ?? '',
    );
    return flows.size === 0
      ? []
      : [...new Set(popOf.values())]
          .filter((to) => to !== pop)
          .map((to) => {
            const [seen, part] = [new Set((tunnelled.get(to) ?? []).map((p) => flowOf(p.inner))).size, (told[name]?.[to] ?? 0) / slots];
            // Where no flow may go, one that does is infinitely far.
            return seen === part * flows.size ? 0 : sigmas(seen, flows.size, part);
          });
  });
  return distances.length === 0 ? undefined : Math.max(...distances);
}
