/** Live capture with tcpdump: nanosecond stamps, its own process, drops counted. */
import { sleep } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { Host, HostProcess } from '../rig/host.ts';
import { endpointName, type CapturePoint } from '../topology/model.ts';

const KERNEL_BUFFER_KIB = 16_384;
const READY_TIMEOUT_MS = 5000;
/** tcpdump drains its ring before it ends. */
const STOP_TIMEOUT_MS = 5000;

/** Evidence beside each pcap. Drops void whatever needed the capture. */
export interface CaptureRecord {
  readonly at: string;
  readonly direction: CapturePoint['direction'];
  readonly filter: string | null;
  /** Relative to the cell's folder. */
  readonly file: string;
  readonly captured: number;
  readonly droppedByKernel: number;
  readonly error?: string;
}

export interface RunningCapture {
  stop(): Promise<CaptureRecord>;
}

/** tcpdump asks the kernel for blocks within a second (libpcap's timeout, TPACKET_V3). */
const BLOCK_TIMEOUT_MS = 1050;

export function tcpdumpArguments(point: CapturePoint, output: string): string[] {
  return [
    'tcpdump', '-i', point.at.interface, '-n', '-w', output, '-s', String(point.snapBytes), '-B', String(KERNEL_BUFFER_KIB),
    '--time-stamp-precision=nano', '-Z', 'root',
    ...(point.direction === 'both' ? [] : ['-Q', point.direction]),
    ...(point.filter === null ? [] : ['--', point.filter]),
  ];
}

export async function startCapture(host: Host, point: CapturePoint, path: string, relativePath: string): Promise<RunningCapture> {
  const process = host.spawn(tcpdumpArguments(point, path));
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
      const error = Number.isNaN(captured) || exit.code !== 0 ? `tcpdump ended early (${exit.signal ?? exit.code}): ${text.trim().split('\n').at(-1) ?? ''}` : undefined;
      return {
        at: endpointName(point.at), direction: point.direction, filter: point.filter, file: relativePath,
        captured: captured || 0, droppedByKernel: dropped || 0, ...(error === undefined ? {} : { error }),
      };
    },
  };
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
