/**
 * R4-18: what Gatekeeper costs, against the number of vNIC pairs and per Gbit/s.
 *
 * Two agents face each other over a bare veth link: no Open vSwitch, whose user-space forwarding would cost more than
 * what is measured. trafgen sends frames of every pair through the sender's tree; all receivers are backlogged, so that
 * every pair is measured, allocated, told and limited in every period of 10 ms.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { system } from '../agents/gatekeeper/system.ts';
import type { AgentConfig, Vnic } from '../agents/gatekeeper/config.ts';
import { BUILD_DIR } from '../src/core/paths.ts';
import { quietContext, sleep } from '../src/core/context.ts';
import { destroyDeployedLab } from '../src/rig/deployment/destroy.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import { Testbed } from '../src/run/testbed.ts';
import { Supervisor } from '../src/systems/supervisor.ts';
import { parseExperiment } from '../src/topology/load.ts';
import type { Lab } from '../src/topology/model.ts';
import { meanInterval } from '../src/checks/statistics.ts';
import { hasTrafgen, print, show } from './measure.ts';
import { checksOf } from '../src/systems/registry.ts';

const LAB =
  'name: bench\ntopology: { nodes: { rx: {}, tx: {} }, links: [{ endpoints: ["rx:up", "tx:up"] }, { endpoints: ["rx:prov", "tx:prov"] }] }\n';
const WARM_UP_MS = 2000;
const MEASURED_MS = 8000;
const PERIOD_MS = 10;
const FRAME_BYTES = 1500;
const REPEATS = 3;
/** Half of what the paper reports. */
const MOST_PER_GBIT = 0.05;

interface Load {
  readonly title: string;
  readonly receivers: number;
  readonly senders: number;
  readonly linkBps: number;
}

const LOADS: readonly Load[] = [
  { title: '4 senders, 1 Gbit/s', receivers: 1, senders: 4, linkBps: 1e9 },
  { title: '10 pairs', receivers: 2, senders: 5, linkBps: 100e6 },
  { title: '100 pairs', receivers: 10, senders: 10, linkBps: 100e6 },
  { title: '1000 pairs', receivers: 10, senders: 100, linkBps: 100e6 },
];

/** What an agent took, in one repeat. */
interface Cost {
  readonly load: Load;
  readonly row: readonly string[];
  /** Part of a core; null: the load is not made for it. */
  readonly perGbit: number | null;
  readonly latePeriods: number;
}

const mac = (side: number, index: number): string =>
  `02:00:00:${side.toString(16).padStart(2, '0')}:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`;

export async function benchGatekeeper(): Promise<void> {
  if (!hasTrafgen()) return;
  const agents: Cost[] = [];
  for (const load of LOADS) for (let repeat = 0; repeat < REPEATS; repeat++) agents.push(...(await measure(load)));
  print(
    [
      'load',
      'agent',
      'received',
      'periods (late)',
      'CPU of agent',
      'tc, nft',
      'of which µs per period: counters',
      'law',
      'feedback',
      'limiters',
      'per Gbit/s',
    ],
    agents.map((a) => a.row),
  );
  verdict(agents);
  process.stdout.write("The paper reports about 10 % of a core for 1 Gbit/s (WIOV '11; an i7-930 of 2.8 GHz).\n");
}

/** R4-18's two bars. A miss is the exit status of the bench. */
function verdict(agents: readonly Cost[]): void {
  const fast = agents.flatMap(({ perGbit }) => perGbit ?? []);
  const dearest = fast.filter((_, i) => i % 2 === 0).map((own, i) => Math.max(own, fast[2 * i + 1] ?? 0));
  const { high } = meanInterval(dearest);
  const late = agents
    .filter(({ load }) => load === LOADS.at(-1))
    .map((a) => a.latePeriods)
    .reduce((a, b) => a + b, 0);
  process.stdout.write(
    `R4-18: the dearer agent takes ${show(
      dearest.map((v) => v * 100),
      1,
    )} % of a core per Gbit/s (at most ${MOST_PER_GBIT * 100} %): ${high <= MOST_PER_GBIT ? 'met' : 'not shown'}\n`,
  );
  process.stdout.write(`R4-18: ${late} late periods at 1000 pairs (none): ${late === 0 ? 'met' : 'missed'}\n`);
  if (high > MOST_PER_GBIT || late > 0) process.exitCode = 1;
}

