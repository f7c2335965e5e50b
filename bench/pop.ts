/**
 * What a forwarding unit costs in front of a PoP: the local path through native/forward.bpf.c (edge and server), beside plain
 * routing, nftables that choose a server by hash, and an Open vSwitch with the same table of entries, all on one rig in turns.
 * Datagrams come from trafgen and go to a socket that nobody reads: a reader that is woken up costs more than the path.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { BUILD_DIR } from '../src/core/paths.ts';
import { sleep } from '../src/core/context.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import type { Lab } from '../src/topology/model.ts';
import { told } from '../test/support/forwarder.ts';
import { synFrame } from '../test/support/frames.ts';
import { flood } from './flood.ts';
import { withLab } from './lab.ts';
import { hasTrafgen, print, show } from './measure.ts';

const LAB = `name: bench-pop
topology:
  nodes: { c: {}, e: { sysctls: { net.ipv4.ip_forward: 1, net.ipv4.conf.all.accept_local: 1 } }, s: { sysctls: { net.ipv4.ip_forward: 1 } }, o: { kind: ovs-bridge }, d: {}, t: {} }
  links:
    - { endpoints: ["c:up", "e:net"] }
    - { endpoints: ["e:lan", "s:eth0"] }
    - { endpoints: ["d:eth0", "o:d"] }
    - { endpoints: ["t:eth0", "o:t"] }
`;
const ANYCAST = '203.0.113.1';
const [NOBODY, FORMER] = ['0.0.0.0', '198.51.100.1'];
const [PORT, SOURCE_PORTS] = [5001, 256];
const SLOTS = 1024;
const REPEATS = 8;
const SECONDS = 2;
const TEST_RUNS = 1_000_000;

interface Figures {
  readonly trainsBps: number;
  readonly wireBps: number;
  readonly packetsPerSecond: number;
  readonly usPerPacket: number;
}
interface Way {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Address that the service has where it is served. */ readonly at?: string;
  set(deployed: DeployedLab): Promise<() => Promise<void>>;
}

export async function benchPop(): Promise<void> {
  if (!hasTrafgen()) return;
  await withLab(LAB, async (deployed, lab) => {
    await prepare(deployed, lab);
    const ways = waysOf(lab);
    const figures = new Map(ways.map((w) => [w.name, [] as Figures[]]));
    for (let i = 0; i < REPEATS; i++) {
      for (const way of ways) {
        const undo = await way.set(deployed);
        try {
          figures.get(way.name)!.push(await measure(deployed, lab, way));
        } finally {
          await undo();
        }
      }
    }
    const plain = figures.get(ways[0]!.name)!;
    print(
      [
        'local path',
        'TCP in trains [Gbit/s]',
        'TCP as on a wire [Gbit/s]',
        'of plain routing',
        'UDP 64 B [k/s]',
        'of plain routing',
        'CPU [us a packet]',
      ],
      ways.map(({ name }) => {
        const own = figures.get(name)!;
        const ratio = (of: (f: Figures) => number): string =>
          `${show(
            own.map((f, i) => (100 * of(f)) / of(plain[i]!)),
            0,
          )} %`;
        return [
          name,
          show(own.map((f) => f.trainsBps / 1e9)),
          show(own.map((f) => f.wireBps / 1e9)),
          ratio((f) => f.wireBps),
          show(
            own.map((f) => f.packetsPerSecond / 1000),
            0,
          ),
          ratio((f) => f.packetsPerSecond),
          show(own.map((f) => f.usPerPacket)),
        ];
      }),
    );
    process.stdout.write(`edge_in alone, by the kernel's test run: ${show(await testRuns(deployed), 0)} ns a packet\n`);
  });
}

const interfaceOf = (lab: Lab, node: string, name: string) =>
  lab.fabric.nodes.find((n) => n.name === node)!.interfaces.find((i) => i.name === name)!;
