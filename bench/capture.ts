/** The capture reader against tshark and tcpdump on the same file of a million packets. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyHeaders, readHeaders } from '../src/capture/headers.ts';
import { readCapture } from '../src/capture/reader.ts';
import { classicPcap, sampleFrames } from '../test/support/pcap.ts';
import { print, seconds, show } from './measure.ts';

const PACKETS = 1_000_000;

export async function benchCapture(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'netrig-bench-'));
  try {
    const path = join(dir, 'million.pcap');
    const thousand = classicPcap(sampleFrames(1000), { littleEndian: true, nano: true });
    writeFileSync(path, Buffer.concat([thousand.subarray(0, 24), ...Array.from({ length: PACKETS / 1000 }, () => thousand.subarray(24))]));
    const headers = emptyHeaders();
    let checksum = 0;
    const own = await seconds(5, () =>
      readCapture(path, (p) => {
        readHeaders(p, headers);
        checksum += p.length + headers.sourcePort + headers.destinationIp + p.nanoseconds;
      }),
    );
    const tcpdump = await seconds(3, () => spawnSync('tcpdump', ['-r', path, '-n', '-w', '/dev/null'], { stdio: 'ignore' }));
    const tcpdumpText = await seconds(1, () => spawnSync('tcpdump', ['-r', path, '-n', '-q', '-tt'], { stdio: 'ignore' }));
    const tshark = await seconds(1, () =>
      spawnSync(
        'tshark',
        [
          '-r',
          path,
          '-T',
          'fields',
          '-e',
          'frame.time_epoch',
          '-e',
          'frame.len',
          '-e',
          'ip.src',
          '-e',
          'ip.dst',
          '-e',
          'udp.srcport',
          '-e',
          'tcp.srcport',
        ],
        { stdio: 'ignore' },
      ),
    );
    const rate = (times: readonly number[]) => (PACKETS / (times.reduce((a, b) => a + b, 0) / times.length) / 1e6).toFixed(2);
    print(
      ['reader', 'seconds', 'million packets/s'],
      [
        ['netrig, all header fields', show(own), rate(own)],
        ['tcpdump -w /dev/null (no fields)', show(tcpdump), rate(tcpdump)],
        ['tcpdump, text', show(tcpdumpText), rate(tcpdumpText)],
        ['tshark, six fields', show(tshark), rate(tshark)],
      ],
    );
    if (checksum === 0) throw new Error('nothing was read');
  } finally {
    rmSync(dir, { recursive: true });
  }
}
