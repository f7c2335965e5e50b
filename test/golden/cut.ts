/** A results folder cut to what checks read: first repeat, no tools' output, captures and logs without what decides nothing. */
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DATA_PORT } from '../../agents/replication/protocol.ts';
import { DELIVERY_BYTES } from '../../agents/replication/records.ts';
import { FLOW_BYTES, HEADER_BYTES } from '../../agents/hub/decision/wire.ts';
import { dissect as dissectHub } from '../../agents/hub/results/frames.ts';
import { dissect } from '../../agents/pop/results/packets.ts';
import { macToNumber, emptyHeaders, readHeaders } from '../../src/capture/headers.ts';
import { readCapture } from '../../src/capture/reader.ts';
import { BIN_US } from '../../src/checks/series.ts';
import { cellFolder, readRun, type CellEvidence } from '../../src/evidence/cell.ts';
import { writeManifest } from '../../src/evidence/manifest.ts';
import type { Frame } from '../support/pcap.ts';
import { readFrames, rewriteLogs, writeFrames, type Line } from './frames.ts';

const PARTS = ['lab', 'phases', 'captures', 'events', 'agents', 'clocks', 'voided'];
/** Events of agents' logs that figures are made of. */
const KEPT_EVENTS: Readonly<Record<string, readonly string[]>> = {
  gatekeeper: [],
  replication: ['deliveries', 'directives', 'iteration', 'resolve'],
  pop: ['connections', 'access', 'policies', 'tables', 'load'],
  hub: ['probes'],
  mesh: ['probes'],
};
/** Ethernet, IPv4, UDP or the part of TCP that tells packets apart; of messages the header, the flow, and the place of a segment. */
const [HUB_BYTES, HUB_MESSAGE_BYTES] = [14 + 20 + 14, 14 + 20 + 8 + HEADER_BYTES + FLOW_BYTES + 4];
/** Ethernet, IPv6 and the part of TCP that tells packets apart, in a tunnel over IPv4. */
const MESH_BYTES = 14 + 20 + 8 + 8 + 14 + 40 + 16;
/** Of a capture with connections so many packets are kept, whole connections at a time. */
const MOST_PACKETS = 8000;
/** Ethernet, IPv4, UDP, struct header of agents/replication/native/packetloop.c. */
const REPLICATION_BYTES = 14 + 20 + 8 + 56;
const [ADDRESSES_AT, PORT_AT, KIND_AT] = [14 + 12, 14 + 20 + 2, 14 + 20 + 8 + 3];
const MEASUREMENT = 2;
const MEASUREMENT_EVERY_MS = 200;

export async function cutRun(results: string, into: string): Promise<void> {
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into, { recursive: true });
  const { manifest, cells } = await readRun(results);
  await writeManifest(into, { ...manifest, command: [], repeat: 1, looks: null, more: {}, machines: {} });
  for (const [cell, [evidence]] of cells) if (evidence) cutCell(evidence, cellFolder(into, cell, 1));
}

function cutCell(evidence: CellEvidence, into: string): void {
  mkdirSync(join(into, 'captures'), { recursive: true });
  for (const part of PARTS)
    if (existsSync(join(evidence.folder, `${part}.json`))) cpSync(join(evidence.folder, `${part}.json`), join(into, `${part}.json`));
  const systems = evidence.lab.systems.map((s) => s.name);
  const kept = systems.flatMap((s) => KEPT_EVENTS[s] ?? []);
  if (kept.length > 0) {
    cpSync(join(evidence.folder, 'agents'), join(into, 'agents'), { recursive: true });
    // The first line of a log shows that there was one.
    const begun = new Set<string>();
    rewriteLogs(into, (line, node) => {
      if (!kept.includes(String(line['event'])) && begun.has(node)) return [];
      begun.add(node);
      return [shortened(line)];
    });
  }
  for (const record of evidence.captures) {
    const from = join(evidence.folder, record.file);
    const frames = systems.includes('pop')
      ? wholeConnections(readFrames(from), evidence)
      : systems.includes('replication')
        ? thinned(readFrames(from), judgesMeasurement(evidence)).map((f) => ({ ...f, bytes: plain(f.bytes) }))
        : systems.includes('hub')
          ? readFrames(from).map((f) => withoutPayload(f, judgesCopies(evidence)))
          : systems.includes('mesh')
            ? readFrames(from).map((f) => ({ ...f, bytes: f.bytes.subarray(0, MESH_BYTES) }))
            : binned(from, evidence);
    writeFrames(join(into, record.file), frames);
  }
}