const addressOf = (lab: Lab, node: string, itf: string): string => interfaceOf(lab, node, itf).addresses[0]!.split('/')[0]!;

async function prepare(deployed: DeployedLab, lab: Lab): Promise<void> {
  const ip = (node: string, ...args: string[]) => deployed.node(node).exec(['ip', ...args]);
  for (const server of ['s', 't']) await ip(server, 'address', 'add', `${ANYCAST}/32`, 'dev', 'lo');
  await ip('c', 'route', 'add', 'default', 'via', addressOf(lab, 'e', 'net'));
  await ip('s', 'route', 'add', 'default', 'via', addressOf(lab, 'e', 'lan'));
  await ip('e', 'route', 'add', ANYCAST, 'via', addressOf(lab, 's', 'eth0'));
  await ip('d', 'route', 'add', ANYCAST, 'via', addressOf(lab, 't', 'eth0'));
}

function waysOf(lab: Lab): Way[] {
  const nothing = async () => {
    await Promise.resolve();
  };
  const [edge, server] = [addressOf(lab, 'e', 'lan'), addressOf(lab, 's', 'eth0')];
  const nft = `table ip pop {\n chain in {\n  type nat hook prerouting priority -100;\n  ip daddr ${ANYCAST} dnat to jhash ip saddr . th sport mod 2 map { 0 : ${server}, 1 : ${server} }\n }\n}\n`;
  return [
    { name: 'plain routing', from: 'c', to: 's', set: async () => nothing },
    { name: 'forwarding unit, settled entries', from: 'c', to: 's', set: (deployed) => units(deployed, edge, server, NOBODY) },
    { name: 'forwarding unit, first hops', from: 'c', to: 's', set: (deployed) => units(deployed, edge, server, FORMER) },
    {
      name: 'nftables, DNAT by hash',
      from: 'c',
      to: 's',
      at: server,
      set: async (deployed) => {
        await deployed.node('e').exec(['nft', '-f', '-'], { stdin: nft });
        return async () => {
          await deployed.node('e').exec(['nft', 'delete', 'table', 'ip', 'pop']);
        };
      },
    },
    { name: 'Open vSwitch, as a switch', from: 'd', to: 't', set: async () => nothing },
    {
      name: 'Open vSwitch, hash and entries',
      from: 'd',
      to: 't',
      set: async (deployed) => {
        const dir = `/run/netrig/bench-pop/o.ovs`;
        const mac = lab.fabric.nodes.find((n) => n.name === 't')!.interfaces[0]!.mac;
        const flows = [
          `table=0,priority=10,ip,nw_dst=${ANYCAST},actions=multipath(symmetric_l4,1024,modulo_n,${SLOTS},0,NXM_NX_REG0[0..15]),resubmit(,1)`,
          ...Array.from({ length: SLOTS }, (_, i) => `table=1,reg0=${i},actions=mod_dl_dst:${mac},output:t`),
        ];
        const bridge = (await deployed.node('o').exec(['ovs-vsctl', `--db=unix:${dir}/db.sock`, 'list-br'])).stdout.trim();
        const management = `unix:${dir}/${bridge}.mgmt`;
        await deployed.node('o').exec(['ovs-ofctl', 'add-flows', management, '-'], { stdin: flows.join('\n') });
        return async () => {
          await deployed.node('o').exec(['ovs-ofctl', 'del-flows', management, `ip,nw_dst=${ANYCAST}`]);
          await deployed.node('o').exec(['ovs-ofctl', 'del-flows', management, 'table=1']);
        };
      },
    },
  ];
}

