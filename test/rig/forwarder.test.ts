/** The forwarding unit's programs in this machine's kernel: on crafted packets with real sockets, and attached to the links of a lab. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer, connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { Forwarder } from '../../agents/pop/nodes/forwarder.ts';
import { LONGEST_BYTES, type AgentConfig } from '../../agents/pop/config.ts';
import type { WireSlot } from '../../agents/pop/protocol.ts';
import { dissect } from '../../agents/pop/results/packets.ts';
import { quietContext } from '../../src/core/context.ts';
import { BUILD_DIR } from '../../src/core/paths.ts';
import { destroyDeployedLab } from '../../src/rig/deployment/destroy.ts';
import { Testbed } from '../../src/run/testbed.ts';
import { parseExperiment } from '../../src/topology/load.ts';
import { told } from '../support/forwarder.ts';
import { ACK, ethernet, firstHop, ipv4, SYN, synFrame, tcp } from '../support/frames.ts';
import { checksOf } from '../../src/systems/registry.ts';

const [EDGE, SERVER, OTHER, REMOTE, THIRD, ANYCAST, CLIENT] = [
  '10.9.0.1',
  '10.9.0.2',
  '10.9.0.3',
  '10.9.1.1',
  '10.9.2.1',
  '127.9.3.1',
  '127.9.3.2',
];
const [AWAY, KEEP, FINAL] = [1, 2, 4];
const [OK, SHOT] = [0, 2];

const config = (over: Partial<AgentConfig> = {}): AgentConfig => ({
  self: { name: 's', role: 'server', address: SERVER, pop: 'a' },
  nodes: [
    { name: 'e', role: 'edge', address: EDGE, pop: 'a' },
    { name: 's', role: 'server', address: SERVER, pop: 'a' },
  ],
  pops: [{ name: 'a', manager: 'm', edge: 'e', servers: ['s'], strict: false }],
  services: [{ name: 'web', address: ANYCAST, table: 0, servers: ['s'] }],
  gateway: null,
  devices: [],
  bgp: null,
  preserving: true,
  memory: true,
  encapsulation: 'gre',
  pair: false,
  slots: 16,
  returnByTunnel: false,
  drainMs: null,
  capacity: 1,
  workBytes: 0,
  feedbackMs: 500,
  intervalMs: 1000,
  law: null,
  threats: [],
  policies: [],
  ...over,
});

const skip = existsSync(join(BUILD_DIR, 'forwarder')) ? false : 'not built: lab/setup.sh --with-pop';

async function withForwarder(over: Partial<AgentConfig>, work: (forwarder: Forwarder) => Promise<void>): Promise<void> {
  const forwarder = await Forwarder.start(BUILD_DIR, config(over), 7);
  try {
    await forwarder.trust([EDGE, OTHER, REMOTE]);
    await work(forwarder);
  } finally {
    await forwarder.stop();
  }
}

/** Where server_in sends what came in a first hop: here, or a PoP, or another server. */
async function served(forwarder: Forwarder, hop: Parameters<typeof firstHop>[2], inner: Buffer): Promise<string> {
  const { action, frame } = await forwarder.run('server_in', firstHop(EDGE, SERVER, hop, inner));
  if (action === SHOT) return 'dropped';
  const packet = dissect(frame)!;
  assert.ok(packet.inner.bytes.equals(dissect(ethernet(inner))!.inner.bytes), 'the inner packet is as it was (R3-9)');
  return packet.kind === 'plain' ? 'here' : packet.to!;
}

