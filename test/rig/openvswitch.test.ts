/** The clients of Open vSwitch against a real one: what they ask for is what its own tools find there, and what packets meet. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { OpenFlowSwitch, type Flow, type PacketIn } from '../../agents/lib/openflow/index.ts';
import { appctl } from '../../agents/lib/ovs/appctl.ts';
import { mapOf, named, OvsdbClient, setOf, type Updates } from '../../agents/lib/ovs/ovsdb.ts';
import { ovsDir } from '../../src/fabric/plan.ts';
import { SWITCH_DEVICE } from '../../src/core/devices.ts';
import { stateRoot } from '../../src/rig/labs/journal.ts';
import { netrig, scratch } from '../support/netrig.ts';
import { until } from '../support/until.ts';

const LAB = 't-ovs';
const files = scratch();
const dir = ovsDir(stateRoot(), LAB, 'sw');
const management = join(dir, `${SWITCH_DEVICE}.mgmt`);
const lost = (why: string): void => {
  throw new Error(why);
};
const connect = (): Promise<OpenFlowSwitch> => OpenFlowSwitch.connect(management, lost);
const ofctl = (command: string, ...args: string[]): string =>
  execFileSync('ovs-ofctl', ['-O', 'OpenFlow14', command, `unix:${management}`, ...args], { encoding: 'utf8' });

test.before(() => {
  const lab = `name: ${LAB}\ntopology:\n  nodes: { sw: { kind: ovs-bridge, separate: true }, a: , b: }\n  links: [{ endpoints: ["a:e", "sw:pa"] }, { endpoints: ["b:e", "sw:pb"] }]\n`;
  const { status, stderr } = netrig(['deploy', files.file('lab.yaml', lab)]);
  assert.equal(status, 0, stderr);
});
test.after.always(() => {
  netrig(['destroy', LAB]);
  files[Symbol.dispose]();
});

/** As the client is told, and as ovs-ofctl reads it back. */
const FLOWS: readonly (readonly [flow: Flow, read: string])[] = [
  [
    { table: 0, priority: 9, cookie: 7, match: { inPort: 'pa', ethSrc: '02:00:00:00:00:01' }, actions: [{ output: 'pb' }] },
    'cookie=0x7, priority=9,in_port=pa,dl_src=02:00:00:00:00:01 actions=output:pb',
  ],
  [
    { table: 0, priority: 8, match: { ethDst: 'group addresses' }, actions: [{ to: 'normal' }] },
    'priority=8,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=NORMAL',
  ],
  [
    {
      table: 0,
      priority: 7,
      match: { ipSrc: '10.1.2.0/23', protocol: 'tcp', portDst: 80 },
      actions: [
        { set: 'ipv4Dst', value: '10.9.9.9' },
        { set: 'tcpDst', value: 8080 },
      ],
      goto: 2,
    },
    'priority=7,tcp,nw_src=10.1.2.0/23,tp_dst=80 actions=set_field:10.9.9.9->ip_dst,set_field:8080->tcp_dst,goto_table:2',
  ],
  [
    { table: 0, priority: 6, match: { ipDst: '2001:db8::/32', protocol: 'udp', portSrc: 53 } },
    'priority=6,udp6,ipv6_dst=2001:db8::/32,tp_src=53 actions=drop',
  ],
  [
    { table: 0, priority: 5, match: { neighbour: { kind: 'solicitation', target: 'fd00::1' } }, actions: [{ to: 'controller' }] },
    'priority=5,icmp6,icmp_type=135,nd_target=fd00::1 actions=CONTROLLER:65535',
  ],
  [
    {
      table: 0,
      priority: 4,
      match: { arp: { operation: 1, targetIp: '10.0.0.1' } },
      actions: [{ copy: 'ethSrc', into: 'ethDst' }, { copy: 'arpSenderIp', into: 'arpTargetIp' }, { to: 'inPort' }],
    },
    'priority=4,arp,arp_tpa=10.0.0.1,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],IN_PORT',
  ],
  [
    {
      table: 1,
      priority: 3,
      match: { type: 'ipv4', registers: { reg2: 7 }, metadata: 5 },
      metadata: 9,
      actions: [{ set: 'reg15', value: 1 }, { decrementTtl: true }],
      goto: 3,
    },
    'table=1, priority=3,ip,reg2=0x7,metadata=0x5 actions=set_field:0x1->reg15,dec_ttl,write_metadata:0x9,goto_table:3',
  ],
  [
    { table: 1, priority: 2, match: { type: 'ipv4', connection: { state: '-trk' } }, actions: [{ track: { zone: 3, table: 2 } }] },
    'table=1, priority=2,ct_state=-trk,ip actions=ct(table=2,zone=3)',
  ],
  [
    {
      table: 2,
      priority: 3,
      match: { type: 'ipv4', connection: { state: '+trk+new', zone: 3 } },
      actions: [
        { track: { zone: 3, commit: true, translate: { what: 'source', address: ['10.8.0.1', '10.8.0.9'], ports: [1024, 2048] } } },
        { output: 'pb' },
      ],
    },
    'table=2, priority=3,ct_state=+new+trk,ct_zone=3,ip actions=ct(commit,zone=3,nat(src=10.8.0.1-10.8.0.9:1024-2048)),output:pb',
  ],
  [
    {
      table: 2,
      priority: 2,
      match: { type: 'ipv4', connection: { state: '+trk+est' } },
      actions: [{ track: { zone: 3, table: 3, translate: 'as before' } }],
    },
    'table=2, priority=2,ct_state=+est+trk,ip actions=ct(table=3,zone=3,nat)',
  ],
  [
    {
      table: 2,
      priority: 1,
      match: { protocol: 'tcp', opens: true },
      actions: [
        { hash: 'reg1', below: 64 },
        { resubmit: 5 },
        {
          learn: {
            table: 4,
            priority: 6,
            idleTimeoutS: 600,
            closedTimeoutS: 5,
            limit: 1000,
            where: [
              ['ethType', 0x800],
              ['ipProtocol', 6],
            ],
            match: ['metadata', 'ipv4Src', 'ipv4Dst', 'tcpSrc', 'tcpDst'],
            load: ['reg0'],
          },
        },
      ],
    },
    'table=2, priority=1,tcp,tcp_flags=+syn-ack actions=multipath(symmetric_l3l4+udp,0,modulo_n,64,0,NXM_NX_REG1[0..5]),resubmit(,5),learn(table=4,idle_timeout=600,fin_idle_timeout=5,priority=6,limit=1000,eth_type=0x800,nw_proto=6,OXM_OF_METADATA[],NXM_OF_IP_SRC[],NXM_OF_IP_DST[],NXM_OF_TCP_SRC[],NXM_OF_TCP_DST[],load:NXM_NX_REG0[]->NXM_NX_REG0[])',
  ],
  [
    { table: 3, priority: 1, match: { vlan: 5 }, actions: [{ popVlan: true }, { pushVlan: 6 }, { group: 4 }] },
    'table=3, priority=1,dl_vlan=5 actions=pop_vlan,push_vlan:0x8100,set_field:4102->vlan_vid,group:4',
  ],
  [
    { table: 3, priority: 0, match: {}, meter: 2, actions: [{ output: 'pa' }], idleTimeoutS: 60 },
    'table=3, idle_timeout=60, priority=0 actions=meter:2,output:pa',
  ],
];

