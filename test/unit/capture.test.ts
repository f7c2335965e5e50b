import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { emptyHeaders, ipToText, readHeaders } from '../../src/capture/headers.ts';
import { readCapture } from '../../src/capture/reader.ts';
import { NetrigError } from '../../src/core/errors.ts';
import { scratch } from '../support/netrig.ts';
import { classicPcap, pcapng, sampleFrames } from '../support/pcap.ts';

interface Row {
  time: string;
  length: number;
  captured: number;
  source: string;
  destination: string;
  ports: string;
}

function rows(path: string): Row[] {
  const headers = emptyHeaders();
  const out: Row[] = [];
  readCapture(path, (p) => {
    readHeaders(p, headers);
    out.push({
      time: `${p.seconds}.${String(p.nanoseconds).padStart(9, '0')}`,
      length: p.length,
      captured: p.captured,
      source: headers.sourceIp ? ipToText(headers.sourceIp) : '',
      destination: headers.destinationIp ? ipToText(headers.destinationIp) : '',
      ports: headers.sourcePort >= 0 ? `${headers.sourcePort}>${headers.destinationPort}` : '',
    });
  });
  return out;
}

const frames = sampleFrames(200);

for (const littleEndian of [true, false]) {
  for (const nano of [true, false]) {
    test(`pcap, ${littleEndian ? 'little' : 'big'} endian, ${nano ? 'nanoseconds' : 'microseconds'}: the same fields as tshark`, () => {
      using files = scratch();
      const path = join(files.dir, 'x.pcap');
      writeFileSync(path, classicPcap(frames, { littleEndian, nano }));
      compareWithTshark(path);
    });
  }
  test(`pcapng, ${littleEndian ? 'little' : 'big'} endian: the same fields as tshark`, () => {
    using files = scratch();
    const path = join(files.dir, 'x.pcapng');
    for (const resolution of [6, 9, 0x8a]) {
      writeFileSync(path, pcapng(frames, { littleEndian, resolution }));
      compareWithTshark(path);
    }
  });
}

function compareWithTshark(path: string): void {
  const fields = [
    'frame.time_epoch',
    'frame.len',
    'frame.cap_len',
    'ip.src',
    'ip.dst',
    'tcp.srcport',
    'tcp.dstport',
    'udp.srcport',
    'udp.dstport',
  ];
  const text = execFileSync('tshark', ['-r', path, '-T', 'fields', '-E', 'occurrence=f', ...fields.flatMap((f) => ['-e', f])], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // tshark lists the unknown block as a record without a time.
  const expected = text
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('\t'))
    .map((line): Row => {
      const [time = '', length, captured, source = '', destination = '', tcpFrom, tcpTo, udpFrom, udpTo] = line.split('\t');
      const from = tcpFrom || udpFrom;
      return {
        time,
        length: Number(length),
        captured: Number(captured),
        source,
        destination,
        ports: from ? `${from}>${tcpTo || udpTo}` : '',
      };
    });
  assert.deepEqual(rows(path), expected);
}

test('a truncated file gives every whole packet and says that it is truncated', () => {
  using files = scratch();
  const whole = classicPcap(frames, { littleEndian: true, nano: true });
  const path = join(files.dir, 'cut.pcap');
  writeFileSync(path, whole.subarray(0, whole.length - 5));
  let packets = 0;
  const summary = readCapture(path, () => {
    packets += 1;
  });
  assert.deepEqual(summary, { packets: frames.length - 1, truncated: true, format: 'pcap' });
  assert.equal(packets, frames.length - 1);
});

test('fuzz: damaged captures are refused or read short, never crash or hang', () => {
  using files = scratch();
  const path = join(files.dir, 'fuzz');
  const seeds = [
    classicPcap(frames.slice(0, 5), { littleEndian: true, nano: true }),
    classicPcap(frames.slice(0, 5), { littleEndian: false, nano: false }),
    pcapng(frames.slice(0, 5), { littleEndian: true, resolution: 9 }),
    pcapng(frames.slice(0, 5), { littleEndian: false, resolution: 6 }),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
      fc.nat(),
      (seed, edits, cut) => {
        const bytes = Buffer.from(seed.subarray(0, seed.length - (cut % seed.length)));
        for (const [at, value] of edits) if (bytes.length > 0) bytes[at % bytes.length] = value;
        writeFileSync(path, bytes);
        const headers = emptyHeaders();
        try {
          readCapture(path, (p) => {
            assert.ok(p.offset + p.captured <= p.data.length);
            readHeaders(p, headers);
          });
        } catch (error) {
          assert.ok(error instanceof NetrigError && error.code === 'CAPTURE_MALFORMED', String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('packets larger than the read window are whole', () => {
  using files = scratch();
  const path = join(files.dir, 'big.pcap');
  const big = { seconds: 1, nanoseconds: 2, length: 6 << 20, bytes: Buffer.alloc(6 << 20, 7) };
  writeFileSync(path, classicPcap([big, big], { littleEndian: true, nano: true }));
  const sizes: number[] = [];
  readCapture(path, (p) => sizes.push(p.data[p.offset + p.captured - 1] === 7 ? p.captured : -1));
  assert.deepEqual(sizes, [6 << 20, 6 << 20]);
});