/** Headers, of messages between AINs and DMNs what they are about, and answers of name servers; without the operations of actions. */
function withoutPayload(frame: Frame, keepsData: boolean): Frame {
  const seen = dissectHub(frame.bytes, frame.length);
  const isKept = seen && (seen.answer !== null || seen.question !== null || (keepsData && seen.data !== null));
  const kept = isKept ? frame.bytes.length : seen?.message ? HUB_MESSAGE_BYTES : HUB_BYTES;
  const bytes = Buffer.from(frame.bytes.subarray(0, kept));
  // The checksum of IPv4.
  bytes.fill(0, 24, 26);
  return { ...frame, bytes };
}

/** Of the captured bytes, those that are random and decide nothing: identification, checksums, time of sending, tag. */
const RANDOM: readonly (readonly [from: number, to: number])[] = [
  [18, 20],
  [24, 26],
  [40, 42],
  [74, 82],
  [90, 98],
];

function plain(bytes: Buffer): Buffer {
  const cut = Buffer.from(bytes.subarray(0, REPLICATION_BYTES));
  for (const [from, to] of RANDOM) cut.fill(0, Math.min(from, cut.length), Math.min(to, cut.length));
  return cut;
}

/** Of deliveries it is not judged when the application had them. */
function shortened(line: Line): Line {
  if (line['event'] !== 'deliveries') return line;
  const records = Buffer.from(line['records'] as string, 'base64');
  for (let at = 0; at + DELIVERY_BYTES <= records.length; at += DELIVERY_BYTES) records.copy(records, at + 48, at + 40, at + 48);
  return { ...line, records: records.toString('base64') };
}

const judgesCopies = ({ lab }: CellEvidence): boolean => lab.targets.some((t) => (t as { metric?: string }).metric === 'miscopied');

const judgesMeasurement = ({ lab }: CellEvidence): boolean =>
  lab.targets.some((t) => ['unmeasured', 'sent'].includes((t as { metric?: string }).metric ?? ''));

/** Of measurement messages it is judged, if at all, whether they take a path between two iterations: one in a while is enough. */
function thinned(frames: readonly Frame[], keeps: boolean): Frame[] {
  const last = new Map<string, number>();
  return frames.filter(({ bytes, seconds, nanoseconds }) => {
    if (bytes.length <= KIND_AT || bytes.readUInt16BE(PORT_AT) !== DATA_PORT || bytes[KIND_AT] !== MEASUREMENT) return true;
    if (!keeps) return false;
    const [path, atMs] = [bytes.toString('hex', ADDRESSES_AT, ADDRESSES_AT + 8), seconds * 1000 + nanoseconds / 1e6];
    if (atMs < (last.get(path) ?? -Infinity) + MEASUREMENT_EVERY_MS) return false;
    last.set(path, atMs);
    return true;
  });
}

/** Rates are judged by windows of whole bins: one frame for all of a station's in a bin, as long as they together. */
function binned(path: string, evidence: CellEvidence): Frame[] {
  const labelled = new Set(
    evidence.lab.fabric.nodes.flatMap((n) => n.interfaces.filter((i) => Object.keys(i.labels).length > 0).map((i) => macToNumber(i.mac))),
  );
  const bins = new Map<string, Frame>();
  const headers = emptyHeaders();
  for (const phase of evidence.phases) {
    const startNs = BigInt(phase.startedNs);
    readCapture(path, (packet) => {
      if (!readHeaders(packet, headers) || (!labelled.has(headers.sourceMac) && !labelled.has(headers.destinationMac))) return;
      const ns = BigInt(packet.seconds) * 1_000_000_000n + BigInt(packet.nanoseconds);
      const bin = Math.floor(Number(ns - startNs) / 1000 / BIN_US);
      if (bin < 0 || bin >= phase.durationUs / BIN_US) return;
      const key = `${phase.phase} ${bin} ${headers.sourceMac} ${headers.destinationMac}`;
      const middleNs = startNs + BigInt(Math.round((bin + 0.5) * BIN_US * 1000));
      const before = bins.get(key);
      bins.set(
        key,
        before
          ? { ...before, length: before.length + packet.length }
          : {
              seconds: Number(middleNs / 1_000_000_000n),
              nanoseconds: Number(middleNs % 1_000_000_000n),
              length: packet.length,
              bytes: Buffer.from(packet.data.subarray(packet.offset, packet.offset + 14)),
            },
      );
    });
  }
  return [...bins.values()].sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds);
}

/** Every n-th connection, by the port of its client. */
function wholeConnections(frames: readonly Frame[], evidence: CellEvidence): Frame[] {
  const n = Math.ceil(frames.length / MOST_PACKETS);
  const anycast = new Set(
    Object.values(
      (evidence.lab.systems.find((s) => s.name === 'pop')?.config as { services?: Record<string, { address: string }> }).services ?? {},
    ).map((s) => s.address),
  );
  return frames.filter((frame) => {
    const packet = dissect(frame.bytes);
    if (!packet) return false;
    const { inner } = packet;
    const port = anycast.has(inner.source) ? inner.destinationPort : inner.sourcePort;
    return port % n === 0;
  });
}