const labTest = skip ? test.skip : test;
labTest('R3-17 the table of section 2: two directions, three kinds of packets', async () => {
  const server = createServer().listen(0, ANYCAST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = connect({ host: ANYCAST, port, localAddress: CLIENT });
  await once(connection, 'connect');
  const own = connection.localPort as number;
  try {
    // Without a memory: the text's own rules.
    await withForwarder({ memory: false }, async (f) => {
      const away = { flags: AWAY | KEEP, target: REMOTE };
      const back = { flags: KEEP, previous: REMOTE };
      const packet = (from: number, flags: number) => ipv4(6, CLIENT, ANYCAST, tcp(from, port, flags));
      assert.equal(await served(f, away, packet(own, ACK)), 'here', 'a connection that is here, away');
      assert.equal(await served(f, back, packet(own, ACK)), 'here', 'a connection that is here, back');
      assert.equal(await served(f, away, packet(own, SYN)), 'here', 'its first packet again');
      assert.equal(await served(f, away, packet(1, ACK)), REMOTE, 'none here, no first packet, away');
      assert.equal(await served(f, back, packet(1, ACK)), REMOTE, 'none here, no first packet, back');
      assert.equal(await served(f, away, packet(1, SYN)), REMOTE, 'a new one, away');
      assert.equal(await served(f, back, packet(1, SYN)), 'here', 'a new one, back');
      assert.equal(await served(f, { ...away, flags: AWAY }, packet(own, ACK)), REMOTE, 'R3-36 here, but drained');
      assert.equal(await served(f, { flags: FINAL }, packet(1, ACK)), 'here', 'R3-21 what came by tunnel goes nowhere else');
      assert.equal((await f.counters())['kept'], 2);
    });
  } finally {
    connection.destroy();
    server.close();
  }
});

labTest('servers remember where they sent a connection, until that PoP is no former one any more', () =>
  withForwarder({}, async (f) => {
    const packet = (flags: number) => ipv4(6, CLIENT, ANYCAST, tcp(2000, 9, flags));
    assert.equal(await served(f, { flags: AWAY | KEEP, target: REMOTE }, packet(SYN)), REMOTE);
    assert.equal(
      await served(f, { flags: AWAY | KEEP, target: THIRD, previous: REMOTE }, packet(ACK)),
      REMOTE,
      'from one PoP to another: it stays',
    );
    assert.equal(await served(f, { flags: KEEP, previous: REMOTE }, packet(ACK)), REMOTE, 'back: it stays');
    assert.equal(await served(f, { flags: AWAY | KEEP, target: THIRD }, packet(ACK)), 'here', 'R3-36 drained: this server breaks it');
    assert.equal(await served(f, { flags: KEEP, previous: REMOTE }, packet(SYN)), REMOTE, 'its first packet once more: it began there');
    const again = tcp(2000, 9, SYN);
    again.writeUInt32BE(77, 4);
    assert.equal(
      await served(f, { flags: AWAY | KEEP, target: THIRD, previous: REMOTE }, ipv4(6, CLIENT, ANYCAST, again)),
      THIRD,
      'the port is used again',
    );
    assert.equal(await served(f, { flags: AWAY | KEEP, target: THIRD, previous: REMOTE }, packet(ACK)), THIRD);
  }),
);

labTest('a server that had the entry before is asked; strangers are not heard', () =>
  withForwarder({}, async (f) => {
    const inner = ipv4(6, CLIENT, ANYCAST, tcp(3000, 9, ACK));
    assert.equal(await served(f, { flags: KEEP, handoff: OTHER }, inner), OTHER);
    assert.equal(await served(f, { flags: FINAL, handoff: OTHER }, inner), OTHER, 'also of what came by tunnel');
    assert.equal(
      await served(f, { flags: FINAL, handoff: OTHER }, ipv4(6, CLIENT, ANYCAST, tcp(3000, 9, SYN))),
      'here',
      'a new one is its own',
    );
    assert.equal((await f.run('server_in', firstHop('10.66.6.6', SERVER, {}, inner))).action, SHOT);
    assert.equal((await f.counters())['strangers'], 1);
  }),
);

const slots = (over: Partial<WireSlot>): WireSlot[] =>
  Array.from({ length: 16 }, (_, index) => ({
    table: 0,
    index,
    server: SERVER,
    target: '0.0.0.0',
    previousPops: ['0.0.0.0', '0.0.0.0'],
    handoff: '0.0.0.0',
    away: false,
    keep: true,
    ...over,
  }));
const edge = { self: { name: 'e', role: 'edge', address: EDGE, pop: 'a' } } as const;

labTest('R3-18 the edge: first hops with the secondary; a version rules as a whole', () =>
  withForwarder(edge, async (f) => {
    const frame = synFrame('198.51.100.7', 4000, ANYCAST, 80);
    await f.program(1, slots({}));
    const local = dissect((await f.run('edge_in', frame)).frame)!;
    assert.deepEqual([local.kind, local.from, local.to, local.secondary], ['hop', EDGE, SERVER, null]);
    await f.program(2, slots({ target: REMOTE, away: true }));
    const away = dissect((await f.run('edge_in', frame)).frame)!;
    assert.deepEqual([away.kind, away.to, away.secondary, away.away], ['hop', SERVER, REMOTE, true]);
    assert.deepEqual(
      (await f.run('edge_in', synFrame('198.51.100.7', 1, '192.0.2.1', 80))).action,
      OK,
      'not anycast: none of its business',
    );
  }),
);

labTest('plain mode: by tunnel at once, in GRE or in GUE', async () => {
  for (const encapsulation of ['gre', 'gue'] as const) {
    await withForwarder({ ...edge, preserving: false, encapsulation }, async (f) => {
      await f.program(1, slots({ target: REMOTE, away: true }));
      const packet = dissect((await f.run('edge_in', synFrame('198.51.100.7', 4000, ANYCAST, 80))).frame)!;
      assert.deepEqual([packet.kind, packet.from, packet.to, packet.inner.sourcePort], [encapsulation, EDGE, REMOTE, 4000]);
    });
  }
});

labTest("R3-21 what comes by tunnel goes to a server, marked as final, whatever the entry says; strangers' tunnels are not opened", () =>
  withForwarder(edge, async (f) => {
    await f.program(1, slots({ target: THIRD, away: true }));
    const inner = ipv4(6, '198.51.100.7', ANYCAST, tcp(4000, 80));
    const gre = (from: string) => ethernet(ipv4(47, from, EDGE, Buffer.concat([Buffer.from([0, 0, 8, 0]), inner])));
    const packet = dissect((await f.run('edge_in', gre(REMOTE))).frame)!;
    assert.deepEqual([packet.kind, packet.to, packet.secondary, packet.away], ['hop', SERVER, null, false]);
    assert.equal((await f.run('edge_in', gre('10.66.6.6'))).action, SHOT);
    assert.equal((await f.counters())['strangers'], 1);
  }),
);

labTest('nobody outside is the edge or one of its servers, nor speaks to those; the kernel tells what rules', () =>
  withForwarder(edge, async (f) => {
    await f.own([SERVER]);
    await f.program(1, slots({ target: REMOTE, away: true }));
    const inner = ipv4(6, '198.51.100.7', ANYCAST, tcp(4000, 80));
    for (const frame of [
      firstHop('198.51.100.7', SERVER, { flags: AWAY, target: '198.51.100.9' }, inner),
      synFrame(EDGE, 1, ANYCAST, 80),
      synFrame(SERVER, 1, ANYCAST, 80),
    ])
      assert.equal((await f.run('edge_in', frame)).action, SHOT);
    assert.deepEqual(
      await f.dump(0),
      Array.from({ length: 16 }, () => REMOTE),
    );
    // A reply that claims to return by a tunnel, where none does.
    const reply = ethernet(
      ipv4(47, REMOTE, EDGE, Buffer.concat([Buffer.from([0, 0, 8, 0]), ipv4(6, ANYCAST, '198.51.100.7', tcp(80, 4000))])),
    );
    assert.equal((await f.run('edge_in', reply)).action, SHOT);
  }),
);

labTest('R3-32 threats are dropped; fragments are counted; what is too long is answered with the size that fits', () =>
  withForwarder(edge, async (f) => {
    await f.program(1, slots({}));
    await f.setThreat('198.51.100.0/24', true);
    assert.equal((await f.run('edge_in', synFrame('198.51.100.7', 1, ANYCAST, 80))).action, SHOT);
    await f.setThreat('198.51.100.0/24', false);
    const fragment = synFrame('198.51.100.7', 1, ANYCAST, 80);
    fragment.writeUInt16BE(0x2000, 14 + 6);
    assert.equal((await f.run('edge_in', fragment)).action, SHOT);
    const long = ethernet(ipv4(6, '198.51.100.7', ANYCAST, Buffer.concat([tcp(1, 80, ACK), Buffer.alloc(LONGEST_BYTES)])));
    long.writeUInt16BE(0x4000, 14 + 6);
    const { frame } = await f.run('edge_in', long);
    assert.deepEqual(
      [frame[14 + 9], frame[34], frame[35], frame.readUInt16BE(40)],
      [1, 3, 4, LONGEST_BYTES],
      'ICMP: fragmentation needed, and the size',
    );
    assert.equal(frame.subarray(30, 34).join('.'), '198.51.100.7', 'to whoever sent it');
    const { threats, fragments, tooBig } = await f.counters();
    assert.deepEqual([threats, fragments, tooBig], [1, 1, 1]);
  }),
);

labTest('path-MTU errors go where the flow lives that they quote', () =>
  withForwarder(edge, async (f) => {
    // The server's reply was too long for a router on its way: what it quotes went from the anycast address to the client.
    const quoted = ipv4(6, ANYCAST, '198.51.100.7', tcp(80, 4000, ACK));
    const error = ethernet(ipv4(1, '192.0.2.254', ANYCAST, Buffer.concat([Buffer.from([3, 4, 0, 0, 0, 0, 5, 0]), quoted])));
    const table = Array.from({ length: 16 }, (_, index) => ({ ...slots({})[index]!, server: `10.9.0.${100 + index}` }));
    await f.program(1, table);
    const flow = dissect((await f.run('edge_in', synFrame('198.51.100.7', 4000, ANYCAST, 80))).frame)!;
    assert.equal(dissect((await f.run('edge_in', error)).frame)!.to, flow.to);
  }),
);

/** A client, an edge that has no route to the service, and a server that has its address. */
const LAB = `name: test-forwarder
topology:
  nodes: { c: {}, e: { sysctls: { net.ipv4.ip_forward: 1, net.ipv4.conf.all.accept_local: 1 } }, s: { sysctls: { net.ipv4.ip_forward: 1 } } }
  links: [{ endpoints: ["c:up", "e:net"] }, { endpoints: ["e:lan", "s:eth0"] }]
`;

labTest('R3-9 on links: entries that are settled, first hops, whoever commanded killed, another in its place, and none', async () => {
  const ctx = quietContext();
  const lab = (await parseExperiment('test.yaml', LAB, { checksOf })).cells[0]!;
  const address = (node: string, itf: string): string =>
    lab.fabric.nodes
      .find((n) => n.name === node)!
      .interfaces.find((i) => i.name === itf)!
      .addresses[0]!.split('/')[0]!;
  const [edgeIp, serverIp] = [address('e', 'lan'), address('s', 'eth0')];
  const service = '203.0.113.1';
  await using testbed = await Testbed.open(ctx, null, { lease: null });
  const deployed = await testbed.deploy(ctx, lab, 'test');
  try {
    await deployed.node('s').exec(['ip', 'address', 'add', `${service}/32`, 'dev', 'lo']);
    await deployed.node('s').exec(['ip', 'route', 'add', 'default', 'via', edgeIp]);
    await deployed.node('c').exec(['ip', 'route', 'add', 'default', 'via', address('e', 'net')]);
    const server = deployed.node('s').spawn(['iperf3', '-s', '-B', service]);
    server.stdout.resume();
    server.stderr.resume();
    const isServed = async (): Promise<boolean> =>
      (
        await deployed
          .node('c')
          .exec(['iperf3', '-c', service, '-n', '2M', '--connect-timeout', '1500'], { allowFailure: true, timeoutMs: 20_000 })
      ).exitCode === 0;
    const edges = (previous: string) =>
      told(deployed.node('e'), [
        `settings ${edgeIp} ${edgeIp} 7 16 gre 1 0 1 0 ${LONGEST_BYTES}`,
        `table ${service}/32 0`,
        ...Array.from({ length: 16 }, (_, i) => `slot 0 ${i} ${serverIp} 0.0.0.0 ${previous} 0.0.0.0 0.0.0.0 ${KEEP}`),
        'commit 1',
        'attach net edge_in',
      ]);
    assert.equal(await isServed(), false, 'the edge alone has no way there');
    const inside = await told(deployed.node('s'), [
      `settings ${serverIp} ${edgeIp} 0 16 gre 1 0 1 0 ${LONGEST_BYTES}`,
      `table ${service}/32 0`,
      `peer ${edgeIp} on`,
      'attach eth0 server_in',
    ]);

    const settled = await edges('0.0.0.0');
    assert.equal(await isServed(), true);
    const bare = await settled.counters();
    assert.ok(bare['direct']! > 50 && bare['direct'] === bare['local'], JSON.stringify(bare));
    assert.ok(bare['tooBig']! > 0, 'whoever sends longer packets than a tunnel carries is told at once');
    assert.equal((await inside.counters())['served'], 0);

    await settled.kill();
    assert.equal(await isServed(), true, 'what is in the kernel goes on');
    const hops = await edges(REMOTE);
    assert.equal(await isServed(), true);
    const { local, direct } = await hops.counters();
    assert.ok(local! > 50 && direct === 0, 'the one before is gone from the link');
    assert.equal((await inside.counters())['served'], local);

    await hops.detach();
    assert.equal(await isServed(), false);
    await inside.detach();
    server.kill('SIGKILL');
    await server.exited;
  } finally {
    await destroyDeployedLab(deployed);
  }
});