test('every field, action and instruction is what Open vSwitch takes it for', async () => {
  const bridge = await connect();
  try {
    await bridge.putGroup({
      id: 4,
      kind: 'select',
      buckets: [{ weight: 3, actions: [{ output: 'pa' }] }, { actions: [{ set: 'ethDst', value: '02:00:00:00:00:09' }, { output: 'pb' }] }],
    });
    await bridge.putMeter({ id: 2, rateBps: 5e6, burstBits: 1e6 });
    await bridge.replace(FLOWS.map(([flow]) => flow));
    const read = ofctl('dump-flows', '--no-stats', '--names')
      .trim()
      .split('\n')
      .map((line) =>
        line
          .trim()
          .replaceAll('"', '')
          .replace(/^cookie=0x0, /, ''),
      );
    assert.deepEqual(read.toSorted(), FLOWS.map(([, text]) => text).toSorted());
    assert.match(
      ofctl('dump-groups', '--names'),
      /group_id=4,type=select,bucket=weight:3,actions=output:pa,bucket=actions=set_field:02:00:00:00:00:09->eth_dst,output:pb/,
    );
    assert.match(ofctl('dump-meters'), /meter=2 kbps bands=\s+type=drop rate=5000/);
    await bridge.removeMeter(2);
    await bridge.removeGroup(4);
    assert.doesNotMatch(ofctl('dump-groups'), /group_id/);
  } finally {
    bridge.close();
  }
});

test('a bundle that the switch refuses changes nothing, and says so', async () => {
  const bridge = await connect();
  try {
    await bridge.replace([{ table: 0, priority: 1, match: {}, actions: [{ output: 'pb' }] }]);
    await assert.rejects(
      bridge.replace([
        { table: 0, priority: 2, match: {} },
        { table: 0, priority: 3, match: {}, actions: [{ group: 99 }] },
      ]),
      /refused a change: error type/,
    );
    assert.match(ofctl('dump-flows', '--no-stats', '--names'), /^\s*(cookie=0x0, )?priority=1 actions=output:"?pb"?\s*$/);
    await assert.rejects(bridge.change([{ table: 0, priority: 1, match: { inPort: 'nowhere' } }], []), /no port "nowhere"/);
  } finally {
    bridge.close();
  }
});

