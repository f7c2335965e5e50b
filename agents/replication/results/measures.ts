/** What nodes did, held against what they were told. Pure. */
import type { Message, Timeline } from './evidence.ts';
import type { ConsumerMetrics } from '../protocol.ts';
import { deviationOf } from '../routing/latencies.ts';
import type { Passage, Passages } from './wire.ts';

/** Directive of a graph that ruled a node in an epoch: its last one until then. */
function ruling({ directives }: Timeline, graph: number, epoch: number, node: string) {
  return directives.filter((d) => d.graph === graph && d.epoch <= epoch && d.destinations[node]).at(-1)?.destinations[node];
}

/** By graph, epoch and node: looked up once. */
function rulings(timeline: Timeline): (graph: number, epoch: number, node: string) => ReturnType<typeof ruling> {
  const known = new Map<string, ReturnType<typeof ruling>>();
  return (graph, epoch, node) => {
    const key = `${graph} ${epoch} ${node}`;
    if (!known.has(key)) known.set(key, ruling(timeline, graph, epoch, node));
    return known.get(key);
  };
}

/** The order of sending that ruled a message at a node. */
type Rule = ReturnType<typeof rulings>;
const messageOf = (p: Passage): string => `${p.graph} ${p.source} ${p.sequence}`;

/**
 * R0-6: replicas to somebody whom the directive does not name there, or twice to the same; and messages of a producer
 * that came to a PPN which is not their entry.
 */
export function conformance(timeline: Timeline, passages: ReadonlyMap<string, Passages>): number {
  const rule = rulings(timeline);
  const producers = new Set(timeline.nodes.filter((n) => n.role === 'producer').map((n) => n.id));
  const entries = Map.groupBy(timeline.directives, (d) => d.graph);
  let violations = 0;
  for (const [node, { arrived, sent }] of passages) {
    const done = new Set<string>();
    for (const p of sent) {
      const key = `${messageOf(p)} ${p.to}`;
      const told = rule(p.graph, p.epoch, node);
      if (done.has(key) || !told?.some((d) => d.to === p.to)) violations += 1;
      done.add(key);
    }
    violations += arrived.filter(
      (p) => producers.has(p.sender) && p.graph !== 0 && !isEntry(entries.get(p.graph) ?? [], node, Number(p.atNs) / 1e6),
    ).length;
  }
  return violations;
}

/** A producer that is told of a new entry has messages on the way to the old one. */
const CHANGING_MS = 200;

/** Is a node the entry of a graph at a moment, or was it until just before, or will it be at once? */
function isEntry(directives: Timeline['directives'], node: string, atMs: number): boolean {
  const ruling = directives.filter((d) => d.atMs <= atMs + CHANGING_MS);
  const before = ruling.findLastIndex((d) => d.atMs <= atMs - CHANGING_MS);
  return ruling.slice(Math.max(0, before)).some((d) => d.entry === node);
}

/** R0-15: of one message at one node, those that are not held leave in the directive's order. */
export function orderErrors(timeline: Timeline, passages: ReadonlyMap<string, Passages>): number {
  const rule = rulings(timeline);
  let errors = 0;
  for (const [node, { sent }] of passages) {
    for (const own of Map.groupBy(sent, messageOf).values()) {
      const slots = own
        .toSorted((a, b) => (a.atNs < b.atNs ? -1 : a.atNs > b.atNs ? 1 : 0))
        .flatMap((p) => {
          const told = rule(p.graph, p.epoch, node) ?? [];
          const slot = told.findIndex((d) => d.to === p.to);
          return slot >= 0 && told[slot]!.holdNs === 0 ? [slot] : [];
        });
      errors += slots.filter((slot, i) => i > 0 && slot < (slots[i - 1] as number)).length;
    }
  }
  return errors;
}

/**
 * R0-16: microseconds between when a replica was to leave a PPN's interface and when it did, of those that were to be
 * held. Relative holds count from the arrival there, absolute ones from the generation; a message that arrives after its
 * time was not held. `fromNs`, `toNs`: epoch nanoseconds. In the order of time.
 */
