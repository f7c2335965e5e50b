/** Live capture with tcpdump: nanosecond stamps, its own process, drops counted. */
import { dirname, join } from 'node:path';
import { sleep } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { Host, HostProcess } from '../rig/hosts/host.ts';
import type { Machine } from '../rig/machines/machine.ts';
import type { CaptureRecord, ClockOffset } from '../evidence/records.ts';
import type { CapturePoint } from '../topology/model.ts';
import { endpointName } from '../topology/lab.ts';
import { readCapture } from './reader.ts';

const KERNEL_BUFFER_KIB = 16_384;
const READY_TIMEOUT_MS = 60_000;
/** tcpdump drains its ring before it ends. */
const STOP_TIMEOUT_MS = 30_000;

export interface RunningCapture {
  stop(): Promise<CaptureRecord>;
}

/** tcpdump asks the kernel for blocks within a second (libpcap's timeout, TPACKET_V3). */
const BLOCK_TIMEOUT_MS = 1050;

export function tcpdumpArguments(point: CapturePoint, output: string): string[] {
  return [
    'tcpdump',
    '-i',
    point.at.interface,
    '-n',
    '-w',
    output,
    '-s',
    String(point.snapBytes),
    '-B',
    String(KERNEL_BUFFER_KIB),
    '--time-stamp-precision=nano',
    '-Z',
    'root',
    ...(point.direction === 'both' ? [] : ['-Q', point.direction]),
    ...(point.filter === null ? [] : ['--', point.filter]),
  ];
}

/**
 * `host`: the node's network; `machine`: its carrier, with the clock `ahead` of the one that phases are dated by. The
 * file goes to `folder`/`file`.
 */
export async function startCapture(
  host: Host,
  machine: Pick<Machine, 'exec' | 'spool' | 'collect'>,
  ahead: ClockOffset,
  point: CapturePoint,
  folder: string,
  file: string,
): Promise<RunningCapture> {
  const spooled = machine.spool(join(folder, file));
  await machine.exec(['mkdir', '-p', dirname(spooled)]);
  const process = host.spawn(tcpdumpArguments(point, spooled));
  const log = await untilListening(process, point);
  return {
    stop: async () => {
      // The kernel hands packets over in blocks; what is in an unfinished one would be lost.
      await sleep(BLOCK_TIMEOUT_MS);
      process.kill('SIGINT');
      const timer = setTimeout(() => process.kill('SIGKILL'), STOP_TIMEOUT_MS);
      const exit = await process.exited;
      clearTimeout(timer);
      const text = log();
      const count = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? NaN);
      const captured = count(/(\d+) packets? captured/);
      const dropped = count(/(\d+) packets? dropped by kernel/);
      const collected = await machine.collect(spooled, join(folder, file)).then(
        () => '',
        (failure: unknown) => (failure as Error).message,
      );
      const kept = collected === '' && captured > 0 ? countPackets(join(folder, file)) : 0;
      const error =
        collected !== ''
          ? `not collected: ${collected}`
          : captured > 0 && kept !== captured
            ? `the file holds ${kept} of ${captured} packets: was the disk full?`
            : Number.isNaN(captured) || exit.code !== 0
              ? `tcpdump ended early (${exit.signal ?? exit.code}): ${text.trim().split('\n').at(-1) ?? ''}`
              : null;
      return {
        at: endpointName(point.at),
        direction: point.direction,
        filter: point.filter,
        file,
        clock: ahead,
        captured: captured || 0,
        droppedByKernel: dropped || 0,
        error,
      };
    },
  };
}

/** tcpdump does not notice that it cannot write. A file that ends within a packet holds those before. */
function countPackets(path: string): number {
  try {
    return readCapture(path, () => undefined).packets;
  } catch {
    return 0; // not even the header of a capture
  }
}

function untilListening(process: HostProcess, point: CapturePoint): Promise<() => string> {
  let text = '';
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      process.kill('SIGKILL');
      reject(new NetrigError('CAPTURE_FAILED', `capture at ${endpointName(point.at)}: ${why}: ${text.trim()}`));
    };
    const timer = setTimeout(() => fail('tcpdump does not start'), READY_TIMEOUT_MS);
    process.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('listening on')) {
        clearTimeout(timer);
        resolve(() => text);
      }
    });
    void process.exited.then(({ code }) => {
      clearTimeout(timer);
      if (!text.includes('listening on')) fail(`tcpdump exited with ${code}`);
    });
  });
}
