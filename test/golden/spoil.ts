/**
 * Spoilt recordings: what evidence would look like if something went wrong. Each way to spoil is a function from good
 * evidence, and a copy of its folder that it may change, to spoilt evidence. Every target must be missed, or be left
 * undecided with a reason, by one of them (recordings.test.ts).
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { deliveriesOf, DELIVERY_BYTES } from '../../agents/replication/records.ts';
import type { PopFile } from '../../agents/pop/config.ts';
import { BIN_US } from '../../src/checks/series.ts';
import { parseDurationUs, parseRateBps, parseRateOf } from '../../src/core/units.ts';
import type { CellEvidence } from '../../src/evidence/cell.ts';
import type { TargetFile } from '../../src/topology/schema.ts';
import type { FlowResult } from '../../src/traffic/tools.ts';
import type { Frame } from '../support/pcap.ts';
import { readFrames, rewriteLogs, writeFrames, type Line } from './frames.ts';

export interface Spoil {
  readonly name: string;
  /** Systems that it is of; none: of all evidence. */
  readonly system?: 'gatekeeper' | 'replication' | 'pop';
  readonly spoil: (evidence: CellEvidence, folder: string) => CellEvidence;
}

const of = (system: Spoil['system'], list: readonly Omit<Spoil, 'system'>[]): readonly Spoil[] => list.map((s) => ({ ...s, ...(system === undefined ? {} : { system }) }));

const captures = (folder: string, evidence: CellEvidence, change: (frames: readonly Frame[], at: string) => readonly Frame[]): CellEvidence => {
  for (const { file, at } of evidence.captures) writeFrames(join(folder, file), change(readFrames(join(folder, file)), at));
  return evidence;
};
const logs = (folder: string, evidence: CellEvidence, change: (line: Line, node: string) => readonly Line[]): CellEvidence => {
  rewriteLogs(folder, change);
  return evidence;
};
const flows = (evidence: CellEvidence, change: (flow: FlowResult, phase: number) => FlowResult): CellEvidence => ({ ...evidence, phases: evidence.phases.map((p, i) => ({ ...p, flows: p.flows.map((f) => change(f, i)) })) });
const counters = (evidence: CellEvidence, change: (value: number) => number): CellEvidence => ({ ...evidence, agents: evidence.agents.map((a) => ({ ...a, counters: Object.fromEntries(Object.entries(a.counters).map(([k, v]) => [k, change(v)])) })) });

const general: readonly Spoil[] = [
  { name: 'the run ended early', spoil: (e) => ({ ...e, voided: ['the run ended before this repeat was complete'] }) },
  { name: 'captures emptied', spoil: (e, folder) => captures(folder, e, () => []) },
  { name: 'captures dropped packets', spoil: (e) => ({ ...e, captures: e.captures.map((c) => ({ ...c, droppedByKernel: 7 })) }) },
  { name: 'logs cut', spoil: (e, folder) => { rmSync(join(folder, 'agents'), { recursive: true, force: true }); return e; } },
  { name: 'clocks unknown', spoil: (e) => ({ ...e, clocks: { reference: 'left', sync: 'ptp', maxOffsetUs: 10_000, samples: [{ machine: 'local', atMs: 0, offsetNs: null, boundNs: 0 }] } }) },
  { name: 'tools failed', spoil: (e) => flows(e, ({ rttUs: _, ...f }) => ({ ...f, ok: false, error: 'it ended early', receivedBytes: 0, intervals: [] })) },
  { name: 'nothing arrives', spoil: (e) => flows(e, (f) => ({ ...f, receivedBytes: 0, intervals: f.intervals.map((i) => ({ ...i, rateBps: 0 })), ...(f.rttUs ? { rttUs: f.rttUs.map(() => null) } : {}), ...(f.datagrams ? { datagrams: f.datagrams.map((d) => ({ ...d, lost: d.sent })) } : {}) })) },
  { name: 'everything arrives', spoil: (e) => flows(e, (f) => ({ ...f, ok: true, receivedBytes: 1_000_000, rttUs: f.rttUs?.map((rtt) => rtt ?? 500) ?? [500] })) },
  { name: 'the last phase is slow', spoil: (e) => flows(e, (f, phase) => (phase === e.phases.length - 1 && f.rttUs ? { ...f, rttUs: f.rttUs.map((rtt) => rtt === null ? null : rtt * 5 + 30_000) } : f)) },
  { name: 'everything is quick', spoil: (e) => flows(e, (f) => (f.rttUs ? { ...f, rttUs: f.rttUs.map((_, i) => 500 + (i % 10)) } : f)) },
  { name: 'everything is slow', spoil: (e) => flows(e, (f) => (f.rttUs ? { ...f, rttUs: f.rttUs.map((_, i) => 90_000 + (i % 10)) } : f)) },
  { name: 'counters are zero', spoil: (e) => counters(e, () => 0) },
  { name: 'counters are higher', spoil: (e) => counters(e, (v) => v + 1_000_000) },
  { name: 'counters are missing', spoil: (e) => ({ ...e, agents: e.agents.map((a) => ({ ...a, counters: {} })) }) },
  { name: 'requests have other results', spoil: (e) => ({ ...e, events: Object.fromEntries(Object.entries(e.events).map(([phase, list]) => [phase, list.map((event) => (event.request ? { ...event, request: { ...event.request, refused: event.request.refused === null ? 'Unreachable' : null } } : event))])) }) },
  { name: 'nothing was asked', spoil: (e) => ({ ...e, events: {} }) },
];

