/** Messages lost, late, twice, astray; PPNs that do not obey; RDNs that do not iterate, or all the time. */
import { deliveriesOf, DELIVERY_BYTES } from '../../../agents/replication/records.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { Frame } from '../../support/pcap.ts';
import { rewriteLogs, type Line } from '../frames.ts';
import { answers, captures, logs, of, reworded, type Spoil } from './spoil.ts';

/** Deliveries of consumers, each changed, left out or doubled. */
function deliveries(
  evidence: CellEvidence,
  folder: string,
  change: (record: Buffer, consumer: string, sequence: number) => readonly Buffer[],
): CellEvidence {
  rewriteLogs(folder, (line, node) => {
    if (line['event'] !== 'deliveries') return [line];
    const records = Buffer.from(line['records'] as string, 'base64');
    const changed = [...deliveriesOf(records)].flatMap(({ sequence }, i) =>
      change(Buffer.from(records.subarray(i * DELIVERY_BYTES, (i + 1) * DELIVERY_BYTES)), node, sequence),
    );
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
  const address = new Map<string, Buffer>(
    e.lab.fabric.nodes.flatMap((n) =>
      n.interfaces.map(
        (i) => [`${n.name}:${i.name}`, Buffer.from((i.addresses[0] ?? '0.0.0.0/0').split('/')[0]!.split('.').map(Number))] as const,
      ),
    ),
  );
  return captures(folder, e, (frames, at) =>
    /^p\d/.test(at)
      ? frames.flatMap((f, i) => change(f, i, f.bytes.subarray(IPV4_SOURCE, IPV4_SOURCE + 4).equals(address.get(at)!)))
      : frames,
  );
};
/** Of a message's header, and of a record of a delivery. */
const [KIND_AT, EPOCH_AT] = [14 + 20 + 8 + 3, 14 + 20 + 8 + 8];
const MEASUREMENT = 2;
const [SEQUENCE_AT, SOURCE_AT, SENDER_AT, GENERATED_AT] = [8, 16, 20, 32];
function numbered(frame: Frame, at: number, value: number): Frame {
  if (frame.bytes.length < at + 4) return frame;
  const bytes = Buffer.from(frame.bytes);
  bytes.writeUInt32BE(value, at);
  return { ...frame, bytes };
}
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

export const replication: readonly Spoil[] = of('replication', [
  {
    name: 'replicas are lost',
    spoil: (e, folder) => deliveries(e, folder, (record, consumer, sequence) => ((sequence + number(consumer)) % 3 === 0 ? [] : [record])),
  },
  { name: 'no replica is lost', spoil: (e, folder) => complete(e, folder) },
  { name: 'replicas come twice', spoil: (e, folder) => deliveries(e, folder, (record) => [record, record]) },
  {
    name: 'replicas come once',
    spoil: (e, folder) => {
      const seen = new Set<string>();
      return deliveries(e, folder, (record, consumer, sequence) =>
        seen.has(`${consumer} ${record.readUInt32LE(16)} ${sequence}`)
          ? []
          : (seen.add(`${consumer} ${record.readUInt32LE(16)} ${sequence}`), [record]),
      );
    },
  },
  {
    name: 'consumers are far apart',
    spoil: (e, folder) => deliveries(e, folder, (record, consumer) => [delayed(record, millis(number(consumer) * 25))]),
  },
  { name: 'consumers are alike', spoil: (e, folder) => deliveries(e, folder, (record) => [received(record, millis(4))]) },
  {
    name: 'later phases are slower',
    spoil: (e, folder) => {
      const starts = e.phases.map((p) => BigInt(p.startedNs));
      return deliveries(e, folder, (record, consumer) => [
        delayed(record, millis(8 * starts.filter((s) => record.readBigInt64LE(32) >= s).length * (1 + number(consumer) / 10))),
      ]);
    },
  },
  {
    name: 'PPNs send to others',
    spoil: (e, folder) => ppns(e, folder, (f, i, sent) => [sent && i % 5 === 0 ? to(f, [10, 64, 0, 254]) : f]),
  },
  { name: 'PPNs do not hold', spoil: (e, folder) => ppns(e, folder, (f, _, sent) => [sent ? shifted(f, -5_000_000) : f]) },
  {
    name: 'PPNs send in reverse',
    spoil: (e, folder) => ppns(e, folder, (f, i, sent) => [sent ? shifted(f, 400_000 - (i % 8) * 50_000) : f]),
  },
  {
    name: 'consumers were captured otherwise than they say',
    spoil: (e, folder) => captures(folder, e, (frames, place) => (/^c\d/.test(place) ? frames.map((f) => shifted(f, 300_000)) : frames)),
  },
  {
    name: 'graphs change all the time',
    spoil: (e, folder) =>
      logs(folder, e, (line) =>
        line['event'] === 'directives' ? Array.from({ length: 40 }, (_, i) => ({ ...line, at: (line['at'] as number) + i * 250 })) : [line],
      ),
  },
  {
    name: 'graphs never change',
    spoil: (e, folder) => {
      let first = true;
      return logs(folder, e, (line) => {
        const keep = line['event'] !== 'directives' || first;
        if (line['event'] === 'directives') first = false;
        return keep ? [line] : [];
      });
    },
  },
  { name: 'few iterations', spoil: (e, folder) => iterations(folder, e, (line, n) => (n % 4 === 0 ? [line] : [])) },
  {
    name: 'many iterations',
    spoil: (e, folder) =>
      iterations(folder, e, (line) => [0, 100, 200, 300, 400, 500].map((ms) => ({ ...line, at: (line['at'] as number) + ms }))),
  },
  {
    name: 'iterations are brought about by members only',
    spoil: (e, folder) => iterations(folder, e, (line) => [{ ...line, trigger: 'members' }]),
  },
  {
    name: 'iterations are brought about by time only',
    spoil: (e, folder) => iterations(folder, e, (line) => [{ ...line, trigger: 'period' }]),
  },
  {
    name: 'estimates are off',
    spoil: (e, folder) =>
      iterations(folder, e, (line) => [
        {
          ...line,
          estimatedUs: Object.fromEntries(Object.entries(line['estimatedUs'] as Record<string, number>).map(([c, us]) => [c, us + 5000])),
        },
      ]),
  },
  { name: 'paths are not measured', spoil: (e, folder) => ppns(e, folder, (f) => (f.bytes[KIND_AT] === MEASUREMENT ? [] : [f])) },
  {
    name: 'p2 sends, too',
    spoil: (e, folder) =>
      captures(folder, e, (frames, at) =>
        at.startsWith('p2:')
          ? frames.map((f) =>
              f.bytes[KIND_AT] === MEASUREMENT ? { ...f, bytes: Buffer.from(f.bytes.map((b, i) => (i === KIND_AT ? 1 : b))) } : f,
            )
          : frames,
      ),
  },
  {
    name: 'p2 sends nothing',
    spoil: (e, folder) =>
      captures(folder, e, (frames, at) => (at.startsWith('p2:') ? frames.filter((f) => f.bytes[KIND_AT] === MEASUREMENT) : frames)),
  },
  { name: 'messages change their epochs', spoil: (e, folder) => ppns(e, folder, (f, i) => [numbered(f, EPOCH_AT, 1 + (i % 9))]) },
  { name: 'messages keep their epoch', spoil: (e, folder) => ppns(e, folder, (f) => [numbered(f, EPOCH_AT, 1)]) },
  {
    name: 'all come from one PPN',
    spoil: (e, folder) =>
      deliveries(e, folder, (record) => {
        record.writeUInt32LE(1, SENDER_AT);
        return [record];
      }),
  },
  {
    name: 'they come from everywhere',
    spoil: (e, folder) =>
      deliveries(e, folder, (record, consumer) => {
        record.writeUInt32LE(number(consumer), SENDER_AT);
        return [record];
      }),
  },
  {
    name: 'flows are asked for again',
    spoil: (e, folder) => logs(folder, e, (line) => (line['event'] === 'resolve' ? [line, line] : [line])),
  },
  {
    name: 'metrics are wrong',
    spoil: (e) => answers(e, 'GetLSAGMetrics', (a) => reworded(a, /"meanUs":([0-9.]+)/g, (us) => `"meanUs":${Number(us) * 1.1}`)),
  },
  { name: 'producers and PPNs are one place', spoil: (e, folder) => ppns(e, folder, (f, _, sent) => [sent ? f : arrivedAtOnce(f)]) },
]);

/** A message as if it had come at the moment of its generation. */
function arrivedAtOnce(frame: Frame): Frame {
  const generatedAt = 14 + 20 + 8 + 24;
  if (frame.bytes.length < generatedAt + 8) return frame;
  const ns = frame.bytes.readBigInt64BE(generatedAt) + 1000n;
  return { ...frame, seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n) };
}

/** Every consumer has every message: what any of them has, and what none has. */
function complete(evidence: CellEvidence, folder: string): CellEvidence {
  const all = new Map<string, Buffer>();
  rewriteLogs(folder, (line) => {
    if (line['event'] === 'deliveries') {
      const records = Buffer.from(line['records'] as string, 'base64');
      [...deliveriesOf(records)].forEach((d, i) =>
        all.set(`${d.source} ${d.sequence}`, Buffer.from(records.subarray(i * DELIVERY_BYTES, (i + 1) * DELIVERY_BYTES))),
      );
    }
    return [line];
  });
  const everything = Buffer.concat(withGaps([...all.values()]).map((r) => received(r, millis(6)))).toString('base64');
  const done = new Set<string>();
  rewriteLogs(folder, (line, node) => {
    if (line['event'] !== 'deliveries') return [line];
    if (done.has(node)) return [];
    done.add(node);
    return [{ ...line, records: everything }];
  });
  return { ...evidence, captures: evidence.captures.filter((c) => !/^c\d/.test(c.at)) };
}

/** Deliveries with those that are missing between the first and the last of each source. */
function withGaps(records: readonly Buffer[]): Buffer[] {
  return [...Map.groupBy(records, (r) => r.readUInt32LE(SOURCE_AT)).values()].flatMap((own) => {
    const known = new Map(own.map((r) => [r.readBigUInt64LE(SEQUENCE_AT), r]));
    const numbers = [...known.keys()].sort((a, b) => Number(a - b));
    const [first, last] = [numbers[0]!, numbers.at(-1)!];
    const generated = (n: bigint): bigint => known.get(n)!.readBigInt64LE(GENERATED_AT);
    const periodNs = last > first ? (generated(last) - generated(first)) / (last - first) : 0n;
    return Array.from({ length: Number(last) + 1 }, (_, i) => {
      const record = Buffer.from(known.get(BigInt(i)) ?? known.get(first)!);
      if (!known.has(BigInt(i))) {
        record.writeBigUInt64LE(BigInt(i), SEQUENCE_AT);
        record.writeBigInt64LE(generated(first) + (BigInt(i) - first) * periodNs, GENERATED_AT);
      }
      return record;
    });
  });
}
