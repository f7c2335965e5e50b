/**
 * What the hub's fast path costs a packet, beside a plain router, nftables that translates the same addresses and an Open vSwitch with
 * the same action as a flow, all with one arm on one switch, in turns. Then flows that are new with every packet: what a decision costs.
 */
import { branchMac } from '../agents/hub/model.ts';
import type { DeployedLab } from '../src/rig/deployment/deployed-lab.ts';
import type { Lab } from '../src/topology/model.ts';
import { processesOf, spentMs } from './cpu.ts';
import { flood, type Flood, type Flooded } from './flood.ts';
import { macOf, withLab } from './lab.ts';
import { hasTrafgen, print, show } from './measure.ts';

const [PORT, SOURCE_PORTS] = [5001, 256];
const REPEATS = 8;
const SECONDS = 2;
/** Between datagrams that are of a flow of their own each, as far as the sender's timers can. */
const GAPS_US = [60, 20] as const;
const NEW_REPEATS = 4;
/** The same on both sides; and one that is translated. */
const [PLAIN, REAL, STAND_IN] = ['10.3.0.1', '10.2.0.1', '12.2.0.1'];
const SWITCH_MAC = '02:00:00:00:0f:0f';

const LAB = `name: bench-hub
topology:
  defaults: { privileged: true }
  nodes:
    hub: { kind: bridge }
    an: { interfaces: { eth0: { address: 100.64.0.10/24 } } }
    d1: { interfaces: { eth0: { address: 100.64.0.11/24 } } }
    a1: { interfaces: { eth0: { address: 100.64.0.21/24 } } }
    g1: { interfaces: { hub: { address: 100.64.0.31/24 } } }
    g2: { interfaces: { hub: { address: 100.64.0.32/24 } }, exec: [ip address add ${REAL}/32 dev lo, ip address add ${PLAIN}/32 dev lo] }
    r: { interfaces: { eth0: { address: 100.64.0.41/24 } }, sysctls: { net.ipv4.ip_forward: 1, net.ipv4.conf.all.send_redirects: 0, net.ipv4.conf.eth0.send_redirects: 0 }, exec: [ip route add 10.2.0.0/15 via 100.64.0.32, ip route add 10.1.0.0/16 via 100.64.0.31] }
    n: { interfaces: { eth0: { address: 100.64.0.42/24 } }, sysctls: { net.ipv4.ip_forward: 1, net.ipv4.conf.all.send_redirects: 0, net.ipv4.conf.eth0.send_redirects: 0 }, exec: [ip route add 10.2.0.0/15 via 100.64.0.32, ip route add 10.1.0.0/16 via 100.64.0.31] }
    o: { kind: ovs-bridge }
  links:
    - { endpoints: ["an:eth0", "hub:an"] }
    - { endpoints: ["d1:eth0", "hub:d1"] }
    - { endpoints: ["a1:eth0", "hub:a1"] }
    - { endpoints: ["g1:hub", "hub:g1"] }
    - { endpoints: ["g2:hub", "hub:g2"] }
    - { endpoints: ["r:eth0", "hub:r"] }
    - { endpoints: ["n:eth0", "hub:n"] }
    - { endpoints: ["o:hub", "hub:o"] }
systems:
  hub:
    on: [an, d1, a1, g1, g2]
    config:
      control: an
      dmns: [d1]
      ains: { a1: {} }
      actions: 1000000
      networks:
        one: { gateway: g1, prefixes: [10.1.0.0/16] }
        two: { gateway: g2, prefixes: [10.2.0.0/24, 10.3.0.0/24] }
      setup:
        - { operation: CreateVTHRoutingDomain, params: { domain: main } }
        - { operation: AttachIsolatedNetwork, params: { network: one } }
        - { operation: AttachIsolatedNetwork, params: { network: two, mappings: [{ real: 10.2.0.0/24, as: 12.2.0.0/24 }] } }
`;
const NFT = `table ip translate {\n chain in {\n  type nat hook prerouting priority dstnat;\n  ip daddr ${STAND_IN} dnat to ${REAL}\n }\n}\n`;

export async function benchHub(): Promise<void> {
  if (!hasTrafgen()) return;
  await withLab(LAB, async (deployed, lab) => {
    await prepare(deployed, lab);
    await compareWays(deployed, lab);
    await newFlows(deployed, lab);
  });
}

async function prepare(deployed: DeployedLab, lab: Lab): Promise<void> {
  await deployed.node('n').exec(['nft', '-f', '-'], { stdin: NFT });
  const control = `/run/netrig/bench-hub/o.ovs`;
  const bridge = (await deployed.node('o').exec(['ovs-vsctl', `--db=unix:${control}/db.sock`, 'list-br'])).stdout.trim();
  const actions = `mod_nw_dst:${REAL},dec_ttl,mod_dl_src:${SWITCH_MAC},mod_dl_dst:${macOf(lab, 'g2')},in_port`;
  const flow = `priority=10,dl_dst=${SWITCH_MAC},ip,nw_dst=${STAND_IN},actions=${actions}`;
  await deployed.node('o').exec(['ovs-ofctl', 'add-flow', `unix:${control}/${bridge}.mgmt`, flow]);
}