/** Share of the capacity that each group has, at a time within the phase. */
type Shares = (group: string, order: number, atUs: number) => number;

/** Captures as they would be if groups had just these shares all the time. */
function withShares(evidence: CellEvidence, folder: string, shares: (targets: readonly IsolationTarget[]) => Shares): CellEvidence {
  for (const { at, file } of evidence.captures) {
    const targets = evidence.lab.targets.filter((t): t is IsolationTarget => t.check === 'bandwidth-isolation' && (t as IsolationTarget).capture === at);
    const [target] = targets;
    if (!target) continue;
    const label = target.label ?? 'tenant';
    const stations = new Map(evidence.lab.fabric.nodes.flatMap((n) => n.interfaces.flatMap((i) => (i.labels[label] === undefined ? [] : [[i.labels[label], i.mac] as const]))));
    const capacityBps = parseRateBps(target.capacity);
    const share = shares(targets);
    const frames = evidence.phases.flatMap((phase) => Array.from({ length: Math.floor(phase.durationUs / BIN_US) }, (_, bin) => [...stations].map(([group, mac], order): Frame => {
      const atUs = (bin + 0.5) * BIN_US;
      const ns = BigInt(phase.startedNs) + BigInt(Math.round(atUs * 1000));
      const bytes = Buffer.concat([Buffer.alloc(6), Buffer.from(mac.replaceAll(':', ''), 'hex'), Buffer.from([8, 0])]);
      return { seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n), length: Math.round((share(group, order, atUs) * capacityBps * BIN_US) / 8e6), bytes };
    })).flat());
    writeFrames(join(folder, file), frames);
  }
  return evidence;
}

type IsolationTarget = Extract<TargetFile, { capacity: string }>;

/** What targets guarantee to each group; of what is left, the others have equal parts. */
function guaranteed(targets: readonly IsolationTarget[], part = 1): Shares {
  const own = new Map(targets.flatMap((t) => (t.group !== undefined && t.guarantee !== undefined ? [[t.group, parseRateOf(t.guarantee, 1)] as const] : [])));
  if (!own.has('B') && own.has('A')) own.set('B', 0.995 - own.get('A')!);
  return (group) => part * (own.get(group) ?? 0.05);
}

/** Where targets say that something happens. */
const eventUs = (targets: readonly IsolationTarget[], metric: IsolationTarget['metric']): number => parseDurationUs(targets.find((t) => t.metric === metric)?.event ?? '0s');

