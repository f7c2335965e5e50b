import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import test from 'ava';
import { admissionOf, type Introduction } from '../../agents/mesh/control/admission.ts';
import { ALL, exports, exportsRoute, setOf, type Policy } from '../../agents/mesh/control/policies.ts';
import { winnersOf, type Offer } from '../../agents/mesh/control/routes.ts';
import { rowsOf, type Surroundings } from '../../agents/mesh/control/published.ts';
import { agree, moveEndpoint, putPolicy, withdraw, type Endpoint, type Network } from '../../agents/mesh/control/state.ts';
import { introduce, isGenuine } from '../../agents/mesh/introduction.ts';
import { KEYS, localEndpoint, partsOf, type Consent, type Membership } from '../../agents/mesh/rows.ts';
import { parsed } from '../../src/core/lightjson.ts';
import { gatewaySlots } from '../../agents/mesh/host/shares.ts';
import { GATEWAYS, HOSTS, MeshInMemory } from '../support/mesh.ts';

const endpoint = (name: string, address: string, host: string): Endpoint => ({
  name,
  addresses: [address],
  mac: `02:00:00:00:${address.split('.')[1]?.padStart(2, '0')}:${address.split('.')[3]?.padStart(2, '0')}`,
  host,
  before: null,
});
const network = (name: string, number: number, endpoints: readonly Endpoint[]): Network => ({
  name,
  vnid: 5000 + number,
  prefixes: [`10.${number}.0.0/16`],
  policies: {},
  peerings: {},
  learned: {},
  balancers: {},
  version: 0,
  endpoints: new Map(endpoints.map((e) => [e.name, e])),
});
const B = network('B', 2, [endpoint('b1', '10.2.0.1', 'h1'), endpoint('b2', '10.2.1.1', 'h2')]);
const consent: Consent = { vnid: 5001, controller: { name: 'c1', address: '192.0.2.9' } };
const around = (peers: readonly string[]): Surroundings => ({
  controller: { name: 'c2', address: '192.0.2.10' },
  owners: new Map([...peers.map((p) => [p, 'c1'] as const), ['B', 'c2']]),
  hosts: new Map(HOSTS.map((h, i) => [h, `192.0.2.${i + 1}`])),
  consents: new Map(peers.map((p) => [p, consent])),
  offers: new Map(),
  standings: new Map(),
  gateways: [],
});
const setsIn = (rows: ReadonlyMap<string, string>): Set<string> =>
  new Set([...rows.keys()].filter((k) => k.startsWith('/sets/')).map((k) => partsOf(k)[2]!));

test('R2-21 a hundred peers with three policies: three sets, and the own one', () => {
  const peers = Array.from({ length: 100 }, (_, i) => `P${i}`);
  const policies: readonly Policy[] = [{ families: ['ipv6'] }, { prefixes: ['10.2.0.0/24'] }, { private: true }];
  // Under a name of its own each, so that only what they say makes them one.
  const owner = peers.reduce(
    (n, peer, i) => agree(putPolicy(n, `p${i}`, policies[i % 3]!), peer, { export: `p${i}`, access: 'all', preference: 0, via: 'direct' }),
    B,
  );
  assert.equal(setsIn(rowsOf(owner, around(peers))).size, 4);
  // Nobody's policy is published.
  assert.equal(setsIn(rowsOf(owner, around([]))).size, 1);
});

