/**
 * libpcap by node-pcap, in a process of its own: reading blocks it, and its filter language knows every protocol.
 *   check           stdin: a JSON list of filters; stdout: for each, what is wrong with it, or null
 *   copy FILE FILTER OUT   the packets of a capture that the filter lets through, as pcap with microseconds
 *   show            stdin: a capture as it grows; stdout: a line for each packet; stderr: rates, every second
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { parsed } from '../../core/lightjson.ts';
import { formatRate } from '../../core/units.ts';

interface Packet {
  readonly buf: Buffer;
  readonly header: Buffer;
  readonly link_type: string;
}
interface Session {
  on(event: 'packet', listener: (packet: Packet) => void): Session;
  on(event: 'complete', listener: () => void): Session;
}
interface Pcap {
  createOfflineSession(path: string, options: { filter: string }): Session;
  readonly decode: { packet(packet: Packet): { toString(): string } };
}

// CommonJS, without types of its own that hold.
const pcap = createRequire(import.meta.url)('pcap') as Pcap;
const ETHERNET = 1;
const MOST_BYTES = 262_144;

/** File header of pcap with microseconds, in this machine's byte order, as node-pcap hands out record headers. */
function fileHeader(): Buffer {
  const b = Buffer.alloc(24);
  b.writeUInt32LE(0xa1b2c3d4, 0);
  b.writeUInt16LE(2, 4);
  b.writeUInt16LE(4, 6);
  b.writeUInt32LE(MOST_BYTES, 16);
  b.writeUInt32LE(ETHERNET, 20);
  return b;
}

/** Record header of libpcap in memory: seconds, microseconds, bytes captured, bytes on the wire. */
const recordOf = ({ header, buf }: Packet) => ({
  seconds: header.readUInt32LE(0),
  microseconds: header.readUInt32LE(4),
  captured: Math.min(header.readUInt32LE(8), buf.length),
  length: header.readUInt32LE(12),
});

function check(filters: readonly string[]): (string | null)[] {
  const dir = mkdtempSync(join(tmpdir(), 'netrig-filter-'));
  try {
    const empty = join(dir, 'empty.pcap');
    writeFileSync(empty, fileHeader());
    return filters.map((filter) => {
      try {
        // Not closed: it reads the file later, and would read freed memory.
        pcap.createOfflineSession(empty, { filter });
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function copy(file: string, filter: string, out: string): void {
  const parts: Buffer[] = [fileHeader()];
  pcap
    .createOfflineSession(file, { filter })
    .on('packet', (packet) => {
      const { seconds, microseconds, captured, length } = recordOf(packet);
      const record = Buffer.alloc(16);
      [seconds, microseconds, captured, length].forEach((value, i) => record.writeUInt32LE(value, i * 4));
      // The buffer is used again for the next packet.
      parts.push(record, Buffer.from(packet.buf.subarray(0, captured)));
    })
    .on('complete', () => writeFileSync(out, Buffer.concat(parts)));
}

function show(): void {
  let second = 0;
  let [packets, bytes] = [0, 0];
  pcap.createOfflineSession('-', { filter: '' }).on('packet', (packet) => {
    const { seconds, microseconds, length } = recordOf(packet);
    if (seconds !== second && second !== 0) {
      process.stderr.write(`-- ${packets} packets, ${formatRate((bytes * 8) / Math.max(1, seconds - second))}\n`);
      [packets, bytes] = [0, 0];
    }
    second = seconds;
    packets += 1;
    bytes += length;
    const time = new Date(seconds * 1000).toISOString().slice(11, 19);
    process.stdout.write(`${time}.${String(microseconds).padStart(6, '0')}  ${describe(packet)}  ${length} bytes\n`);
  });
}

function describe(packet: Packet): string {
  try {
    return pcap.decode
      .packet(packet)
      .toString()
      .replace(/^LINKTYPE_ETHERNET /, '');
  } catch (error) {
    return `not decoded: ${(error as Error).message}`;
  }
}

const [command, ...args] = process.argv.slice(2);
if (command === 'check') {
  let text = '';
  process.stdin
    .setEncoding('utf8')
    .on('data', (chunk) => {
      text += String(chunk);
    })
    .on('end', () => process.stdout.write(JSON.stringify(check(parsed(Type.Array(Type.String()), text)))));
} else if (command === 'copy') copy(...(args as [string, string, string]));
else show();