const gatekeeper: readonly Spoil[] = of('gatekeeper', [
  { name: 'every group has what it is guaranteed', spoil: (e, folder) => withShares(e, folder, (targets) => guaranteed(targets)) },
  { name: 'every group has half of what it is guaranteed', spoil: (e, folder) => withShares(e, folder, (targets) => guaranteed(targets, 0.5)) },
  { name: 'the second group takes nearly all', spoil: (e, folder) => withShares(e, folder, () => (_, order) => (order === 1 ? 0.9 : 0.08)) },
  { name: 'the first group takes nearly all', spoil: (e, folder) => withShares(e, folder, () => (_, order) => (order === 0 ? 0.97 : 0.02)) },
  { name: 'groups share alike', spoil: (e, folder) => withShares(e, folder, () => () => 0.24) },
  { name: 'B stops, and A never takes what is free', spoil: (e, folder) => withShares(e, folder, (targets) => (_, order, atUs) => (order === 0 ? 0.7 : atUs < eventUs(targets, 'recovery') ? 0.29 : 0)) },
  {
    name: 'the law reacts at once', spoil: (e, folder) => withShares(e, folder, (targets) => {
      const [begins, ends] = [eventUs(targets, 'reaction'), eventUs(targets, 'recovery')];
      return (_, order, atUs) => {
        const isBusy = atUs >= begins && atUs < ends;
        const isFirst = atUs >= begins && atUs < begins + 20_000;
        return order === 0 ? (!isBusy ? 0.99 : isFirst ? 0.5 : 0.7) : !isBusy ? 0 : isFirst ? 0.49 : 0.29;
      };
    }),
  },
  { name: 'a group rises as declared', spoil: (e, folder) => withShares(e, folder, () => (_, order, atUs) => (order === 0 ? 0.2 : Math.min(0.75, Math.max(0.05, (atUs - 3_000_000) * 0.5e-6)))) },
]);

/** Deliveries of consumers, each changed, left out or doubled. */
function deliveries(evidence: CellEvidence, folder: string, change: (record: Buffer, consumer: string, sequence: number) => readonly Buffer[]): CellEvidence {
  rewriteLogs(folder, (line, node) => {
    if (line['event'] !== 'deliveries') return [line];
    const records = Buffer.from(line['records'] as string, 'base64');
    const changed = [...deliveriesOf(records)].flatMap(({ sequence }, i) => change(Buffer.from(records.subarray(i * DELIVERY_BYTES, (i + 1) * DELIVERY_BYTES)), node, sequence));
    return [{ ...line, records: Buffer.concat(changed).toString('base64') }];
  });
  // Consumers' captures would tell the truth.
  return { ...evidence, captures: evidence.captures.filter((c) => !/^c\d/.test(c.at)) };
}

/** Puts the receipt of a record so long after its generation. */
function received(record: Buffer, latencyNs: bigint): Buffer {
  record.writeBigInt64LE(record.readBigInt64LE(32) + latencyNs, 40);
  record.writeBigInt64LE(record.readBigInt64LE(32) + latencyNs, 48);
  return record;
}
const delayed = (record: Buffer, byNs: bigint): Buffer => received(record, record.readBigInt64LE(40) - record.readBigInt64LE(32) + byNs);
const millis = (ms: number): bigint => BigInt(Math.round(ms * 1e6));
const number = (consumer: string): number => Number(/\d+/.exec(consumer)?.[0] ?? 0);

/** Messages at PPNs: by the address that they are sent to, or from. */
const IPV4_SOURCE = 14 + 12;
const IPV4_DESTINATION = 14 + 16;
const ppns = (e: CellEvidence, folder: string, change: (frame: Frame, i: number, sent: boolean) => readonly Frame[]): CellEvidence => {
  const address = new Map<string, Buffer>(e.lab.fabric.nodes.flatMap((n) => n.interfaces.map((i) => [`${n.name}:${i.name}`, Buffer.from((i.addresses[0] ?? '0.0.0.0/0').split('/')[0]!.split('.').map(Number))] as const)));
  return captures(folder, e, (frames, at) => (/^p\d/.test(at) ? frames.flatMap((f, i) => change(f, i, f.bytes.subarray(IPV4_SOURCE, IPV4_SOURCE + 4).equals(address.get(at)!))) : frames));
};
const shifted = (frame: Frame, byNs: number): Frame => {
  const ns = BigInt(frame.seconds) * 1_000_000_000n + BigInt(frame.nanoseconds + byNs);
  return { ...frame, seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n) };
};
function to(frame: Frame, address: readonly number[]): Frame {
  const bytes = Buffer.from(frame.bytes);
  Buffer.from(address).copy(bytes, IPV4_DESTINATION);
  return { ...frame, bytes };
}
const iterations = (folder: string, e: CellEvidence, change: (line: Line, n: number) => readonly Line[]): CellEvidence => {
  let n = 0;
  return logs(folder, e, (line) => (line['event'] === 'iteration' ? change(line, n++) : [line]));
};

