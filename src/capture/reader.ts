/**
 * Streaming reader of pcap (µs and ns, both byte orders) and pcapng files, for millions of packets a second.
 * One packet object is reused for every callback: copy what must outlive it. A file that ends in the middle
 * of a record (a killed writer) gives every whole packet, and `truncated` says so.
 *
 * Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. Hand-written: npm's readers lose nanoseconds,
 * crash on pcapng, or are ten times slower.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { NetrigError } from '../core/errors.ts';

export interface Packet {
  /** Seconds since the epoch, and nanoseconds within the second: together exact. */
  seconds: number;
  nanoseconds: number;
  /** Bytes on the wire. */
  length: number;
  /** Bytes in the file, from `offset` in `data`. */
  captured: number;
  data: Buffer;
  offset: number;
  /** DLT_ value of the interface, 1 for Ethernet. */
  linkType: number;
}

export interface ReadSummary {
  readonly packets: number;
  readonly truncated: boolean;
  readonly format: 'pcap' | 'pcapng';
}

const CHUNK_BYTES = 4 << 20;
/** No capture holds larger packets (libpcap's own limit); anything above is damage. */
const MAX_RECORD_BYTES = 1 << 26;

/** Calls `onPacket` for every packet; throws CAPTURE_MALFORMED where the file is not a capture. */
export function readCapture(path: string, onPacket: (packet: Packet) => void): ReadSummary {
  const input = new ChunkReader(path);
  try {
    if (!input.ensure(4)) {
      if (input.available === 0) throw malformed(path, 'the file is empty');
      throw malformed(path, 'shorter than any capture');
    }
    const magic = input.buffer.readUInt32LE(input.offset);
    if (magic === 0x0a0d0d0a) return readPcapng(path, input, onPacket);
    const classic = CLASSIC_MAGIC.get(magic);
    if (!classic) throw malformed(path, `unknown magic 0x${magic.toString(16)}`);
    return readPcap(path, input, classic, onPacket);
  } finally {
    input.close();
  }
}

interface Classic {
  readonly littleEndian: boolean;
  readonly nano: boolean;
}

/** Read as little-endian: a1b2c3d4 is µs, a1b23c4d is ns; swapped bytes mean big-endian. */
const CLASSIC_MAGIC = new Map<number, Classic>([
  [0xa1b2c3d4, { littleEndian: true, nano: false }],
  [0xa1b23c4d, { littleEndian: true, nano: true }],
  [0xd4c3b2a1, { littleEndian: false, nano: false }],
  [0x4d3cb2a1, { littleEndian: false, nano: true }],
]);

const malformed = (path: string, why: string): NetrigError =>
  new NetrigError('CAPTURE_MALFORMED', `${path} is not a readable capture: ${why}`);

/** A window over the file that always holds the next `ensure`d bytes contiguously. */
class ChunkReader {
  buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  offset = 0;
  #end = 0;
  readonly #fd: number;

  constructor(path: string) {
    try {
      this.#fd = openSync(path, 'r');
    } catch (cause) {
      throw new NetrigError('CAPTURE_MALFORMED', `cannot open ${path}: ${(cause as Error).message}`, { cause });
    }
  }

  get available(): number {
    return this.#end - this.offset;
  }