export function holdErrors(timeline: Timeline, passages: ReadonlyMap<string, Passages>, fromNs: bigint, toNs: bigint): number[] {
  const rule: Rule = rulings(timeline);
  return [...passages]
    .flatMap(([node, { arrived, sent }]) => {
      const arrival = new Map<string, bigint>();
      // All by the clock of the node's machine, as its holds are; machines of a rig are synchronised, netrig's need not be.
      for (const p of arrived) if (!arrival.has(messageOf(p))) arrival.set(messageOf(p), p.stampNs);
      return sent
        .filter((p) => p.atNs >= fromNs && p.atNs < toNs)
        .flatMap((p) => {
          const told = rule(p.graph, p.epoch, node)?.find((d) => d.to === p.to);
          const came = arrival.get(messageOf(p));
          if (!told || told.holdNs <= 0 || came === undefined) return [];
          const due = (told.hold === 'relative' ? came : p.generatedNs) + BigInt(Math.round(told.holdNs));
          return due <= came ? [] : [{ at: p.atNs, us: Math.abs(Number(p.stampNs - due)) / 1000 }];
        });
    })
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .map(({ us }) => us);
}

/** R0-35: microseconds from generation until a message came to its first PPN. */
export function entryLatencies(messages: readonly Message[], passages: ReadonlyMap<string, Passages>, startNs: bigint): number[] {
  const first = new Map<string, bigint>();
  for (const { arrived } of passages.values()) {
    for (const p of arrived) {
      const key = `${p.source} ${p.sequence}`;
      const before = first.get(key);
      if (before === undefined || p.atNs < before) first.set(key, p.atNs);
    }
  }
  return messages.flatMap((m) => {
    const came = first.get(`${m.source} ${m.sequence}`);
    return came === undefined ? [] : [Number(came - startNs) / 1000 - m.atUs];
  });
}

/** R0-22: what had come to a consumer until a moment, as GetLSAGMetrics tells it. */
export function receivedUntil(
  arrived: readonly Passage[],
  untilNs: bigint,
): Pick<ConsumerMetrics, 'messages' | 'duplicates' | 'missing' | 'bytes' | 'meanUs' | 'deviationUs'> {
  const own = arrived.filter((p) => p.atNs < untilNs);
  const firsts = [...Map.groupBy(own, (p) => `${p.source} ${p.sequence}`).values()].map(([p]) => p as Passage);
  const latencies = firsts.map((p) => Number(p.stampNs - p.generatedNs) / 1000);
  const missing = [...Map.groupBy(firsts, (p) => p.source).values()].reduce((sum, list) => {
    const numbers = list.map((p) => p.sequence);
    return sum + numbers.reduce((a, b) => Math.max(a, b)) - numbers.reduce((a, b) => Math.min(a, b)) + 1 - numbers.length;
  }, 0);
  return {
    messages: firsts.length,
    duplicates: own.length - firsts.length,
    missing,
    bytes: firsts.reduce((sum, p) => sum + p.bytes, 0),
    meanUs: latencies.reduce((sum, us) => sum + us, 0) / latencies.length,
    deviationUs: deviationOf(latencies),
  };
}

/** R0-9: how often messages of a graph came to carry another epoch than before: each is a change that an RDN made. */
export function epochChanges(passages: ReadonlyMap<string, Passages>, fromNs: bigint, toNs: bigint): number {
  const epochs = new Map<number, Set<number>>();
  for (const { sent } of passages.values()) {
    for (const p of sent)
      if (p.atNs >= fromNs && p.atNs < toNs) epochs.set(p.graph, (epochs.get(p.graph) ?? new Set<number>()).add(p.epoch));
  }
  return [...epochs.values()].reduce((sum, own) => sum + own.size - 1, 0);
}

