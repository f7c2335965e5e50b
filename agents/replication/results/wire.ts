/** Messages as captures at nodes show them: what came in and what went out, whatever the node says of itself. */
import { join } from 'node:path';
import { emptyHeaders, ipToText, readHeaders } from '../../../src/capture/headers.ts';
import { readCapture } from '../../../src/capture/reader.ts';
import { defectOf } from '../../../src/evidence/captures.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { NodeInfo } from '../config.ts';
import { DATA_PORT } from '../protocol.ts';

/** A message that passed a node's interface. Stamps are the kernel's there, epoch nanoseconds of the clock that phases are dated by. */
export interface Passage {
  readonly graph: number;
  readonly epoch: number;
  readonly source: number;
  readonly sequence: number;
  /** Node that sent it, as the message says. */
  readonly sender: number;
  /** Node that it is addressed to; '' where no node has that address. */
  readonly to: string;
  /** Of the datagram's payload. */
  readonly bytes: number;
  readonly atNs: bigint;
  /** The same by the clock of the node's machine. */
  readonly stampNs: bigint;
  /** By the producer's clock, as the message says. */
  readonly generatedNs: bigint;
}

/** A measurement message at a node's interface. */
export interface Measurement {
  readonly from: string;
  readonly to: string;
  /** Epoch nanoseconds, as those of messages. */
  readonly atNs: bigint;
}

export interface Passages {
  readonly arrived: readonly Passage[];
  readonly sent: readonly Passage[];
  readonly measured: readonly Measurement[];
}

/** Ethernet, IPv4 without options, UDP; then struct header of native/packetloop.c. */
const HEADER_AT = 14 + 20 + 8;
/** Up to the sender: what follows is not needed, and may have been cut off. */
const HEADER_BYTES = 44;
const MAGIC = 0x4e52;
const [MESSAGE, MEASUREMENT] = [1, 2];
const AT = { kind: 3, graph: 4, epoch: 8, source: 12, sequence: 16, generated: 24, sender: 40 } as const;

const read = new WeakMap<CellEvidence, Map<string, Passages | string>>();

/** By PPN; a text says which PPN was not watched, so that nothing can be concluded. */
export function passagesOf(evidence: CellEvidence, nodes: readonly NodeInfo[]): ReadonlyMap<string, Passages> | string {
  const all = new Map<string, Passages>();
  for (const { name } of nodes.filter((n) => n.role === 'ppn')) {
    const own = passagesAt(evidence, nodes, name);
    if (typeof own === 'string') return own;
    all.set(name, own);
  }
  return all;
}

/** Of one node; a text says why its interfaces show nothing. Read once. */
export function passagesAt(evidence: CellEvidence, nodes: readonly NodeInfo[], name: string): Passages | string {
  let known = read.get(evidence);
  if (!known) read.set(evidence, (known = new Map<string, Passages | string>()));
  let own = known.get(name);
  if (own === undefined) known.set(name, (own = readPassages(evidence, nodes, name)));
  return own;
}

function readPassages(evidence: CellEvidence, nodes: readonly NodeInfo[], name: string): Passages | string {
  const names = new Map(nodes.map((n) => [n.address, n.name]));
  const byId = new Map(nodes.map((n) => [n.id, n.name]));
  const address = nodes.find((n) => n.name === name)?.address;
  const records = evidence.captures.filter((c) => c.at.startsWith(`${name}:`));
  if (records.length === 0) return `nothing is captured at ${name}: what it does is its own word only`;
  const bad = records.find((r) => defectOf(r) !== undefined);
  if (bad) return `the capture at ${bad.at} is incomplete: ${defectOf(bad)}`;
  const own: { arrived: Passage[]; sent: Passage[]; measured: Measurement[] } = { arrived: [], sent: [], measured: [] };
  for (const record of records) {
    const aheadNs = BigInt(Math.round(record.clock.offsetNs));
    const headers = emptyHeaders();
    readCapture(join(evidence.folder, record.file), (packet) => {
      const { data, offset, captured, length, seconds, nanoseconds } = packet;
      const at = offset + HEADER_AT;
      if (!readHeaders(packet, headers) || headers.destinationPort !== DATA_PORT || captured < HEADER_AT + HEADER_BYTES) return;
      if (data.readUInt16BE(at) !== MAGIC) return;
      const kind = data[at + AT.kind];
      const stampNs = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
      const [sender, to] = [data.readUInt32BE(at + AT.sender), names.get(ipToText(headers.destinationIp)) ?? ''];
      if (kind === MEASUREMENT) own.measured.push({ from: byId.get(sender) ?? '', to, atNs: stampNs - aheadNs });
      if (kind !== MESSAGE) return;
      const passage: Passage = {
        graph: data.readUInt32BE(at + AT.graph),
        epoch: data.readUInt32BE(at + AT.epoch),
        source: data.readUInt32BE(at + AT.source),
        sequence: Number(data.readBigUInt64BE(at + AT.sequence)),
        sender,
        to,
        bytes: length - HEADER_AT,
        atNs: stampNs - aheadNs,
        stampNs,
        generatedNs: data.readBigInt64BE(at + AT.generated),
      };
      (ipToText(headers.sourceIp) === address ? own.sent : own.arrived).push(passage);
    });
  }
  return own;
}