test('R2-19 a set has the addresses that its policy lets through, and no others', () => {
  const anyPolicy = fc.record(
    {
      families: fc.constantFrom<('ipv4' | 'ipv6')[]>(['ipv4'], ['ipv6'], ['ipv4', 'ipv6']),
      prefixes: fc.constantFrom(['10.2.0.0/24'], ['10.2.1.0/24', '10.2.0.1'], ['fd00::/8'], ['0.0.0.0/0']),
      private: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  const addresses = ['10.2.0.1', '10.2.1.1', '198.51.100.1', 'fd00::1', '2001:db8::1'];
  const wide = { ...B, endpoints: new Map(addresses.map((a, i) => [`e${i}`, { ...endpoint(`e${i}`, '10.2.0.9', 'h1'), addresses: [a] }])) };
  fc.assert(
    fc.property(anyPolicy, (policy) => {
      const rows = rowsOf(
        agree(putPolicy(wide, 'p', policy), 'A', { export: 'p', access: 'all', preference: 0, via: 'direct' }),
        around(['A']),
      );
      for (const address of addresses)
        assert.equal(
          rows.has(KEYS.destination('B', setOf(policy), address)),
          exports(policy, address),
          `${JSON.stringify(policy)} ${address}`,
        );
    }),
  );
  assert.equal(exports({ private: true }, '172.32.0.1'), false);
  assert.equal(setOf({ families: ['ipv6', 'ipv4'] }), setOf({}));
});

test('R2-5 what a controller tells its own hosts of a peer has no row of the peer', () => {
  const rows = rowsOf(agree(B, 'A', { export: ALL, access: 'all', preference: 0, via: 'direct' }), around(['A']));
  assert.deepEqual(JSON.parse(rows.get(KEYS.peering('B', 'A'))!), { ...consent, via: 'direct' });
  assert.deepEqual([...rows.keys()].filter((k) => partsOf(k).includes('A')).sort(), ['/consents/c1/A/B', '/peerings/B/A']);
});

test('R2-7 an endpoint that has moved: its host before sends on what is still under way', () => {
  const rows = rowsOf(moveEndpoint(B, 'b1', 'h3'), around([]));
  const at = (host: string) => parsed(localEndpoint, rows.get(KEYS.endpoint(host, 'B', 'b1'))!);
  assert.deepEqual([at('h1').via, at('h3').via], ['192.0.2.3', null]);
  const back = rowsOf(moveEndpoint(moveEndpoint(B, 'b1', 'h3'), 'b1', 'h1'), around([]));
  assert.equal(parsed(localEndpoint, back.get(KEYS.endpoint('h1', 'B', 'b1'))!).via, null);
});

test('a host is let in by the word of its own controller only', () => {
  const [own, other] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const claim = { host: 'h1', network: 'A', controller: 'c1', untilMs: 1000 };
  const good = introduce(claim, own.privateKey);
  const networks = new Map([['B', agree(B, 'A', { export: ALL, access: 'replies', preference: 0, via: 'direct' })]]);
  const judge = (introduction: Partial<Introduction>, nowMs = 500, peers: readonly string[] = ['A']) =>
    admissionOf(
      { host: 'h1', network: 'A', peer: 'B', claim: good, ...introduction },
      { networks, around: () => around(peers), owners: around(['A']).owners, isGenuine: (c) => isGenuine(c, own.publicKey), nowMs },
    );
  assert.deepEqual(judge({}), { set: setOf({}), access: 'replies', untilMs: 1000 });
  const forged: readonly (Membership | 'malformed')[] = [
    introduce(claim, other.privateKey),
    { ...good, untilMs: 5000 },
    { ...good, network: 'D' },
    { ...good, signature: '' },
    'malformed',
  ];
  for (const bad of forged) assert.deepEqual(judge({ claim: bad }), { refused: 'forged' });
  // Replayed by another host, or for another network.
  assert.deepEqual(judge({ host: 'h2' }), { refused: 'forged' });
  assert.deepEqual(judge({ network: 'D' }), { refused: 'forged' });
  assert.deepEqual(judge({}, 1000), { refused: 'expired' });
  assert.deepEqual(judge({}, 500, []), { refused: 'not agreed' });
  assert.deepEqual(judge({ peer: 'C' }), { refused: 'not agreed' });
});

const NAMES = ['A', 'B', 'C'];
const OWNERS = { A: 'c1', B: 'c2', C: 'c2' };
const POLICIES: readonly Policy[] = [{}, { prefixes: ['10.1.0.1', '10.2.0.1', '10.3.0.1'] }, { families: ['ipv6'] }];
const start = NAMES.map((name, i) =>
  network(
    name,
    i + 1,
    [1, 2].map((n) => endpoint(`${name}${n}`, `10.${i + 1}.0.${n}`, HOSTS[(i + n) % 3]!)),
  ),
);
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('agree' as const),
    network: fc.constantFrom(...NAMES),
    peer: fc.constantFrom(...NAMES),
    policy: fc.nat(2),
    access: fc.constantFrom<'all' | 'replies'>('all', 'replies'),
    via: fc.constantFrom<'direct' | 'gateways'>('direct', 'gateways'),
  }),
  fc.record({ kind: fc.constant('withdraw' as const), network: fc.constantFrom(...NAMES), peer: fc.constantFrom(...NAMES) }),
  fc.record({
    kind: fc.constant('move' as const),
    network: fc.constantFrom(...NAMES),
    endpoint: fc.integer({ min: 1, max: 2 }),
    host: fc.constantFrom(...HOSTS),
  }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const changed = (n: Network, o: Operation): Network => {
  switch (o.kind) {
    case 'agree':
      return agree(putPolicy(n, `p${o.policy}`, POLICIES[o.policy]!), o.peer, {
        export: `p${o.policy}`,
        access: o.access,
        preference: 0,
        via: o.via,
      });
    case 'withdraw':
      return withdraw(n, o.peer);
    case 'move':
      return moveEndpoint(n, `${o.network}${o.endpoint}`, o.host);
  }
};
const isPossible = (n: Network, o: Operation): boolean =>
  o.kind === 'agree' ? o.peer !== o.network : o.kind === 'withdraw' ? Object.hasOwn(n.peerings, o.peer) : true;

/** May an endpoint of a network begin a connection to an address of another one? */
function mayBegin(from: Network, to: Network, address: string): boolean {
  if (from === to) return true;
  const own = to.peerings[from.name];
  return Object.hasOwn(from.peerings, to.name) && own?.access === 'all' && exports(to.policies[own.export]!, address);
}

test('who reaches whom is what owners have agreed on, whatever they did before', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 10 }), async (operations) => {
      const mesh = await MeshInMemory.open(start, OWNERS);
      try {
        for (const name of NAMES) await mesh.tell(name, { [KEYS.gateway('g1')]: true });
        for (const o of operations) {
          const controller = mesh.controllerOf(o.network);
          if (isPossible(controller.network(o.network), o)) await controller.change(o.network, (n) => changed(n, o));
          // Some addresses are followed while things change.
          const from = controller.network(o.network);
          await mesh.send(from, `${o.network}1`, from.endpoints.get(`${o.network}1`)!.addresses[0]!, '10.2.0.1');
        }
        await mesh.settle();
        const networks = NAMES.map((name) => mesh.controllerOf(name).network(name));
        for (const from of networks)
          for (const sender of from.endpoints.values())
            for (const to of networks)
              for (const { name, addresses } of to.endpoints.values()) {
                if (name === sender.name) continue;
                mesh.forgetConnections();
                const came = await mesh.send(from, sender.name, sender.addresses[0]!, addresses[0]!);
                assert.equal(came, mayBegin(from, to, addresses[0]!) ? name : null, `${sender.name} to ${name}`);
              }
        // Nobody asked for what it may not see.
        assert.deepEqual(
          [...mesh.etcds.values()].flatMap((e) => e.denied),
          [],
        );
      } finally {
        mesh.stop();
      }
    }),
    { numRuns: 150 },
  );
});