  ensure(bytes: number): boolean {
    while (this.#end - this.offset < bytes) {
      if (this.offset > 0) {
        this.buffer.copyWithin(0, this.offset, this.#end);
        this.#end -= this.offset;
        this.offset = 0;
      }
      if (bytes > this.buffer.length) {
        const larger = Buffer.allocUnsafe(Math.max(bytes, this.buffer.length * 2));
        this.buffer.copy(larger, 0, 0, this.#end);
        this.buffer = larger;
      }
      const read = readSync(this.#fd, this.buffer, this.#end, this.buffer.length - this.#end, null);
      if (read === 0) return false;
      this.#end += read;
    }
    return true;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const emptyPacket = (data: Buffer): Packet => ({ seconds: 0, nanoseconds: 0, length: 0, captured: 0, data, offset: 0, linkType: 1 });

function readPcap(path: string, input: ChunkReader, { littleEndian, nano }: Classic, onPacket: (packet: Packet) => void): ReadSummary {
  if (!input.ensure(24)) return { packets: 0, truncated: true, format: 'pcap' };
  const u32 = littleEndian
    ? (b: Buffer, o: number): number => (b[o]! | (b[o + 1]! << 8) | (b[o + 2]! << 16) | (b[o + 3]! << 24)) >>> 0
    : (b: Buffer, o: number): number => ((b[o]! << 24) | (b[o + 1]! << 16) | (b[o + 2]! << 8) | b[o + 3]!) >>> 0;
  const packet = emptyPacket(input.buffer);
  packet.linkType = u32(input.buffer, input.offset + 20) & 0x0fffffff;
  input.offset += 24;
  const fraction = nano ? 1 : 1000;
  let packets = 0;
  while (input.ensure(16)) {
    const { buffer, offset } = input;
    const captured = u32(buffer, offset + 8);
    if (captured > MAX_RECORD_BYTES) throw malformed(path, `packet ${packets + 1} claims ${captured} bytes`);
    packet.seconds = u32(buffer, offset);
    packet.nanoseconds = u32(buffer, offset + 4) * fraction;
    packet.length = u32(buffer, offset + 12);
    if (!input.ensure(16 + captured)) return { packets, truncated: true, format: 'pcap' };
    packet.data = input.buffer;
    packet.offset = input.offset + 16;
    packet.captured = captured;
    onPacket(packet);
    packets += 1;
    input.offset += 16 + captured;
  }
  return { packets, truncated: input.available > 0, format: 'pcap' };
}

interface PcapngInterface {
  readonly linkType: number;
  readonly snapLength: number;
  /** Ticks per second. */
  readonly resolution: bigint;
  readonly offsetSeconds: bigint;
}

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

function readPcapng(path: string, input: ChunkReader, onPacket: (packet: Packet) => void): ReadSummary {
  const packet = emptyPacket(input.buffer);
  let littleEndian = true;
  let interfaces: PcapngInterface[] = [];
  let packets = 0;
  const u16 = (o: number) => (littleEndian ? input.buffer.readUInt16LE(o) : input.buffer.readUInt16BE(o));
  const u32 = (o: number) => (littleEndian ? input.buffer.readUInt32LE(o) : input.buffer.readUInt32BE(o));
  while (input.ensure(12)) {
    if (input.buffer.readUInt32LE(input.offset) === SECTION_HEADER) {
      const order = input.buffer.readUInt32LE(input.offset + 8);
      if (order !== 0x1a2b3c4d && order !== 0x4d3c2b1a) throw malformed(path, 'a section without byte order');
      littleEndian = order === 0x1a2b3c4d;
      interfaces = [];
    }
    const type = u32(input.offset);
    const total = u32(input.offset + 4);
    if (total < 12 || total % 4 !== 0 || total > MAX_RECORD_BYTES) throw malformed(path, `a block claims ${total} bytes`);
    if (!input.ensure(total)) return { packets, truncated: true, format: 'pcapng' };
    const body = input.offset + 8;
    const end = input.offset + total - 4;
    if (type === INTERFACE_DESCRIPTION) {
      if (end - body < 8) throw malformed(path, 'an interface block is too short');
      interfaces.push(readInterface(input.buffer, body, end, u16, u32));
    } else if (type === ENHANCED_PACKET || type === OBSOLETE_PACKET) {
      if (end - body < 20) throw malformed(path, 'a packet block is too short');
      const itf = interfaces[type === ENHANCED_PACKET ? u32(body) : u16(body)];
      if (!itf) throw malformed(path, 'a packet of an undeclared interface');
      setTime(packet, u32(body + 4), u32(body + 8), itf);
      packet.captured = u32(body + 12);
      packet.length = u32(body + 16);
      packet.offset = body + 20;
      deliver(itf);
    } else if (type === SIMPLE_PACKET) {
      const itf = interfaces[0];
      if (!itf || end - body < 4) throw malformed(path, 'a simple packet without an interface');
      packet.seconds = 0;
      packet.nanoseconds = 0;
      packet.length = u32(body);
      packet.captured = Math.min(packet.length, itf.snapLength || packet.length, end - body - 4);
      packet.offset = body + 4;
      deliver(itf);
    }
    input.offset += total;

    function deliver(itf: PcapngInterface): void {
      if (packet.offset + packet.captured > end) throw malformed(path, `packet ${packets + 1} is longer than its block`);
      packet.data = input.buffer;
      packet.linkType = itf.linkType;
      onPacket(packet);
      packets += 1;
    }
  }
  return { packets, truncated: input.available > 0, format: 'pcapng' };
}

function readInterface(buffer: Buffer, body: number, end: number, u16: (o: number) => number, u32: (o: number) => number): PcapngInterface {
  let resolution = 1_000_000n;
  let offsetSeconds = 0n;
  for (let at = body + 8; at + 4 <= end;) {
    const code = u16(at);
    const length = u16(at + 2);
    if (code === 0 || at + 4 + length > end) break;
    if (code === 9 && length >= 1) {
      const exponent = buffer[at + 4] as number;
      resolution = exponent & 0x80 ? 1n << BigInt(exponent & 0x7f) : 10n ** BigInt(exponent);
    }
    if (code === 14 && length >= 8) offsetSeconds = BigInt(u32(at + 4)) | (BigInt(u32(at + 8)) << 32n);
    at += 4 + ((length + 3) & ~3);
  }
  return { linkType: u16(body), snapLength: u32(body + 4), resolution, offsetSeconds };
}

function setTime(packet: Packet, high: number, low: number, itf: PcapngInterface): void {
  if (itf.resolution === 1_000_000_000n && itf.offsetSeconds === 0n) {
    // The common case exactly and without BigInt: 2^32 ns = 4 s + 294967296 ns, and 2^48 ns = 65536 * 4 s
    // + 19330 s + 976710656 ns, so that every product stays below 2^53.
    const upper = high >>> 16;
    const nanoseconds = upper * 976710656 + (high & 0xffff) * 294967296 + low;
    packet.seconds = high * 4 + upper * 19330 + Math.floor(nanoseconds / 1e9);
    packet.nanoseconds = nanoseconds % 1e9;
    return;
  }
  const ticks = (BigInt(high) << 32n) | BigInt(low);
  packet.seconds = Number(ticks / itf.resolution + itf.offsetSeconds);
  packet.nanoseconds = Number(((ticks % itf.resolution) * 1_000_000_000n) / itf.resolution);
}