/** R0-14: of the iterations' paths that carry messages, those that no measurement message was seen to take since the iteration before. */
export function unmeasured(
  { iterations, directives }: Pick<Timeline, 'iterations' | 'directives'>,
  passages: ReadonlyMap<string, Passages>,
  fromMs: number,
  toMs: number,
): number {
  const seen = Map.groupBy(
    [...passages.values()].flatMap((p) => p.measured),
    (m) => `${m.from} ${m.to}`,
  );
  let count = 0;
  for (const [i, { atMs }] of iterations.entries()) {
    if (i === 0 || atMs < fromMs || atMs >= toMs) continue;
    const since = iterations[i - 1]!.atMs;
    const ruling = [
      ...Map.groupBy(
        directives.filter((d) => d.atMs < since),
        (d) => d.graph,
      ).values(),
    ].flatMap((own) => own.at(-1) ?? []);
    for (const [from, to] of ruling.flatMap((d) => d.edgesUs)) {
      if (!seen.get(`${from} ${to}`)?.some((m) => Number(m.atNs) / 1e6 > since && Number(m.atNs) / 1e6 <= atMs)) count += 1;
    }
  }
  return count;
}

/** A stall of the machine is no relapse: this share of the messages that follow must be within the limit. */
const WITHIN = 0.9;
const FOLLOWING = 40;

/** When spreads are within a limit again after an event; Infinity: they never are. */
export function recovery(
  messages: readonly { readonly atUs: number; readonly spreadUs: number }[],
  eventUs: number,
  limitUs: number,
): number {
  const after = messages.filter((m) => m.atUs >= eventUs);
  const beyond = after.findIndex((m) => m.spreadUs > limitUs);
  if (beyond < 0) return eventUs;
  for (let i = beyond; i < after.length; i++) {
    const next = after.slice(i, i + FOLLOWING);
    if (next.length < FOLLOWING / 2) return Infinity;
    if (next[0]!.spreadUs <= limitUs && next.filter((m) => m.spreadUs <= limitUs).length >= WITHIN * next.length) return next[0]!.atUs;
  }
  return Infinity;
}

/** R0-5: where the replicas were lost that consumers never got, by what PPNs say they sent: "p1>p4", most first. */
export function lostAt(
  { nodes, replicas }: Timeline,
  messages: readonly Message[],
  consumers?: ReadonlySet<string>,
): ReadonlyMap<string, { readonly count: number; readonly firstUs: number; readonly lastUs: number }> {
  const losers = messages.flatMap((m) =>
    m.expected
      .filter((c) => !m.receipts.has(c) && (!consumers || consumers.has(c)))
      .map((consumer) => ({ consumer, atUs: m.atUs, key: `${m.source} ${m.sequence}` })),
  );
  const wanted = new Set(losers.map((l) => l.key));
  const names = new Map(nodes.map((n) => [n.id, n.name]));
  const ppns = new Set(nodes.filter((n) => n.role === 'ppn').map((n) => n.name));
  const sent = new Map<string, { from: string; to: string }[]>();
  for (const [from, own] of replicas) {
    for (const { source, sequence, peer } of own) {
      const key = `${source} ${sequence}`;
      if (wanted.has(key)) sent.set(key, [...(sent.get(key) ?? []), { from, to: names.get(peer) ?? String(peer) }]);
    }
  }
  const lost = new Map<string, { count: number; firstUs: number; lastUs: number }>();
  for (const { consumer, atUs, key } of losers) {
    const hops = sent.get(key) ?? [];
    const last = hops.filter((h) => h.to === consumer);
    const ends = last.length > 0 ? last : hops.filter((h) => ppns.has(h.to) && !hops.some((next) => next.from === h.to));
    const at =
      ends
        .map((h) => `${h.from}>${h.to}`)
        .sort()
        .join(' and ') || 'before the entry';
    const before = lost.get(at);
    lost.set(at, {
      count: (before?.count ?? 0) + 1,
      firstUs: Math.min(before?.firstUs ?? Infinity, atUs),
      lastUs: Math.max(before?.lastUs ?? -Infinity, atUs),
    });
  }
  return new Map([...lost].sort((a, b) => b[1].count - a[1].count));
}