const replication: readonly Spoil[] = of('replication', [
  { name: 'replicas are lost', spoil: (e, folder) => deliveries(e, folder, (record, consumer, sequence) => ((sequence + number(consumer)) % 3 === 0 ? [] : [record])) },
  { name: 'no replica is lost', spoil: (e, folder) => complete(e, folder) },
  { name: 'replicas come twice', spoil: (e, folder) => deliveries(e, folder, (record) => [record, record]) },
  { name: 'replicas come once', spoil: (e, folder) => { const seen = new Set<string>(); return deliveries(e, folder, (record, consumer, sequence) => (seen.has(`${consumer} ${record.readUInt32LE(16)} ${sequence}`) ? [] : (seen.add(`${consumer} ${record.readUInt32LE(16)} ${sequence}`), [record]))); } },
  { name: 'consumers are far apart', spoil: (e, folder) => deliveries(e, folder, (record, consumer) => [delayed(record, millis(number(consumer) * 25))]) },
  { name: 'consumers are alike', spoil: (e, folder) => deliveries(e, folder, (record) => [received(record, millis(4))]) },
  { name: 'later phases are slower', spoil: (e, folder) => { const starts = e.phases.map((p) => BigInt(p.startedNs)); return deliveries(e, folder, (record, consumer) => [delayed(record, millis(8 * starts.filter((s) => record.readBigInt64LE(32) >= s).length * (1 + number(consumer) / 10)))]); } },
  { name: 'PPNs send to others', spoil: (e, folder) => ppns(e, folder, (f, i, sent) => [sent && i % 5 === 0 ? to(f, [10, 64, 0, 254]) : f]) },
  { name: 'PPNs do not hold', spoil: (e, folder) => ppns(e, folder, (f, _, sent) => [sent ? shifted(f, -5_000_000) : f]) },
  { name: 'PPNs send in reverse', spoil: (e, folder) => ppns(e, folder, (f, i, sent) => [sent ? shifted(f, 400_000 - (i % 8) * 50_000) : f]) },
  { name: 'consumers were captured otherwise than they say', spoil: (e, folder) => captures(folder, e, (frames, place) => (/^c\d/.test(place) ? frames.map((f) => shifted(f, 300_000)) : frames)) },
  { name: 'graphs change all the time', spoil: (e, folder) => logs(folder, e, (line) => (line['event'] === 'directives' ? Array.from({ length: 40 }, (_, i) => ({ ...line, at: (line['at'] as number) + i * 250 })) : [line])) },
  { name: 'graphs never change', spoil: (e, folder) => { let first = true; return logs(folder, e, (line) => { const keep = line['event'] !== 'directives' || first; if (line['event'] === 'directives') first = false; return keep ? [line] : []; }); } },
  { name: 'few iterations', spoil: (e, folder) => iterations(folder, e, (line, n) => (n % 4 === 0 ? [line] : [])) },
  { name: 'many iterations', spoil: (e, folder) => iterations(folder, e, (line) => [0, 100, 200, 300, 400, 500].map((ms) => ({ ...line, at: (line['at'] as number) + ms }))) },
  { name: 'iterations are brought about by members only', spoil: (e, folder) => iterations(folder, e, (line) => [{ ...line, trigger: 'members' }]) },
  { name: 'iterations are brought about by time only', spoil: (e, folder) => iterations(folder, e, (line) => [{ ...line, trigger: 'period' }]) },
  { name: 'estimates are off', spoil: (e, folder) => iterations(folder, e, (line) => [{ ...line, estimatedUs: Object.fromEntries(Object.entries(line['estimatedUs'] as Record<string, number>).map(([c, us]) => [c, us + 5000])) }]) },
  { name: 'paths are not measured', spoil: (e, folder) => { let n = 0; return logs(folder, e, (line) => (line['event'] === 'probes' && n++ > 0 ? [] : [line])); } },
  { name: 'flows are asked for again', spoil: (e, folder) => logs(folder, e, (line) => (line['event'] === 'resolve' ? [line, line] : [line])) },
  { name: 'metrics are wrong', spoil: (e) => ({ ...e, events: Object.fromEntries(Object.entries(e.events).map(([phase, list]) => [phase, list.map((event) => (event.request?.operation === 'GetLSAGMetrics' && event.request.answer ? { ...event, request: { ...event.request, answer: JSON.parse(JSON.stringify(event.request.answer).replaceAll(/"meanUs":([0-9.]+)/g, (_, us: string) => `"meanUs":${Number(us) * 1.1}`)) as unknown } } : event))])) }) },
  { name: 'producers and PPNs are one place', spoil: (e, folder) => ppns(e, folder, (f, _, sent) => [sent ? f : arrivedAtOnce(f)]) },
]);

