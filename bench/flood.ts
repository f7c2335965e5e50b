/** Datagrams of trafgen to a socket that nobody reads, counted by the interface that they come to: a reader that wakes up costs more. */
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import type { Host } from '../src/rig/hosts/host.ts';
import { sleep } from '../src/core/context.ts';
import { busyMs } from './cpu.ts';

const SETTLE_MS = 1000;

export interface Flood {
  readonly from: string;
  readonly device: string;
  /** As trafgen writes it. */
  readonly frame: string;
  readonly to: string;
  readonly toDevice: string;
  /** UDP port that they go to. */
  readonly port: number;
  readonly seconds: number;
  /** Between two packets; as many as one core sends where there is none. */
  readonly gapUs?: number;
  /** Called when counting begins and ends. */
  readonly onCount?: () => void;
}

export interface Flooded {
  readonly sentPerSecond: number;
  readonly packetsPerSecond: number;
  /** CPU of the machine. */
  readonly usPerPacket: number;
  readonly packets: number;
}

export async function flood(deployed: DeployedLab, options: Flood): Promise<Flooded> {
  const { from, device, frame, to, toDevice, port, seconds, gapUs, onCount } = options;
  const sink = deployed.node(to).spawn(['mgen', 'event', `listen udp ${port}`, 'output', '/dev/null']);
  const how = [
    '--dev',
    device,
    '--conf',
    '-',
    '--cpus',
    '1',
    '--qdisc-path',
    '--no-sock-mem',
    ...(gapUs === undefined ? [] : ['--gap', `${gapUs}us`]),
  ];
  const generator = deployed.node(from).spawn(['timeout', String(2 * seconds + 5), 'trafgen', ...how]);
  for (const { stdout, stderr } of [sink, generator]) {
    stdout.resume();
    stderr.resume();
  }
  generator.stdin.end(frame);
  const counted = async () => {
    const [source, target] = await Promise.all([packetsAt(deployed.node(from), device), packetsAt(deployed.node(to), toDevice)]);
    return { sent: source.tx, came: target.rx };
  };
  try {
    await sleep(SETTLE_MS);
    sink.kill('SIGSTOP');
    onCount?.();
    const [before, busy, startedMs] = [await counted(), busyMs(), performance.now()];
    await sleep(seconds * 1000);
    const [after, cpuMs, tookMs] = [await counted(), busyMs() - busy, performance.now() - startedMs];
    const packets = after.came - before.came;
    onCount?.();
    if (packets === 0) throw new Error(`nothing of a flood from ${from} has come to ${to}`);
    return {
      packets,
      sentPerSecond: ((after.sent - before.sent) * 1000) / tookMs,
      packetsPerSecond: (packets * 1000) / tookMs,
      usPerPacket: (cpuMs * 1000) / packets,
    };
  } finally {
    // timeout passes it on to trafgen's workers, too.
    generator.kill('SIGTERM');
    sink.kill('SIGKILL');
    await Promise.all([generator.exited, sink.exited]);
  }
}

async function packetsAt(node: Host, device: string): Promise<{ readonly rx: number; readonly tx: number }> {
  const [link] = JSON.parse((await node.exec(['ip', '-j', '-s', 'link', 'show', 'dev', device])).stdout) as [
    { stats64: Record<'rx' | 'tx', { packets: number }> },
  ];
  return { rx: link.stats64.rx.packets, tx: link.stats64.tx.packets };
}