const frameTo = (lab: Lab, mac: string, source: string, destination: string, ports: string): string =>
  `{ eth(da=${mac}, sa=${macOf(lab, 'g1')}), ipv4(ttl=64, saddr=${source}, daddr=${destination}), udp(sp=dinc(${ports}), dp=${PORT}), fill(0, 22) }`;
const between = (frame: string): Flood => ({ from: 'g1', device: 'hub', frame, to: 'g2', toDevice: 'hub', port: PORT, seconds: SECONDS });

async function compareWays(deployed: DeployedLab, lab: Lab): Promise<void> {
  const branch = branchMac(1, 1);
  const ways = [
    { name: 'plain routing', mac: macOf(lab, 'r'), destination: PLAIN },
    { name: 'hub, cached', mac: branch, destination: PLAIN },
    { name: 'hub, cached, translated', mac: branch, destination: STAND_IN },
    { name: 'nftables, translated', mac: macOf(lab, 'n'), destination: STAND_IN },
    { name: 'Open vSwitch, translated', mac: SWITCH_MAC, destination: STAND_IN },
  ] as const;
  const figures = new Map(ways.map((w) => [w.name, [] as Flooded[]]));
  for (let i = 0; i < REPEATS; i++)
    for (const { name, mac, destination } of ways) {
      const ports = `20000, ${20_000 + SOURCE_PORTS - 1}`;
      figures.get(name)!.push(await flood(deployed, between(frameTo(lab, mac, '10.1.0.1', destination, ports))));
    }
  const plain = figures.get(ways[0].name)!;
  print(
    ['one hop, UDP of 64 bytes', 'packets [k/s]', 'of plain routing [%]', 'CPU of the machine [us a packet]', 'more than plain routing'],
    ways.map(({ name }) => {
      const own = figures.get(name)!;
      const column = (of: (f: Flooded, i: number) => number, digits: number): string => show(own.map(of), digits);
      return [
        name,
        column((f) => f.packetsPerSecond / 1000, 0),
        column((f, i) => (100 * f.packetsPerSecond) / plain[i]!.packetsPerSecond, 0),
        column((f) => f.usPerPacket, 2),
        column((f, i) => f.usPerPacket - plain[i]!.usPerPacket, 2),
      ];
    }),
  );
}

async function newFlows(deployed: DeployedLab, lab: Lab): Promise<void> {
  const [dmn, ain] = [await processesOf(deployed.node('d1')), await processesOf(deployed.node('a1'))];
  const rows: string[][] = [];
  let round = 0;
  for (const gapUs of GAPS_US) {
    const [sent, perSecond, dmnUs, ainUs]: number[][] = [[], [], [], []];
    for (let i = 0; i < NEW_REPEATS; i++) {
      // Addresses that no flow has had.
      const frame = frameTo(lab, branchMac(1, 1), `10.1.1.${++round}`, PLAIN, '1024, 65535');
      const spent: [number, number][] = [];
      const onCount = () => spent.push([spentMs(dmn), spentMs(ain)]);
      const { packets, sentPerSecond, packetsPerSecond } = await flood(deployed, { ...between(frame), gapUs, onCount });
      sent!.push(sentPerSecond);
      perSecond!.push(packetsPerSecond);
      dmnUs!.push((1e3 * (spent[1]![0] - spent[0]![0])) / packets);
      ainUs!.push((1e3 * (spent[1]![1] - spent[0]![1])) / packets);
    }
    rows.push([show(sent!, 0), show(perSecond!, 0), show(dmnUs!, 1), show(ainUs!, 1)]);
  }
  // Sources of anywhere: connection tracking makes an entry of each, until its table is full.
  const table = async (): Promise<number> =>
    Number((await deployed.node('n').exec(['cat', '/proc/sys/net/netfilter/nf_conntrack_count'])).stdout);
  const spread = frameTo(lab, macOf(lab, 'n'), 'drnd()', STAND_IN, '1024, 65535');
  const [before, tracked] = [await table(), await flood(deployed, between(spread))];
  rows.push([
    `nftables: ${tracked.sentPerSecond.toFixed(0)}`,
    `${tracked.packetsPerSecond.toFixed(0)}; ${(await table()) - before} entries`,
    '',
    '',
  ]);
  print(
    ['new flows offered [1/s]', 'first packets delivered [1/s]', 'CPU of the DMN [us a decision]', 'CPU of the AIN’s helper [us]'],
    rows,
  );
}
