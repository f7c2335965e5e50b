/**
 * A machine of a network that is peered with many others moves to another host: the full mesh beside OVN, with the same three hosts, and
 * the same switches in user space. Then the mesh with a host for each peer, which follows too.
 */
import { sleep } from '../src/core/context.ts';
import { until } from '../src/core/until.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import { macOf, withLab } from './lab.ts';
import { isThere, print, show } from './measure.ts';
import { hasOvn, Ovn, type OvnPort } from './ovn.ts';

const SIZES = [50, 500, 2000] as const;
const WITH_HOSTS = [50, 500] as const;
const ROUNDS = 2;
const MOVES = 5;
const ADDRESS = '10.1.0.1';
const STEADY_MS = 60_000;
const [PING_S, PING_EVERY_S, BEFORE_MS] = [6, 0.002, 500];

const labOf = (name: string, system: string): string => `name: ${name}
topology:
  defaults: { privileged: true }
  nodes:
    net: { kind: bridge }
    "c{1..4}": { interfaces: { eth0: { address: auto } } }
    e1: { interfaces: { eth0: { address: auto } } }
    "h{1..3}": { kind: ovs-bridge, separate: true, interfaces: { eth0: { address: auto } } }
    a1: { interfaces: { eth0: { address: ${ADDRESS}/16 }, eth1: { address: none } } }
    a2: { interfaces: { eth0: { address: 10.1.0.2/16 } } }
  links:
    - { endpoints: ["c{1..4}:eth0", "net:c{1..4}"], mtu: 1550 }
    - { endpoints: ["e1:eth0", "net:e1"], mtu: 1550 }
    - { endpoints: ["h{1..3}:eth0", "net:h{1..3}"], mtu: 1550 }
    - { endpoints: ["a1:eth0", "h1:a1"] }
    - { endpoints: ["a1:eth1", "h2:a1"] }
    - { endpoints: ["a2:eth0", "h3:a2"] }
${system}`;

const meshOf = (networks: number, hosts: number): string =>
  labOf(
    'bench-mesh',
    `systems:
  mesh:
    on: ["c{1..4}", e1, "h{1..3}", "a{1..2}"]
    config:
      controllers: "c{1..4}"
      hosts: "h{1..3}"
      networks: { A: { vnid: 5001, controller: c1, prefixes: [10.1.0.0/16], endpoints: "a{1..2}" } }
      emulated: { on: e1, networks: ${networks}, peer: A, hosts: ${hosts} }
`,
  );

/** Milliseconds from the operation: until its own word that all follow, and until the machine answers where it is (Infinity: too late). */
interface Move {
  readonly toldMs: number;
  readonly firstMs: number;
}

interface Subject {
  /** The machine's addresses go to its device on this host. */
  migrate(to: string): Promise<void>;
  move(to: string): Promise<void>;
}

export async function benchMesh(): Promise<void> {
  if (!hasOvn() || !isThere('ping', ['-V'], 'apt install iputils-ping')) return;
  const rows = new Map<string, Move[]>();
  const take = async (row: string, moves: Promise<Move[]>): Promise<void> =>
    void rows.set(row, [...(rows.get(row) ?? []), ...(await moves)]);
  for (let round = 0; round < ROUNDS; round++) {
    for (const size of SIZES) {
      await take(`${size}, mesh`, meshMoves(size, 0));
      await take(`${size}, OVN`, ovnMoves(size));
    }
    for (const size of WITH_HOSTS) await take(`${size}, mesh, and a host of each peer`, meshMoves(size, size));
  }
  print(
    [
      'peers',
      'all hosts follow, by its own word [ms]',
      'the longest',
      `answers within ${PING_S} s`,
      'first answer at the new place [ms]',
      'the longest',
    ],
    [...rows].map(([row, moves]) => {
      const [told, all] = [moves.map((m) => m.toldMs), moves.map((m) => m.firstMs)];
      const first = all.filter(Number.isFinite);
      const within = `${first.length} of ${moves.length}`;
      return [row, show(told, 0), Math.max(...told).toFixed(0), within, show(first, 0), Math.max(...first).toFixed(0)];
    }),
  );
}

async function meshMoves(networks: number, hosts: number): Promise<Move[]> {
  let moves: Move[] = [];
  await withLab(meshOf(networks, hosts), async (deployed, _lab, agents) => {
    moves = await measure(deployed, {
      migrate: async (to) => {
        await agents!.request('mesh', 'a1', 'Migrate', { to });
      },
      move: async (to) => {
        await agents!.request('mesh', 'c1', 'MoveEndpoint', { network: 'A', endpoint: 'a1', host: to });
      },
    });
  });
  return moves;
}

async function ovnMoves(networks: number): Promise<Move[]> {
  let moves: Move[] = [];
  await withLab(labOf('bench-ovn', ''), async (deployed, lab) => {
    const port = (name: string, address: string, hosts: readonly string[]): OvnPort => ({ name, address, hosts, mac: macOf(lab, name) });
    const ports = [port('a1', ADDRESS, ['h1', 'h2']), port('a2', '10.1.0.2', ['h3'])];
    const setUp = { central: 'c1', hosts: ['h1', 'h2', 'h3'], network: 'A', ports, peers: networks };
    const ovn = await Ovn.start(deployed, lab, setUp);
    try {
      moves = await measure(deployed, { migrate: (to) => migrate(deployed, macOf(lab, 'a1'), to), move: (to) => ovn.move('a1', to) });
    } finally {
      await ovn.stop();
    }
  });
  return moves;
}

/** As the mesh's own machines do it. */
async function migrate(deployed: DeployedLab, mac: string, to: string): Promise<void> {
  const [from, device] = to === 'h1' ? ['eth1', 'eth0'] : ['eth0', 'eth1'];
  const lines = [
    `link set dev ${from} down`,
    `address flush dev ${from}`,
    `link set dev ${device} down`,
    `link set dev ${device} address ${mac}`,
    `address replace ${ADDRESS}/16 dev ${device}`,
    `link set dev ${device} up`,
  ];
  await deployed.node('a1').exec(['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}

async function answersOnce(deployed: DeployedLab): Promise<boolean> {
  return (await deployed.node('a2').exec(['ping', '-n', '-c', '1', '-W', '1', ADDRESS], { allowFailure: true })).exitCode === 0;
}

async function measure(deployed: DeployedLab, subject: Subject): Promise<Move[]> {
  const moves: Move[] = [];
  for (let i = 0; i < MOVES; i++) {
    const to = i % 2 === 0 ? 'h2' : 'h1';
    const argv = ['ping', '-n', '-D', '-i', String(PING_EVERY_S), '-w', String(PING_S), ADDRESS];
    if (!(await until(() => answersOnce(deployed), { withinMs: STEADY_MS })))
      throw new Error('the machine does not answer before it moves');
    const answers = deployed.node('a2').exec(argv, { allowFailure: true, timeoutMs: 60_000 });
    await sleep(BEFORE_MS);
    await subject.migrate(to);
    const startedMs = performance.timeOrigin + performance.now();
    await subject.move(to);
    const toldMs = performance.timeOrigin + performance.now() - startedMs;
    const times = [...(await answers).stdout.matchAll(/^\[([0-9.]+)\] [0-9]+ bytes from/gm)].map(([, at]) => 1000 * Number(at) - startedMs);
    moves.push({ toldMs, firstMs: Math.min(...times.filter((t) => t > 0)) });
  }
  return moves;
}