test('R2-8 what a network may only answer is answered, and nothing else', async () => {
  const mesh = await MeshInMemory.open(start, OWNERS);
  const [a, b] = [mesh.controllerOf('A'), mesh.controllerOf('B')];
  await a.change('A', (n) => agree(n, 'B', { export: ALL, access: 'replies', preference: 0, via: 'direct' }));
  await b.change('B', (n) => agree(n, 'A', { export: ALL, access: 'all', preference: 0, via: 'direct' }));
  await mesh.settle();
  const [A, own] = [a.network('A'), b.network('B')];
  assert.equal(await mesh.send(own, 'B1', '10.2.0.1', '10.1.0.1'), null);
  assert.equal(await mesh.send(A, 'A1', '10.1.0.1', '10.2.0.1'), 'B1');
  assert.equal(await mesh.send(own, 'B1', '10.2.0.1', '10.1.0.1'), 'A1');
  assert.equal(await mesh.send(own, 'B2', '10.2.0.2', '10.1.0.1'), null);
  mesh.stop();
});

const openly = { export: ALL, access: 'all', preference: 0, via: 'direct' } as const;
const byGateways = { ...openly, via: 'gateways' } as const;

/** A balancer of B with two backends, and A that reaches it. */
async function balancedMesh(overflow: string | null = null) {
  const balancer = { address: '10.2.0.100', port: 80, capacitiesBps: { B1: 10e6, B2: 10e6 }, overflow, standsInFor: [] };
  const beyond = { address: '10.3.0.100', port: 80, capacitiesBps: { C1: 10e6 }, overflow: null, standsInFor: ['10.2.0.100'] };
  const networks = start.map((n) =>
    n.name === 'B' ? { ...n, balancers: { b: balancer } } : n.name === 'C' ? { ...n, balancers: { c: beyond } } : n,
  );
  const mesh = await MeshInMemory.open(networks, OWNERS);
  for (const [one, other] of [
    ['A', 'B'],
    ['B', 'A'],
    ['A', 'C'],
    ['C', 'A'],
  ] as const)
    await mesh.controllerOf(one).change(one, (n) => agree(n, other, openly));
  await mesh.settle();
  /** What the host of a backend says of it. */
  const say = (name: string, loadBps: number, isAlive = true): Promise<void> => {
    const { host } = networks.flatMap((n) => [...n.endpoints.values()]).find((e) => e.name === name)!;
    return mesh.tell(name[0]!, {
      [KEYS.load(host, name[0]!, name, name.startsWith('B') ? '10.2.0.100' : '10.3.0.100')]: { isAlive, loadBps },
    });
  };
  const [A] = networks;
  /** Backends of new connections. */
  const to = async (ports: readonly number[], opens = false): Promise<(string | null)[]> => {
    const came: (string | null)[] = [];
    for (const port of ports) came.push(await mesh.send(A!, 'A1', '10.1.0.1', '10.2.0.100', port, opens));
    return came;
  };
  return { mesh, say, to };
}
const some = (first: number): number[] => Array.from({ length: 200 }, (_, i) => first + i);
const only = (names: readonly (string | null)[], ...wanted: (string | null)[]): void =>
  assert.deepEqual([...new Set(names)].sort(), wanted);

