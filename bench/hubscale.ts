/**
 * What a change of a hub's configuration costs, by the hub's size: measured at one to four times a unit of five action nodes, three
 * networks and a decision node, fitted, and held against eight units. Then what grows with the number of networks alone.
 */
import { availableParallelism } from 'node:os';
import { linearRegression, linearRegressionLine, median } from 'simple-statistics';
import { viewsOf } from '../agents/hub/decision/view.ts';
import { EMPTY, metadata as metadataSchema, type Metadata } from '../agents/hub/model.ts';
import { named } from '../test/support/hub.ts';
import { parsed } from '../src/core/lightjson.ts';
import { busyMs } from './cpu.ts';
import { withLab } from './lab.ts';
import { print, seconds, show } from './measure.ts';
import { sleep } from '../src/core/context.ts';

const UNITS = [1, 2, 3, 4] as const;
const PREDICTED = 8;
const CHANGES = 200;
/** Code that has not run often is slow. */
const WARM_UP = 20;
const IDLE_MS = 5000;
const NETWORKS = [12, 120, 1200, 5000] as const;

const labOf = (units: number): string => {
  const [ains, networks, dmns] = [5 * units, 3 * units, units];
  const numbers = Array.from({ length: networks }, (_, i) => i + 1);
  return `name: bench-hub
topology:
  defaults: { privileged: true }
  nodes: { hub: { kind: bridge }, an: , "d{1..${dmns}}": , "a{1..${ains}}": , "g{1..${networks}}": }
  links:
    - { endpoints: ["an:eth0", "hub:an"] }
    - { endpoints: ["d{1..${dmns}}:eth0", "hub:d{1..${dmns}}"] }
    - { endpoints: ["a{1..${ains}}:eth0", "hub:a{1..${ains}}"] }
    - { endpoints: ["g{1..${networks}}:hub", "hub:g{1..${networks}}"] }
systems:
  hub:
    on: [an, "d{1..${dmns}}", "a{1..${ains}}", "g{1..${networks}}"]
    config:
      control: an
      dmns: "d{1..${dmns}}"
      ains: { ${Array.from({ length: ains }, (_, i) => `a${i + 1}: {}`).join(', ')} }
      networks: { ${numbers.map((n) => `n${n}: { gateway: g${n}, prefixes: [10.64.${n}.0/24] }`).join(', ')} }
      silence: 5s
      setup:
        - { operation: CreateVTHRoutingDomain, params: { domain: main } }
${numbers.map((n) => `        - { operation: AttachIsolatedNetwork, params: { network: n${n} } }`).join('\n')}
`;
};

interface Cost {
  readonly units: number;
  readonly nodes: number;
  readonly times: readonly number[];
  /** CPU of the machine for a change, without what the hub costs at rest. */
  readonly cpuMs: number;
  /** Share of the machine that the hub takes at rest: every action node probes every decision node. */
  readonly atRest: number;
}

export async function benchHubScale(): Promise<void> {
  const costs: Cost[] = [];
  for (const units of [...UNITS, PREDICTED]) costs.push(await measure(units));
  const measured = costs.filter((c) => c.units !== PREDICTED);
  const model = (of: (c: Cost) => number): ((nodes: number) => number) =>
    linearRegressionLine(linearRegression(measured.map((c) => [c.nodes, of(c)])));
  // A change has the processors that rest leaves it. Probes grow with both kinds of nodes.
  const pairs = (c: Cost): number => 5 * c.units * c.units;
  const rest = linearRegressionLine(linearRegression(measured.map((c) => [pairs(c), c.atRest])));
  const undisturbed = model((c) => median([...c.times]) * (1 - c.atRest));
  const time = (c: Cost): number => undisturbed(c.nodes) / (1 - rest(pairs(c)));
  const cpuOf = model((c) => c.cpuMs);
  const cpu = (c: Cost): number => cpuOf(c.nodes);
  print(
    [
      'AINs',
      'networks',
      'nodes that follow',
      'a change, median [ms]',
      'by the model',
      'CPU of a change [ms]',
      'by the model',
      'machine at rest [%]',
      'by the model',
    ],
    costs.map((c) => [
      String(5 * c.units),
      String(3 * c.units),
      String(c.nodes),
      median([...c.times]).toFixed(1),
      time(c).toFixed(1),
      c.cpuMs.toFixed(1),
      cpu(c).toFixed(1),
      (100 * c.atRest).toFixed(0),
      (100 * rest(pairs(c))).toFixed(0),
    ]),
  );
  const last = costs.at(-1)!;
  const off = (is: number, was: number): string => `${((100 * (is - was)) / was).toFixed(0)} %`;
  process.stdout.write(
    `the model, fitted at ${UNITS.join(', ')} units, is off at ${PREDICTED} by ${off(time(last), median([...last.times]))} of the time, ${off(cpu(last), last.cpuMs)} of the CPU\n`,
  );
  await byNetworks();
}

async function measure(units: number): Promise<Cost> {
  let cost: Cost | undefined;
  await withLab(labOf(units), async (_deployed, _lab, agents) => {
    const change = async (i: number): Promise<number> => {
      const startedMs = performance.now();
      const to = `n${1 + (i % 2)}`;
      await agents!.request('hub', 'an', 'ModifyVTHConfig', { addRoutes: [{ prefix: '198.51.100.0/24', to }] });
      return performance.now() - startedMs;
    };
    for (let i = 0; i < WARM_UP; i++) await change(i);
    const [idle, idleMs] = [busyMs(), performance.now()];
    await sleep(IDLE_MS);
    const atRest = (busyMs() - idle) / (performance.now() - idleMs);
    const [busy, startedMs] = [busyMs(), performance.now()];
    const times: number[] = [];
    for (let i = 0; i < CHANGES; i++) times.push(await change(i));
    const cpuMs = (busyMs() - busy - atRest * (performance.now() - startedMs)) / CHANGES;
    cost = { units, nodes: 9 * units, times, cpuMs, atRest: atRest / availableParallelism() };
  });
  return cost!;
}

/** A node that connects is told all of the metadata; the first flow of a network after a change needs what that network sees. */
async function byNetworks(): Promise<void> {
  const rows: string[][] = [];
  for (const count of NETWORKS) {
    const metadata = metadataOf(count);
    const text = JSON.stringify(metadata);
    const repeats = count > 1000 ? 5 : 30;
    const ms = async (work: () => unknown): Promise<string> => show((await seconds(repeats, work)).map((s) => s * 1000));
    rows.push([
      String(count),
      (text.length / 1024).toFixed(0),
      await ms(() => parsed(metadataSchema, text)),
      await ms(() => viewsOf(metadata).byName.get('n0')!.ways),
    ]);
  }
  print(['networks, each with a mapping', 'metadata [KiB]', 'read and checked [ms]', 'what one network sees [ms]'], rows);
}

function metadataOf(count: number): Metadata {
  const networks = Array.from({ length: count }, (_, i) => named(`n${i}`, (i % 1000) + 1, [`10.${i >> 8}.${i & 255}.0/24`]));
  return {
    ...EMPTY,
    networks,
    domains: [{ name: 'main', number: 1, hub: 'main', cells: ['main'], generation: 1 }],
    attachments: networks.map(({ name }) => ({ network: name, domain: 'main', propagates: ['main'], state: 'attached' })),
    mappings: networks.map(({ name, prefixes }, i) => ({
      network: name,
      real: prefixes[0]!,
      as: `12.${i >> 8}.${i & 255}.0/24`,
      viewers: null,
      origin: 'service',
      approved: true,
      atMs: 0,
    })),
  };
}