async function measure(load: Load): Promise<Cost[]> {
  const ctx = quietContext();
  const lab = (await parseExperiment('bench.yaml', LAB, { checksOf })).cells[0] as Lab;
  await using testbed = await Testbed.open(ctx, null, { lease: null });
  const deployed = await testbed.deploy(ctx, lab, 'bench');
  const folder = mkdtempSync(join(tmpdir(), 'netrig-bench-'));
  let supervisor: Supervisor | undefined;
  let generator: ReturnType<ReturnType<DeployedLab['node']>['spawn']> | undefined;
  try {
    supervisor = await Supervisor.start(ctx, [{ definition: system, crash: 'void', agents: configs(lab, load) }], {
      host: (node) => deployed.node(node),
      script: (node, bundle) => deployed.script(node, bundle),
      nativeDir: () => BUILD_DIR,
      ovsDir: () => null,
      labDir: () => folder,
      folder,
    });
    const frames = join(folder, 'frames.cfg');
    writeFileSync(
      frames,
      Array.from({ length: load.receivers }, (_, r) => Array.from({ length: load.senders }, (_, s) => frame(mac(1, r), mac(2, s))))
        .flat()
        .join('\n'),
    );
    // Twice what the link takes.
    generator = deployed
      .node('tx')
      .spawn([
        'timeout',
        String((WARM_UP_MS + MEASURED_MS) / 1000 + 5),
        'trafgen',
        '--dev',
        'up',
        '--conf',
        frames,
        '--cpus',
        '1',
        '--qdisc-path',
        '--rate',
        `${Math.round((2 * load.linkBps) / 1e6)}Mbit`,
        '--no-sock-mem',
      ]);
    generator.stdout.resume();
    generator.stderr.resume();
    await sleep(WARM_UP_MS);
    const [before, bytesBefore] = [await supervisor.counters(), await receivedBytes(deployed)];
    await sleep(MEASURED_MS);
    const [after, bytesAfter] = [await supervisor.counters(), await receivedBytes(deployed)];
    const receivedBps = ((bytesAfter - bytesBefore) * 8000) / MEASURED_MS;
    return after.map(({ node, counters }) => cost(load, node, before.find((b) => b.node === node)?.counters ?? {}, counters, receivedBps));
  } finally {
    // timeout passes it on to trafgen's workers, too.
    generator?.kill('SIGTERM');
    await supervisor?.stop();
    await destroyDeployedLab(deployed);
    rmSync(folder, { recursive: true });
  }
}

const frame = (to: string, from: string): string => `{ eth(da=${to}, sa=${from}, proto=0x0800), fill(0x00, ${FRAME_BYTES - 14}) }`;

async function receivedBytes(deployed: DeployedLab): Promise<number> {
  return Number((await deployed.node('rx').exec(['cat', '/sys/class/net/up/statistics/rx_bytes'])).stdout);
}

function cost(load: Load, node: string, before: Record<string, number>, after: Record<string, number>, receivedBps: number): Cost {
  const delta = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
  const periods = delta('periods');
  const share = (name: string) => delta(name) / 1000 / MEASURED_MS;
  const perPeriod = (name: string) => (delta(name) / periods).toFixed(0);
  const total = share('cpuMicroseconds') + share('channelMicroseconds');
  const perGbit = load.linkBps >= 1e9 ? (total / receivedBps) * 1e9 : null;
  const row = [
    load.title,
    node,
    `${(receivedBps / 1e6).toFixed(0)} Mbit/s`,
    `${periods} (${delta('latePeriods')})`,
    `${(share('cpuMicroseconds') * 100).toFixed(1)} %`,
    `${(share('channelMicroseconds') * 100).toFixed(1)} %`,
    perPeriod('meterMicroseconds'),
    perPeriod('lawMicroseconds'),
    perPeriod('feedbackMicroseconds'),
    perPeriod('limiterMicroseconds'),
    perGbit === null ? '' : `${(perGbit * 100).toFixed(1)} % of a core`,
  ];
  return { load, row, perGbit, latePeriods: delta('latePeriods') };
}

function configs(lab: Lab, { receivers, senders, linkBps }: Load): { node: string; config: AgentConfig }[] {
  const address = (name: string) =>
    lab.fabric.nodes
      .find((n) => n.name === name)
      ?.interfaces.find((i) => i.name === 'prov')
      ?.addresses[0]?.split('/')[0] ?? '';
  const vnics = (side: number, count: number): Vnic[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `v${i}`,
      tenant: 'T',
      mac: mac(side, i),
      port: `v${i}`,
      minBps: linkBps / count,
      maxBps: null,
    }));
  const agent = (node: string, peer: string, own: Vnic[], others: Vnic[]): { node: string; config: AgentConfig } => ({
    node,
    config: {
      server: node,
      bridge: '',
      uplink: { device: 'up', rateBps: linkBps },
      provider: { address: address(node), port: 5789, peers: { [peer]: address(peer) } },
      vnics: own,
      remotes: others.map((v) => ({ mac: v.mac, tenant: v.tenant, server: peer })),
      law: 'max-min',
      periodMs: PERIOD_MS,
      broadcast: 0.01,
      threshold: 0.95,
      active: 0.01,
      increase: 0.01,
      limiterTimeoutMs: 1000,
      counterTimeoutMs: 5000,
      trace: false,
    },
  });
  return [agent('rx', 'tx', vnics(1, receivers), vnics(2, senders)), agent('tx', 'rx', vnics(2, senders), vnics(1, receivers))];
}