test('R2-26 new connections go to backends that live and have capacity; each stays where it is until its backend dies', async () => {
  const { mesh, say, to } = await balancedMesh();
  // Nobody has said that any of them lives.
  only(await to([1]), null);
  await say('B1', 0);
  await say('B2', 0);
  const first = await to(some(1000));
  only(first, 'B1', 'B2');
  await say('B1', 9.5e6);
  only(await to(some(2000)), 'B2');
  assert.deepEqual(await to(some(1000)), first, 'connections stay with one that is full');
  only(await to(some(2500), true), 'B2');
  only(await to(some(1000), true), 'B2');
  await say('B1', 8e6);
  only(await to(some(3000)), 'B2');
  await say('B1', 5e6);
  const half = await to(some(4000));
  only(half, 'B1', 'B2');
  assert.ok(half.filter((b) => b === 'B1').length < half.filter((b) => b === 'B2').length, 'more to the one that has more to spare');
  await say('B2', 0, false);
  only(await to(some(4000)), 'B1');
  mesh.stop();
});

test('R2-26 whoever does not carry a backend has no say in whether it lives', async () => {
  const { mesh, say, to } = await balancedMesh();
  await say('B1', 0);
  await mesh.tell('B', {
    [KEYS.load('h2', 'B', 'B1', '10.2.0.100')]: { isAlive: false, loadBps: 0 },
    [KEYS.load('h1', 'B', 'B1', '10.2.0.100')]: { isAlive: false, loadBps: 0 },
  });
  only(await to(some(1000)), 'B1');
  mesh.stop();
});

test('R2-25 what backends have no capacity for goes to the balancer of a peer, and comes back', async () => {
  const { mesh, say, to } = await balancedMesh('10.3.0.100');
  await say('B1', 0);
  await say('C1', 0);
  only(await to(some(1000)), 'B1');
  await say('B1', 10e6);
  only(await to(some(2000)), 'C1');
  only(await to(some(1000)), 'B1');
  await say('B1', 1e6);
  only(await to(some(3000)), 'B1');
  only(await to(some(2000)), 'C1');
  await say('B1', 0, false);
  only(await to(some(3000)), 'C1');
  mesh.stop();
});