/** A message as if it had come at the moment of its generation. */
function arrivedAtOnce(frame: Frame): Frame {
  const generatedAt = 14 + 20 + 8 + 24;
  if (frame.bytes.length < generatedAt + 8) return frame;
  const ns = frame.bytes.readBigInt64BE(generatedAt) + 1000n;
  return { ...frame, seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n) };
}

/** Every consumer has what any of them has. */
function complete(evidence: CellEvidence, folder: string): CellEvidence {
  const all = new Map<string, Buffer>();
  rewriteLogs(folder, (line) => {
    if (line['event'] === 'deliveries') {
      const records = Buffer.from(line['records'] as string, 'base64');
      [...deliveriesOf(records)].forEach((d, i) => all.set(`${d.source} ${d.sequence}`, Buffer.from(records.subarray(i * DELIVERY_BYTES, (i + 1) * DELIVERY_BYTES))));
    }
    return [line];
  });
  const everything = Buffer.concat([...all.values()].map((r) => received(r, millis(6)))).toString('base64');
  const done = new Set<string>();
  rewriteLogs(folder, (line, node) => {
    if (line['event'] !== 'deliveries') return [line];
    if (done.has(node)) return [];
    done.add(node);
    return [{ ...line, records: everything }];
  });
  return { ...evidence, captures: evidence.captures.filter((c) => !/^c\d/.test(c.at)) };
}

/** Rows of a client's log: service, port, from, to, fate, requests, servers, first answer, …, hash. */
type Row = (string | number)[];
const [STARTED, ENDED, FATE, SERVERS, FIRST, HASH] = [2, 3, 4, 6, 7, 9] as const;
const rows = (e: CellEvidence, folder: string, change: (row: Row, i: number) => readonly Row[]): CellEvidence => {
  let i = 0;
  return logs(folder, e, (line) => (line['event'] === 'connections' ? [{ ...line, list: (line['list'] as Row[]).flatMap((row) => change(row, i++)) }] : [line]));
};
const set = (row: Row, values: Readonly<Record<number, string | number>>): Row => row.map((v, i) => values[i] ?? v);
const serversOf = (e: CellEvidence, pop: string): string => {
  const { pops } = e.lab.systems.find((s) => s.name === 'pop')?.config as unknown as PopFile;
  const written = pops[pop]?.servers ?? '';
  return (typeof written === 'string' ? written : (written[0] ?? '')).replace(/\{(\d+)\.\.\d+\}/, '$1');
};
const served = (pop: string) => (e: CellEvidence, folder: string): CellEvidence => rows(e, folder, (row) => [set(row, { [SERVERS]: serversOf(e, pop) })]);
const tunnels = (e: CellEvidence, folder: string, change: (frame: Frame, i: number) => readonly Frame[]): CellEvidence => captures(folder, e, (frames) => frames.flatMap(change));
const GRE = 47;
const protocolOf = (f: Frame): number => (f.bytes.length > 23 && f.bytes.readUInt16BE(12) === 0x0800 ? f.bytes[23]! : 0);
const isTunnel = (f: Frame): boolean => protocolOf(f) === GRE || (protocolOf(f) === 17 && f.bytes.length > 38 && f.bytes.readUInt16BE(36) === 6080);
const load = (e: CellEvidence, folder: string, change: (load: number, i: number) => number): CellEvidence => { let i = 0; return logs(folder, e, (line) => (line['event'] === 'load' ? [{ ...line, load: change(line['load'] as number, i++) }] : [line])); };
const tables = (e: CellEvidence, folder: string, change: (table: string[], n: number) => string[]): CellEvidence => {
  let n = 0;
  return logs(folder, e, (line) => (line['event'] === 'tables' ? [{ ...line, tables: Object.fromEntries(Object.entries(line['tables'] as Record<string, string>).map(([s, text]) => [s, change(text.split(','), n++).join(',')])) }] : [line]));
};
const policies = (e: CellEvidence, folder: string, change: (line: Line) => readonly Line[]): CellEvidence => logs(folder, e, (line) => (line['event'] === 'policies' ? change(line) : [line]));
const packetBytes = (f: Frame, change: (bytes: Buffer) => void): Frame => {
  const bytes = Buffer.from(f.bytes);
  change(bytes);
  return { ...f, bytes };
};

