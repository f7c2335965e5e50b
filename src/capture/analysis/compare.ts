/** Packets of one capture found again in another: what became of them between the two places. */
import { quantileSorted } from 'simple-statistics';
import { readCapture, type Packet } from '../reader.ts';
import { endsOf, timeOf } from './conversations.ts';

export interface Comparison {
  /** Packets of the first capture that could be told apart; those that the second one lacks; those that it has several times. */
  readonly sent: number;
  readonly lost: number;
  readonly duplicated: number;
  /** Arrived after one that left later. */
  readonly reordered: number;
  /** Seconds from the first place to the second, by the stamps of both; empty: none came. */
  readonly latencyS: { readonly min: number; readonly p50: number; readonly p99: number; readonly max: number } | null;
}

/** Bytes of the transport layer that tell packets of a flow apart: ports, sequence number or checksum. */
const TOLD_APART_BY = 24;

/** What does not change on the way: addresses, identification, length, the beginning of what is carried; not the time to live. */
function keyOf(packet: Packet): string | null {
  const ends = endsOf(packet);
  if (!ends || ends.transportAt === null) return null;
  const { data: b, offset, captured } = packet;
  const at = ends.networkAt;
  const isV4 = (b[at] as number) >> 4 === 4;
  const fixed = isV4
    ? b.toString('latin1', at + 2, at + 6) + b.toString('latin1', at + 12, at + 20)
    : b.toString('latin1', at, at + 7) + b.toString('latin1', at + 8, at + 40);
  return fixed + b.toString('latin1', ends.transportAt, Math.min(ends.transportAt + TOLD_APART_BY, offset + captured));
}

/** CAPTURE_MALFORMED. */
export function compareCaptures(first: string, second: string): Comparison {
  const left = new Map<string, { order: number; atS: number; arrivals: number }[]>();
  let sent = 0;
  readCapture(first, (packet) => {
    const key = keyOf(packet);
    if (key === null) return;
    const entry = { order: sent++, atS: timeOf(packet), arrivals: 0 };
    const same = left.get(key);
    if (same) same.push(entry);
    else left.set(key, [entry]);
  });
  const latencies: number[] = [];
  let [duplicated, reordered, last] = [0, 0, -1];
  readCapture(second, (packet) => {
    const key = keyOf(packet);
    const entries = key === null ? undefined : left.get(key);
    if (!entries) return;
    const entry = entries.find((e) => e.arrivals === 0);
    if (!entry) {
      duplicated += 1;
      return;
    }
    entry.arrivals += 1;
    latencies.push(timeOf(packet) - entry.atS);
    if (entry.order < last) reordered += 1;
    last = Math.max(last, entry.order);
  });
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => quantileSorted(latencies, q);
  return {
    sent,
    lost: sent - latencies.length,
    duplicated,
    reordered,
    latencyS: latencies.length === 0 ? null : { min: quantile(0), p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
  };
}