/** Both halves of the forwarding unit; all entries are the server's, and have been `former`'s. */
async function units(deployed: DeployedLab, edge: string, server: string, previous: string): Promise<() => Promise<void>> {
  const both = [
    await told(deployed.node('e'), [
      `settings ${edge} ${edge} 7 ${SLOTS} gre 1 0 1 0 1448`,
      `table ${ANYCAST}/32 0`,
      ...Array.from({ length: SLOTS }, (_, i) => `slot 0 ${i} ${server} ${NOBODY} ${previous} ${NOBODY} ${NOBODY} 2`),
      'commit 1',
      'attach net edge_in',
    ]),
    await told(deployed.node('s'), [
      `settings ${server} ${edge} 0 ${SLOTS} gre 1 0 1 0 1448`,
      `table ${ANYCAST}/32 0`,
      `peer ${edge} on`,
      'attach eth0 server_in',
    ]),
  ];
  return async () => {
    for (const half of both) await half.detach();
  };
}

async function measure(deployed: DeployedLab, lab: Lab, way: Way): Promise<Figures> {
  const { from, to, at = ANYCAST } = way;
  const device = from === 'c' ? 'up' : 'eth0';
  const offload = (on: 'on' | 'off') => deployed.node(from).exec(['ethtool', '-K', device, 'tso', on, 'gso', on], { allowFailure: true });
  const server = deployed.node(to).spawn(['iperf3', '-s', '-B', at]);
  server.stdout.resume();
  server.stderr.resume();
  try {
    await sleep(300);
    const run = async (...more: string[]) => {
      const { end, error } = JSON.parse(
        (await deployed.node(from).exec(['iperf3', '-J', '-t', String(SECONDS), '-c', ANYCAST, ...more], { allowFailure: true })).stdout,
      ) as { error?: string; end: { sum_received?: { bits_per_second: number } } };
      if (!end.sum_received) throw new Error(`iperf3 from ${from} to ${to}: ${error ?? 'no figures'}`);
      return end.sum_received;
    };
    // No longer than what fits with the first hop's header: the server's route says so in a PoP.
    const size = ['-M', '1400'];
    await offload('on');
    const trainsBps = (await run(...size)).bits_per_second;
    await offload('off');
    const wireBps = (await run(...size)).bits_per_second;
    const [sender, hop] = [interfaceOf(lab, from, device), from === 'c' ? interfaceOf(lab, 'e', 'net') : interfaceOf(lab, to, 'eth0')];
    const frame = `{ eth(da=${hop.mac}, sa=${sender.mac}), ipv4(ttl=64, saddr=${sender.addresses[0]!.split('/')[0]}, daddr=${ANYCAST}), udp(sp=dinc(20000, ${20000 + SOURCE_PORTS - 1}), dp=${PORT}), fill(0, 22) }`;
    return { trainsBps, wireBps, ...(await flood(deployed, { from, device, frame, to, toDevice: 'eth0', port: PORT, seconds: SECONDS })) };
  } finally {
    server.kill('SIGKILL');
    await server.exited;
  }
}

async function testRuns(deployed: DeployedLab): Promise<number[]> {
  const forwarder = deployed.node('e').spawn([join(BUILD_DIR, 'forwarder')]);
  forwarder.stderr.resume();
  const slots = Array.from({ length: SLOTS }, (_, i) => `slot 0 ${i} 10.0.0.9 0.0.0.0 0.0.0.0 0.0.0.0 0.0.0.0 2`);
  forwarder.stdin.write(`settings 10.0.0.1 10.0.0.1 7 ${SLOTS} gre 1 0 1 0 1448\ntable ${ANYCAST}/32 0\n${slots.join('\n')}\ncommit 1\n`);
  for (let i = 0; i < REPEATS; i++)
    forwarder.stdin.write(`run edge_in ${TEST_RUNS} ${synFrame('198.51.100.7', 1234, ANYCAST, 80).toString('hex')}\n`);
  forwarder.stdin.end();
  let out = '';
  forwarder.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  await once(forwarder.stdout, 'end');
  return out
    .trim()
    .split('\n')
    .slice(-REPEATS)
    .map((line) => Number(line.split(' ')[2]));
}