const pop: readonly Spoil[] = of('pop', [
  { name: 'connections are reset', spoil: (e, folder) => rows(e, folder, (row, i) => [i % 7 === 0 ? set(row, { [FATE]: 'reset' }) : row]) },
  { name: 'no connection breaks', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [FATE]: 'ok' })]) },
  { name: 'connections are short', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [ENDED]: (row[STARTED] as number) + 1 })]) },
  { name: 'connections go on for ever', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [ENDED]: (row[STARTED] as number) + 100_000 })]) },
  { name: 'few connections', spoil: (e, folder) => rows(e, folder, (row, i) => (i % 40 === 0 ? [row] : [])) },
  ...(['a', 'b', 'c'] as const).map((name) => ({ name: `all are served by ${name}`, spoil: served(name) })),
  { name: 'connections are answered by two PoPs', spoil: (e, folder) => rows(e, folder, (row, i) => [i % 9 === 0 ? set(row, { [SERVERS]: `${serversOf(e, 'a')} ${serversOf(e, 'b')}` }) : row]) },
  { name: 'shares are halves and quarters', spoil: (e, folder) => rows(e, folder, (row, i) => [set(row, { [SERVERS]: serversOf(e, ['a', 'a', 'b', 'c'][i % 4]!) })]) },
  { name: 'one server answers for all of its PoP', spoil: (e, folder) => logs(folder, e, (line, node) => (line['event'] === 'access' && /2$/.test(node) ? [] : [line])) },
  { name: 'servers see other clients', spoil: (e, folder) => logs(folder, e, (line) => (line['event'] === 'access' ? [{ ...line, list: (line['list'] as Row[]).map((row) => set(row, { 2: 1 })) }] : [line])) },
  { name: 'bodies differ', spoil: (e, folder) => rows(e, folder, (row, i) => [i % 11 === 0 ? set(row, { [HASH]: 'ffff' }) : row]) },
  { name: 'first answers are late at B and C', spoil: (e, folder) => rows(e, folder, (row) => [/^s[bc]/.test(String(row[SERVERS])) ? set(row, { [FIRST]: (row[FIRST] as number) + 90 }) : row]) },
  { name: 'first answers are alike', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [FIRST]: 40 })]) },
  { name: 'policies take effect late', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [STARTED]: (row[STARTED] as number) + 65_000, [ENDED]: (row[ENDED] as number) + 65_000 })]) },
  { name: 'tables are shuffled', spoil: (e, folder) => tables(e, folder, (table, n) => table.map((_, i) => table[(i + 137 * n) % table.length] as string)) },
  { name: 'tables never change', spoil: (e, folder) => tables(e, folder, (table) => table.map(() => '')) },
  { name: 'tables point elsewhere', spoil: (e, folder) => tables(e, folder, (table) => table.map((to) => (to === '' ? 'b' : ''))) },
  { name: 'loads are high', spoil: (e, folder) => load(e, folder, (v) => v + 0.9) },
  { name: 'loads are low', spoil: (e, folder) => load(e, folder, (v) => v * 0.2) },
  { name: 'loads swing', spoil: (e, folder) => load(e, folder, (_, i) => (Math.floor(i / 12) % 2 === 0 ? 0.1 : 0.95)) },
  { name: 'a first overload, then none', spoil: (e, folder) => { const rush = e.phases[0]; return logs(folder, e, (line) => (line['event'] === 'load' && rush ? [{ ...line, load: (line['at'] as number) < Number(BigInt(rush.startedNs) / 1_000_000n) + 9500 ? 0.95 : 0.5 }] : [line])); } },
  { name: 'policies come and go', spoil: (e, folder) => policies(e, folder, (line) => Array.from({ length: 6 }, (_, i) => ({ ...line, sentMs: (line['sentMs'] as number) + i * 700, policies: Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { one: { [name === 'a' ? 'b' : 'a']: i % 2 === 0 ? 0.3 : 0.05 } }])) }))) },
  { name: 'no policies', spoil: (e, folder) => policies(e, folder, () => []) },
  { name: 'answers are wrong', spoil: (e) => ({ ...e, events: Object.fromEntries(Object.entries(e.events).map(([phase, list]) => [phase, list.map((event) => (event.request?.operation === 'GetPolicies' && event.request.answer ? { ...event, request: { ...event.request, answer: JSON.parse(JSON.stringify(event.request.answer).replaceAll(/"":(\d+)/g, (_, n: string) => `"":${Number(n) + 9}`)) as unknown } } : event.request?.operation === 'PullFeedback' && event.request.answer ? { ...event, request: { ...event.request, answer: { a: { pop: 'a', version: 1, servers: {}, distanceMs: {} } } } } : event))])) }) },
  { name: 'nothing is tunnelled', spoil: (e, folder) => tunnels(e, folder, (f) => (isTunnel(f) ? [] : [f])) },
  { name: 'everything is tunnelled', spoil: (e, folder) => tunnels(e, folder, (f) => (isTunnel(f) || protocolOf(f) === 0 ? [f] : [f, encapsulated(f, [10, 64, 3, 2], [10, 64, 4, 2])])) },
  { name: 'tunnels lead elsewhere', spoil: (e, folder) => tunnels(e, folder, (f) => [isTunnel(f) ? packetBytes(f, (b) => Buffer.from([10, 9, 9, 9]).copy(b, IPV4_DESTINATION)) : f]) },
  { name: 'tunnels lead to the other PoP', spoil: (e, folder) => tunnels(e, folder, (f) => [isTunnel(f) ? packetBytes(f, (b) => Buffer.from([10, 64, 5, 2]).copy(b, IPV4_DESTINATION)) : f]) },
  { name: 'tunnels are doubled to the other PoP', spoil: (e, folder) => tunnels(e, folder, (f) => (isTunnel(f) ? [f, packetBytes(f, (b) => Buffer.from([10, 64, 5, 2]).copy(b, IPV4_DESTINATION))] : [f])) },
  { name: 'packets are changed on the way', spoil: (e, folder) => tunnels(e, folder, (f) => [isTunnel(f) && f.bytes.length > 100 ? packetBytes(f, (b) => { b[b.length - 1]! ^= 0xff; }) : f]) },
  { name: 'first hops name no secondary', spoil: (e, folder) => tunnels(e, folder, (f) => [protocolOf(f) === 17 && isTunnel(f) ? packetBytes(f, (b) => { b.fill(0, 14 + 20 + 8 + 4 + 4, 14 + 20 + 8 + 4 + 8); }) : f]) },
  { name: 'first hops name no secondary, and point away', spoil: (e, folder) => tunnels(e, folder, (f) => [protocolOf(f) === 17 && isTunnel(f) ? packetBytes(f, (b) => { b[14 + 20 + 8 + 4 + 1]! |= 1; b.fill(0, 14 + 20 + 8 + 4 + 4, 14 + 20 + 8 + 4 + 8); }) : f]) },
  { name: 'replies go the other way', spoil: (e, folder) => tunnels(e, folder, (f) => (isTunnel(f) ? [f] : [f, packetBytes(f, (b) => { const source = Buffer.from(b.subarray(IPV4_SOURCE, IPV4_SOURCE + 4)); b.copy(b, IPV4_SOURCE, IPV4_DESTINATION, IPV4_DESTINATION + 4); source.copy(b, IPV4_DESTINATION); const port = Buffer.from(b.subarray(34, 36)); b.copy(b, 34, 36, 38); port.copy(b, 36); })])) },
]);

/** A frame in a GRE tunnel between two addresses. */
function encapsulated(frame: Frame, from: readonly number[], towards: readonly number[]): Frame {
  const inner = frame.bytes.subarray(14);
  const outer = Buffer.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, GRE, 0, 0, ...from, ...towards]);
  outer.writeUInt16BE(24 + inner.length, 2);
  return { ...frame, length: frame.length + 24, bytes: Buffer.concat([frame.bytes.subarray(0, 14), outer, Buffer.from([0, 0, 8, 0]), inner]) };
}

const ALL: readonly Spoil[] = [...general, ...gatekeeper, ...replication, ...pop];

/** Ways to spoil the evidence of a cell. */
export const spoilsOf = (evidence: CellEvidence): readonly Spoil[] => {
  const systems = evidence.lab.systems.map((s) => s.name);
  const isShaped = evidence.lab.targets.some((t) => t.check === 'bandwidth-isolation');
  return ALL.filter((s) => s.system === undefined || systems.includes(s.system) || (s.system === 'gatekeeper' && isShaped));
};