test('packets come to the controller, are sent by it, and are counted', async () => {
  const bridge = await connect();
  try {
    const heard: PacketIn[] = [];
    await bridge.onPacket((packet) => heard.push(packet));
    await bridge.replace([{ table: 0, priority: 1, cookie: 0x51, match: { inPort: 'pa', type: 'arp' }, actions: [{ to: 'controller' }] }]);
    netrig(['exec', 'a', '-l', LAB, '--', 'iperf3', '-c', '10.64.0.99', '--connect-timeout', '500']);
    await until(() => heard.length > 0, 'a packet-in');
    const packet = heard[0] as PacketIn;
    assert.equal(packet.cookie, 0x51);
    assert.equal(packet.port, 'pa');
    assert.equal(packet.frame.readUInt16BE(12), 0x0806, 'the whole frame');
    assert.ok((await bridge.flows(0)).some((f) => f.cookie === 0x51 && f.packets >= 1 && f.bytes >= 42));
    const before = await bridge.sentBytes(['pa', 'pb']);
    // Back through the tables, as if it had come from b.
    await bridge.change([{ table: 0, priority: 2, cookie: 0x52, match: { inPort: 'pb', type: 'arp' } }], []);
    await bridge.send(packet.frame, [{ output: 'pa' }]);
    assert.equal((await bridge.flows(0)).find((f) => f.cookie === 0x52)?.packets, 0, 'sent out of a port, it meets no flow');
    const after = await bridge.sentBytes(['pa', 'pb']);
    assert.deepEqual([after.get('pa'), after.get('pb')], [before.get('pa')! + packet.frame.length, before.get('pb')]);
  } finally {
    bridge.close();
  }
});

test('ovsdb-server: transactions, what is followed, locks', async () => {
  const db = await OvsdbClient.connect({ path: join(dir, 'db.sock') }, 'Open_vSwitch', lost);
  const other = await OvsdbClient.connect({ path: join(dir, 'db.sock') }, 'Open_vSwitch', lost);
  try {
    const seen: Updates[] = [];
    await db.follow({ Bridge: { columns: ['name', 'external_ids'], where: [['name', '==', SWITCH_DEVICE]] } }, (changes) =>
      seen.push(changes),
    );
    assert.deepEqual(
      Object.values(seen[0]?.['Bridge'] ?? {}).map((row) => row.initial?.['name']),
      [SWITCH_DEVICE],
    );
    const [updated] = await other.transact([
      { op: 'update', table: 'Bridge', where: [['name', '==', SWITCH_DEVICE]], row: { external_ids: mapOf({ tested: 'yes {"}' }) } },
    ]);
    assert.equal(updated?.count, 1);
    await until(() => seen.length > 1, 'the change');
    assert.match(JSON.stringify(seen[1]), /"tested","yes \{\\"\}"/);
    // All of it or nothing: the second operation fails, so that the first is not done.
    await assert.rejects(
      db.transact([
        { op: 'insert', table: 'Queue', row: { dscp: 7 } },
        { op: 'update', table: 'Bridge', where: [], row: { nothing: 1 } },
      ]),
      /update: .*nothing/,
    );
    assert.deepEqual((await db.transact([{ op: 'select', table: 'Queue', where: [] }]))[0]?.rows, []);
    const [made] = await db.transact([
      { op: 'insert', table: 'QoS', row: { type: 'linux-noop', queues: ['map', []] }, 'uuid-name': 'q' },
      { op: 'mutate', table: 'Port', where: [['name', '==', 'pa']], mutations: [['qos', 'insert', setOf(named('q'))]] },
    ]);
    assert.match(made?.uuid?.[1] ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(await db.lock('leader'), true);
    assert.equal(await other.lock('leader'), false);
    await assert.rejects(other.transact([{ op: 'assert', lock: 'leader' }]), /assert: not owner/);
    await db.transact([{ op: 'assert', lock: 'leader' }]);
  } finally {
    db.close();
    other.close();
  }
});

test('ovs-vswitchd answers commands, and refuses those that it does not know', async () => {
  assert.match(await appctl(dir, 'version'), /Open vSwitch/);
  await assert.rejects(appctl(dir, 'no-such-command'), /no-such-command/);
  await assert.rejects(appctl(files.dir, 'version'), /no ovs-vswitchd runs/);
});
