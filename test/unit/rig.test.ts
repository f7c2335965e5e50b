/** Rig files, placement, trunks, leases, the protocol with hostd, clocks: everything of rigs that needs no machine. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { clockProblem, offsetAt } from '../../src/clocks/samples.ts';
import type { ClockRecord, ClockSample } from '../../src/evidence/records.ts';
import { chronyConfig, ptpConfig } from '../../src/clocks/sync.ts';
import { parseBurst } from '../../src/clocks/watch.ts';
import { planDeployment, type PlannedMachine } from '../../src/fabric/plan.ts';
import { planTrunks } from '../../src/fabric/trunks.ts';
import { parsed } from '../../src/core/lightjson.ts';
import {
  callRequest,
  decodeFile,
  encode,
  encodeFile,
  frameReader,
  isSignal,
  KIND,
  METHODS,
  spawnRequest,
  type Frame,
} from '../../src/rig/machines/hostd/protocol.ts';
import { placeNodes } from '../../src/rig/placement.ts';
import { parseRig, type RigPlan } from '../../src/rig/rigfile.ts';
import type { Assignments } from '../../src/rig/labs/assignment.ts';
import { quote } from '../../src/core/shell.ts';
import { qemuArguments } from '../../src/rig/images/vm/qemu.ts';
import { renderPlan } from '../../src/rig/labs/steps.ts';
import { parseExperiment } from '../../src/topology/load.ts';
import type { Capability, Fabric } from '../../src/topology/model.ts';
import { ROOT } from '../support/netrig.ts';
import { checksOf } from '../../src/systems/registry.ts';

const RIG = `
name: bench
defaults: { ssh: { user: lab, sudo: true } }
hosts:
  gw1: { ssh: { address: 192.0.2.11 }, labels: { rack: left }, data: { device: ens2 }, nics: { ens3: { cable: "gw2:ens3" } } }
  gw2: { ssh: { address: 192.0.2.12, jump: gw1, host-key: "ssh-ed25519 AAAA" }, labels: { rack: right }, data: { device: ens2 }, nics: { ens3: { cable: "gw1:ens3" } } }
`;

const rig = (text = RIG): RigPlan => parseRig('/lab/rigs/bench.yaml', text);
const fabricOf = async (topology: string): Promise<Fabric> => {
  const lab = (await parseExperiment('t.yaml', `name: t\ntopology:\n${topology}`, { checksOf })).cells[0];
  assert.ok(lab);
  return lab.fabric;
};

{
  test('rig files: hosts, defaults, jump hosts, cables', () => {
    const { hosts, cables, grandmaster } = rig();
    assert.equal(grandmaster, 'gw1');
    assert.deepEqual(cables, [
      {
        ends: [
          { host: 'gw1', nic: 'ens3' },
          { host: 'gw2', nic: 'ens3' },
        ],
      },
    ]);
    const access = hosts[1]?.access;
    assert.ok(access?.kind === 'ssh');
    assert.deepEqual([access.ssh.user, access.ssh.sudo, access.ssh.jump, access.ssh.port], ['lab', true, 'gw1', 22]);
  });
  for (const [name, text, expected] of [
    ['an unknown key', RIG.replace('labels', 'lables'), /bench\.yaml:5:\d+: .*lables/],
    ['a host that nothing reaches', 'name: b\nhosts: { x: {} }\n', /nothing says how "x" is reached/],
    ['two ways to a host', 'name: b\nhosts: { x: { local: true, vm: {} } }\n', /reached by vm and local/],
    ['a cable with one end', RIG.replace('nics: { ens3: { cable: "gw1:ens3" } }', 'nics: {}'), /no NIC gw2:ens3/],
    ['a jump host that is none', RIG.replace('jump: gw1', 'jump: gw9'), /"gw9" is not another host/],
    ['two grandmasters', RIG.replaceAll('data:', 'clock: { grandmaster: true }, data:'), /one grandmaster/],
    ['an engine of its own elsewhere', RIG.replace('labels: { rack: left }', 'carries: containers, engine: own'), /on this machine only/],
    ['no rig at all', '[]', /expected a mapping/],
  ] as const) {
    test(`rig files: ${name} is refused, with its place`, () => assert.throws(() => rig(text), { code: 'RIG_INVALID', message: expected }));
  }
  test('rig files: the rig files that come with netrig are good', () => {
    for (const name of ['vm-3', 'containers'])
      assert.equal(parseRig(`/${name}.yaml`, readFileSync(join(ROOT, `lab/rigs/${name}.yaml`), 'utf8')).name, name);
  });
}

{
  const candidates = (plan: RigPlan, capabilities: Capability[] = []) =>
    plan.hosts.map((host) => ({ host, capabilities: new Set(capabilities) }));
  const STAR =
    '  nodes: { sw: { kind: ovs-bridge }, a: {}, b: {}, core: { kind: bridge }, c: {} }\n  links: [{ endpoints: ["a:e", "sw:a"] }, { endpoints: ["b:e", "sw:b"] }, { endpoints: ["sw:up", "core:s"] }, { endpoints: ["c:e", "core:c"] }]\n';

  test('placement: what a switch serves stays with it; the machines are loaded alike', async () => {
    const assignments = placeNodes(await fabricOf(STAR), candidates(rig()));
    assert.equal(assignments['a']?.machine, assignments['sw']?.machine);
    assert.equal(assignments['b']?.machine, assignments['sw']?.machine);
    assert.equal(assignments['c']?.machine, assignments['core']?.machine);
    assert.notEqual(assignments['sw']?.machine, assignments['core']?.machine);
  });
  test('placement: labels and needs are kept, or the refusal names them', async () => {
    const placed = STAR.replace('c: {}', 'c: { place: { rack: left } }').replace(
      'core: { kind: bridge }',
      'core: { kind: bridge, place: { rack: right } }',
    );
    const assignments = placeNodes(await fabricOf(placed), candidates(rig()));
    assert.deepEqual([assignments['c']?.machine, assignments['core']?.machine], ['gw1', 'gw2']);
    const needy = await fabricOf(STAR.replace('c: {}', 'c: { needs: [netem] }'));
    assert.throws(() => placeNodes(needy, candidates(rig())), { code: 'PLACEMENT_IMPOSSIBLE', message: /carry c \(wanted: netem\)/ });
    assert.ok(placeNodes(needy, candidates(rig(), ['netem']))['c']);
  });
  test('placement: a machine that carries one node carries one', async () => {
    const one = rig(RIG.replace('labels: { rack: left }', 'labels: { rack: left }, carries: one-node'));
    const assignments = placeNodes(
      await fabricOf(
        '  nodes: { a: { place: { rack: left } }, b: {}, c: {} }\n  links: [{ endpoints: ["a:e", "b:e"] }, { endpoints: ["b:f", "c:f"] }]\n',
      ),
      candidates(one),
    );
    assert.deepEqual([assignments['a']?.machine, assignments['b']?.machine, assignments['c']?.machine], ['gw1', 'gw2', 'gw2']);
  });
  test('placement: only hosts become containers', async () => {
    const assignments = placeNodes(
      await fabricOf(STAR),
      candidates(rig('name: c\nhosts: { here: { local: true, carries: containers } }\n')),
    );
    assert.deepEqual(
      ['a', 'sw', 'core'].map((n) => assignments[n]?.container),
      [true, false, false],
    );
  });
}

{
  const assignments: Assignments = { a: { machine: 'gw1', container: false }, b: { machine: 'gw2', container: false } };
  const TWO =
    '  nodes: { a: {}, b: {} }\n  links: [{ endpoints: ["a:e", "b:e"] }, { endpoints: ["a:f", "b:f"], rate: 10Mbit, delay: 5ms }]\n';
  const ports = (mtu: number) =>
    new Map([
      ['gw1', { address: '10.0.0.1', mtu }],
      ['gw2', { address: '10.0.0.2', mtu }],
    ]);

  test('links between machines: cables first, then VXLAN, whose MTU must fit', async () => {
    const fabric = await fabricOf(TWO);
    const trunks = [...planTrunks(fabric, assignments, ports(1550), rig().cables).values()];
    assert.deepEqual(
      trunks.map((t) => t.kind),
      ['cable', 'vxlan'],
    );
    assert.throws(() => planTrunks(fabric, assignments, ports(1500), []), {
      code: 'PLACEMENT_IMPOSSIBLE',
      message: /MTU of 1500 does not fit/,
    });
    assert.throws(() => planTrunks(fabric, assignments, new Map(), []), {
      code: 'PLACEMENT_IMPOSSIBLE',
      message: /neither a cable nor an address/,
    });
  });
  test('links between machines: the plan: each machine makes its half and shapes what leaves it', async () => {
    const fabric = await fabricOf(TWO);
    const machine: PlannedMachine = {
      containers: { image: 'i', mounts: [] },
      capabilities: { ovsKernel: true, netem: true },
      stateRoot: '/run/netrig',
      nativeDir: '/native',
    };
    const plan = planDeployment({
      lab: 't',
      fabric,
      assignments,
      machines: new Map([
        ['gw1', machine],
        ['gw2', machine],
      ]),
      trunks: planTrunks(fabric, assignments, ports(1600), rig().cables),
    });
    const path = join(import.meta.dirname, 'golden/two-machines.txt');
    if (process.env['UPDATE_GOLDEN']) writeFileSync(path, renderPlan(plan));
    assert.equal(renderPlan(plan), readFileSync(path, 'utf8'));
  });
}

{
  test('hostd: a payload that is not as its frame describes it is refused, with its place', () => {
    assert.deepEqual(parsed(callRequest, '{"method":"labs","params":[]}'), { method: 'labs', params: [] });
    assert.throws(() => parsed(callRequest, '{"method":"toString","params":[]}'), /^Error: \/method: /);
    assert.throws(() => parsed(spawnRequest, '{"argv":"rm -rf /"}'), /^Error: \/argv: must be array/);
    assert.throws(() => parsed(METHODS.lease, '{"owner":"me"}'), /^Error: \//);
    assert.ok(isSignal('SIGTERM') && !isSignal('toString'));
  });
  test('hostd: frames survive any cutting of the stream', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ kind: fc.constantFrom(...Object.values(KIND)), id: fc.nat(), payload: fc.uint8Array({ maxLength: 300 }) }), {
          maxLength: 12,
        }),
        fc.array(fc.nat({ max: 50 }), { maxLength: 80 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map((f) => encode(f.kind, f.id, Buffer.from(f.payload))));
          const seen: Frame[] = [];
          const read = frameReader((frame) => seen.push({ ...frame, payload: Buffer.from(frame.payload) }));
          let at = 0;
          for (const cut of cuts) {
            read(stream.subarray(at, at + cut));
            at = Math.min(stream.length, at + cut);
          }
          read(stream.subarray(at));
          assert.deepEqual(
            seen.map((f) => [f.kind, f.id, [...f.payload]]),
            frames.map((f) => [f.kind, f.id, [...f.payload]]),
          );
        },
      ),
    );
  });
  test('hostd: a path and a content in one frame', () => {
    const { path, content } = decodeFile(encodeFile('/tmp/ü', Buffer.from([0, 1, 255])));
    assert.deepEqual([path, [...content]], ['/tmp/ü', [0, 1, 255]]);
  });
  test('hostd: words are quoted for a login shell', () =>
    assert.deepEqual(['plain-1.2', 'a b', "it's", '$(x)', ''].map(quote), ['plain-1.2', "'a b'", "'it'\\''s'", "'$(x)'", "''"]));
}

{
  const sample = (atMs: number, offsetUs: number | null, boundUs = 100, machine = 'm'): ClockSample => ({
    machine,
    atMs,
    clock: offsetUs === null ? null : { offsetNs: offsetUs * 1000, boundNs: boundUs * 1000 },
  });
  const every = (fromMs: number, toMs: number, offsetUs: (atMs: number) => number | null) =>
    Array.from({ length: (toMs - fromMs) / 500 + 1 }, (_, i) => sample(fromMs + i * 500, offsetUs(fromMs + i * 500)));
  const record = (samples: ClockSample[]): ClockRecord => ({ reference: 'gm', sync: 'ptp', maxOffsetUs: 1000, samples });

  test('clocks: bounds of an exchange: the middle, and half of what is between', () => {
    assert.deepEqual(parseBurst('m', '{"atNs":"1","lowerNs":-300,"upperNs":100,"rttMaxNs":900,"lost":0}', 5), {
      machine: 'm',
      atMs: 5,
      clock: { offsetNs: 100, boundNs: 200 },
    });
    assert.equal(parseBurst('m', '{"atNs":"1","lost":10}', 5).clock, null);
    assert.equal(
      parseBurst('m', '{"atNs":"1","lowerNs":1000,"upperNs":0,"rttMaxNs":900,"lost":0}', 5).clock?.boundNs,
      1400,
      'a clock that was set meanwhile is known less well',
    );
  });
  test('clocks: good clocks say nothing; a step, a wide bound, silence do', () => {
    assert.equal(clockProblem(record(every(0, 10_000, () => 300)), 1000, 9000), undefined);
    assert.match(clockProblem(record(every(0, 10_000, (t) => (t >= 5000 && t < 5600 ? 250_000 : 0))), 1000, 9000) ?? '', /250ms/);
    assert.match(
      clockProblem(record([...every(0, 4000, () => 0), sample(4500, 0, 1500), ...every(5000, 10_000, () => 0)]), 1000, 9000) ?? '',
      /± 1\.5ms/,
    );
    assert.match(
      clockProblem(record(every(0, 10_000, (t) => (t > 2000 && t < 7000 ? null : 0))), 1000, 9000) ?? '',
      /not known for more than 3 s/,
    );
    assert.equal(clockProblem({ ...record([]), reference: null }, 0, 1e4), undefined, 'one kernel, one clock');
  });
  test('clocks: between two samples the bound grows, and a step in between is inside it', () => {
    const steady = every(0, 1000, () => 50);
    assert.equal(offsetAt(steady, 'm', 500)?.boundNs, 100_000);
    assert.ok((offsetAt(steady, 'm', 250)?.boundNs ?? 0) > 100_000);
    assert.ok((offsetAt([sample(0, 0), sample(500, 250_000)], 'm', 200)?.boundNs ?? 0) >= 250e6);
    assert.equal(offsetAt(steady, 'm', 60_000), null);
  });
  test('clocks: configurations', () => {
    assert.match(ptpConfig(false, false), /time_stamping software[\s\S]*step_threshold 0\.002[\s\S]*slaveOnly 1/);
    assert.doesNotMatch(ptpConfig(true, true), /slaveOnly/);
    assert.match(chronyConfig('10.0.0.1'), /server 10\.0\.0\.1 iburst/);
  });
}

test('a virtual machine: its disks are read-only, its NICs as wired, KVM only where it was chosen', () => {
  const spec = {
    name: 'v',
    memoryBytes: 2 ** 30,
    cores: 2,
    image: { kernel: 'k', initramfs: 'i', root: 'r' },
    runtimeImage: 'rt',
    initrd: 'in',
    nics: [{ name: 'data0', tap: 't0', mac: '02:00:00:00:00:01', mtu: 1600, address: null }],
    sharedPage: null,
    dir: '/d',
  } as const;
  const text = qemuArguments({ ...spec, accelerator: 'tcg' }).join(' ');
  assert.match(text, /-accel tcg,thread=multi\S* -cpu max -smp 2 -m 1024M/);
  assert.equal(text.match(/readonly=on/g)?.length, 2);
  assert.match(text, /ifname=t0.*mac=02:00:00:00:00:01,host_mtu=1600/);
  assert.match(qemuArguments({ ...spec, accelerator: 'kvm' }).join(' '), /-accel kvm -cpu host/);
});