test('R2-24 by gateways: a host asks nobody, any gateway forwards, and the pool is shared out again when one is lost', async () => {
  const mesh = await MeshInMemory.open(start, OWNERS);
  const [a, b] = [mesh.controllerOf('A'), mesh.controllerOf('B')];
  for (const gateway of GATEWAYS) for (const name of ['A', 'B']) await mesh.tell(name, { [KEYS.gateway(gateway)]: true });
  await a.change('A', (n) => agree(n, 'B', byGateways));
  await b.change('B', (n) => agree(n, 'A', openly));
  await mesh.settle();
  const A = a.network('A');
  const by = async (port: number): Promise<string> => {
    mesh.visited.length = 0;
    assert.equal(await mesh.send(A, 'A1', '10.1.0.1', '10.2.0.1', port), 'B1');
    return mesh.visited[0]!;
  };
  const ways = async (): Promise<string[]> => {
    const found: string[] = [];
    for (let port = 0; port < 128; port++) found.push(await by(port));
    return found;
  };
  const before = await ways();
  assert.equal(before.filter((g) => g === 'g1').length, 64);
  assert.equal(before.filter((g) => g === 'g2').length, 64);
  // Its own network it reaches itself, and of B it has nothing.
  assert.equal(await mesh.send(A, 'A1', '10.1.0.1', '10.1.0.2'), 'A2');
  const { host } = A.endpoints.get('A1')!;
  assert.deepEqual(mesh.hosts.get(host)!.ohc.network(A.vnid)!.peers, []);
  await mesh.tell('A', {}, [KEYS.gateway('g1')]);
  assert.deepEqual(new Set(await ways()), new Set(['g2']));
  await mesh.tell('A', { [KEYS.gateway('g1')]: true });
  assert.deepEqual(await ways(), before);
  // Nobody is there: nothing passes, and it is as before when somebody is.
  await mesh.tell('A', {}, GATEWAYS.map(KEYS.gateway));
  assert.equal(await mesh.send(A, 'A1', '10.1.0.1', '10.2.0.1'), null);
  await mesh.tell('A', { [KEYS.gateway('g2')]: true });
  assert.deepEqual(new Set(await ways()), new Set(['g2']));
  await a.change('A', (n) => agree(n, 'B', openly));
  await mesh.settle();
  mesh.visited.length = 0;
  assert.equal(await mesh.send(A, 'A1', '10.1.0.1', '10.2.0.1'), 'B1');
  assert.ok(!mesh.visited.some((at) => GATEWAYS.includes(at)), 'directly');
  mesh.stop();
});

test('R2-24 of a pool of any size each gateway has its share, and only connections of one that is lost go elsewhere', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.array(fc.nat(15), { maxLength: 15 }), (size, gone) => {
      const members = Array.from({ length: size }, (_, i) => ({ name: `g${i}`, address: `192.0.2.${i}`, isThere: true }));
      const all = gatewaySlots(members);
      const counts = [...Map.groupBy(all, (g) => g).values()].map((own) => own.length);
      assert.ok(counts.length === size && Math.max(...counts) - Math.min(...counts) <= 1);
      const lost = new Set(gone.map((i) => `192.0.2.${i}`));
      const left = gatewaySlots(members.map((m) => ({ ...m, isThere: !lost.has(m.address) })));
      if (left.length === 0) assert.ok(members.every((m) => lost.has(m.address)));
      else
        for (const [i, own] of all.entries())
          if (lost.has(own)) assert.ok(!lost.has(left[i]!));
          else assert.equal(left[i], own);
    }),
  );
});

test('an endpoint sends as itself only', async () => {
  const mesh = await MeshInMemory.open(start, OWNERS);
  assert.equal(await mesh.send(start[0]!, 'A1', '10.1.0.2', '10.1.0.1'), null);
  mesh.stop();
});

test('R2-5, R2-20 what was programmed goes with the agreement, and with what the policy lets through', async () => {
  const mesh = await MeshInMemory.open(start, OWNERS);
  const [a, b] = [mesh.controllerOf('A'), mesh.controllerOf('B')];
  const reaches = (to: string): Promise<string | null> => mesh.send(a.network('A'), 'A1', '10.1.0.1', to);
  await a.change('A', (n) => agree(n, 'B', { export: ALL, access: 'all', preference: 0, via: 'direct' }));
  await b.change('B', (n) => agree(n, 'A', { export: ALL, access: 'all', preference: 0, via: 'direct' }));
  await mesh.settle();
  assert.deepEqual([await reaches('10.2.0.1'), await reaches('10.2.0.2')], ['B1', 'B2']);
  await b.change('B', (n) =>
    agree(putPolicy(n, 'p', { prefixes: ['10.2.0.2'] }), 'A', { export: 'p', access: 'all', preference: 0, via: 'direct' }),
  );
  await mesh.settle();
  assert.deepEqual([await reaches('10.2.0.1'), await reaches('10.2.0.2')], [null, 'B2']);
  await a.change('A', (n) => withdraw(n, 'B'));
  await mesh.settle();
  assert.deepEqual([await reaches('10.2.0.1'), await reaches('10.2.0.2')], [null, null]);
  mesh.stop();
});

test('R2-16, R2-17 of routes to one prefix the same wins in any order: local, preferred, lower identifier', () => {
  const own = { ...network('A', 1, []), peerings: { C: { export: ALL, access: 'all' as const, preference: 10, via: 'direct' as const } } };
  const offer = (name: string, vnid: number, ...prefixes: string[]): Offer => ({ network: name, vnid, prefixes });
  const offers = [
    offer('B', 5002, '192.168.1.0/24', '192.168.2.0/24', '192.168.4.0/24'),
    offer('C', 5003, '192.168.2.0/24', '192.168.3.0/24'),
    offer('D', 5004, '192.168.1.0/24', '192.168.3.0/24'),
  ];
  const local = { ...own, learned: { r1: ['192.168.3.0/24'] } };
  const wanted = {
    '192.168.1.0/24': { network: 'B', rule: 'identifier' },
    '192.168.2.0/24': { network: 'C', rule: 'preference' },
    '192.168.3.0/24': { network: 'A', rule: 'local' },
    '192.168.4.0/24': { network: 'B', rule: 'only' },
  };
  fc.assert(
    fc.property(fc.shuffledSubarray(offers, { minLength: 3 }), (some) =>
      assert.deepEqual(Object.fromEntries(winnersOf(local, some)), wanted),
    ),
  );
  assert.deepEqual(winnersOf(own, offers).get('192.168.3.0/24'), { network: 'C', rule: 'preference' });
  // Nobody draws away what is sent to the own endpoints, nor says what is no prefix.
  assert.deepEqual([...winnersOf(own, [offer('B', 5002, '10.1.0.1/32', '10.1.0.0/16', 'junk', '10.0.0.0/8')]).keys()], ['10.0.0.0/8']);
});

test('R2-19 a route passes a filter only whole', () => {
  assert.equal(exportsRoute({ prefixes: ['192.168.0.0/16'] }, '192.168.1.0/24'), true);
  assert.equal(exportsRoute({ prefixes: ['192.168.1.0/25'] }, '192.168.1.0/24'), false);
  assert.equal(exportsRoute({ private: true }, '10.0.0.0/7'), false);
  assert.equal(exportsRoute({ families: ['ipv6'] }, '10.0.0.0/8'), false);
});

test('what a controller said that is not heard any more is let go, and asked for again', async () => {
  const mesh = await MeshInMemory.open(start, OWNERS);
  const A = mesh.controllerOf('A').network('A');
  const { host } = A.endpoints.get('A1')!;
  const reaches = (): Promise<string | null> => mesh.send(A, 'A1', '10.1.0.1', '10.1.0.2');
  assert.equal(await reaches(), 'A2');
  const { ohc, table } = mesh.hosts.get(host)!;
  for (const followed of ohc.networks) followed.loseController('c1');
  const way = (): unknown => [...table.items.values()].find((i) => i.kind === 'destination' && i.address === '10.1.0.2');
  assert.deepEqual(way(), { ...(way() as object), to: null });
  await mesh.settle();
  assert.equal(await reaches(), 'A2');
  mesh.stop();
});
