import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import { decide } from '../../agents/hub/decision/decide.ts';
import { deliveringAin } from '../../agents/hub/decision/path.ts';
import { judge, viewsOf } from '../../agents/hub/decision/view.ts';
import { type Flow } from '../../agents/hub/decision/wire.ts';
import {
  approve,
  approveAttachment,
  attach,
  detach,
  propose,
  rejectAttachment,
  shareHub,
  supply,
} from '../../agents/hub/control/attachments.ts';
import { automate, createDomain, learn, modify, setGroup, weigh } from '../../agents/hub/control/configuration.ts';
import { versioned } from '../../agents/hub/control/edit.ts';
import { conflictsOf, overlapsAmong, resolve } from '../../agents/hub/control/overlap.ts';
import { transactionOf } from '../../agents/hub/control/store.ts';
import { ainOfBranch, branchMac, EMPTY, type Ain, type Metadata, type Network } from '../../agents/hub/model.ts';
import { cellsOf, shardsOf } from '../../agents/hub/cells.ts';
import type { HubFile, Site } from '../../agents/hub/config.ts';
import { keepOff, siteRules } from '../../agents/hub/nodes/filter.ts';
import { filterText } from '../../agents/lib/filter.ts';
import { gatewayBird, routerBird } from '../../agents/hub/nodes/site.ts';
import { tunnelConfig, tunnelKeys } from '../../agents/lib/wireguard.ts';
import { shuffleShards } from '../../agents/hub/shards.ts';
import { contains, formatPrefix, network, overlap, prefixOf } from '../../agents/lib/prefix.ts';
import { address, ains, AINS, B, C, changed, code, join, main, named, S, sees, start } from '../support/hub.ts';

test('R1-29, R1-30 the two networks of FIG. 27 and their server: who sees whom as what', () => {
  const m = changed(start, main, join('S'), join('B'), join('C', [{ real: '192.168.1.0/24', as: '12.7.1.0/24' }]), (x) =>
    supply(x, { network: 'B', mappings: [{ real: '192.168.1.0/24', as: '12.8.1.0/24', viewers: ['C'] }] }, 6),
  );
  assert.deepEqual(
    m.attachments.map((a) => a.state),
    ['attached', 'attached', 'attached'],
  );
  assert.equal(sees(m, B, '192.168.1.1', '172.16.5.5'), 'S 192.168.1.1 172.16.5.5');
  assert.equal(sees(m, C, '192.168.1.1', '172.16.5.5'), 'S 12.7.1.1 172.16.5.5');
  assert.equal(sees(m, S, '172.16.5.5', '12.7.1.1'), 'C 172.16.5.5 192.168.1.1');
  assert.equal(sees(m, S, '172.16.5.5', '192.168.1.1'), 'B 172.16.5.5 192.168.1.1');
  assert.equal(sees(m, B, '192.168.1.1', '12.7.1.2'), 'C 12.8.1.1 192.168.1.2');
  assert.equal(sees(m, C, '192.168.1.2', '12.8.1.1'), 'B 12.7.1.2 192.168.1.1');
  assert.equal(sees(m, B, '192.168.1.1', '192.168.1.2'), 'no-route');
  assert.equal(sees(m, B, '10.0.0.1', '172.16.5.5'), 'denied');
});

test('R1-32 what overlaps is attached when, and only when, mappings leave no address ambiguous', () => {
  const pending = changed(start, main, join('S'), join('B'), join('C'));
  assert.deepEqual(
    pending.attachments.map((a) => a.state),
    ['attached', 'attached', 'pending'],
  );
  assert.equal(sees(pending, C, '192.168.1.1', '172.16.5.5'), 'not attached');
  const proposed = versioned(propose(pending, { network: 'C', pool: ['12.9.0.0/16'] }, 7));
  assert.equal(sees(proposed, C, '192.168.1.1', '172.16.5.5'), 'not attached');
  const approved = versioned(approve(proposed, { network: 'C' }, 8));
  assert.equal(sees(approved, C, '192.168.1.1', '172.16.5.5'), 'S 12.9.0.1 172.16.5.5');
});

test('R1-33 mappings that cannot be used are refused: not its own, of another size, in use, of somebody else', () => {
  const m = changed(start, main, join('S'), join('B'), join('C'));
  const with_ = (real: string, as: string) => code(() => supply(m, { network: 'C', mappings: [{ real, as }] }, 1));
  assert.equal(with_('10.0.0.0/24', '12.7.1.0/24'), 'InvalidMapping');
  assert.equal(with_('192.168.1.0/24', '12.7.0.0/16'), 'InvalidMapping');
  assert.equal(with_('192.168.1.0/24', '172.16.5.0/24'), 'InvalidMapping');
  assert.equal(with_('192.168.1.0/24', '12.7.1.9/24'), 'InvalidRequest');
  assert.equal(
    code(() => attach(m, { network: 'X' }, 1)),
    'UnknownNetwork',
  );
  assert.equal(
    code(() => attach(m, { network: 'B' }, 1)),
    'AlreadyExists',
  );
  assert.equal(
    code(() => detach(changed(start, main), { network: 'B' })),
    'NotAttached',
  );
});

test('R1-34 a range that comes later is resolved where the hub may, and refused where it may not', () => {
  const m = changed(start, main, join('S'), join('B'));
  const add = (x: Metadata) => modify(x, { addPrefixes: [{ network: 'S', prefix: '192.168.1.128/25' }] }, 9);
  assert.equal(
    code(() => add(m)),
    'AddressOverlapDetected',
  );
  const automatic = versioned(automate(m, { pool: ['12.10.0.0/16'] }));
  const { metadata, answer } = add(automatic);
  assert.deepEqual(conflictsOf(metadata), []);
  assert.equal(answer.mappings.length, 2);
  assert.equal(sees(versioned(add(automatic)), B, '192.168.1.200', '172.16.5.5').split(' ')[0], 'S');
});

test('what waits is attached as soon as what it waits for goes', () => {
  const m = changed(start, main, join('S'), join('B'), join('C'), (x) => detach(x, { network: 'B' }));
  assert.deepEqual(
    m.attachments.map((a) => [a.network, a.state]),
    [
      ['S', 'attached'],
      ['C', 'attached'],
    ],
  );
});

test('a stand-in that becomes a real range is refused, and a search for mappings ends', () => {
  const m = changed(start, main, (x) => automate(x, { pool: ['12.0.0.0/8'] }), join('S'), join('B'), join('C'));
  const [mapping] = m.mappings;
  assert.equal(
    code(() => modify(m, { addPrefixes: [{ network: 'S', prefix: mapping!.as }] }, 1)),
    'AddressOverlapDetected',
  );
  const clashing: Metadata = {
    ...m,
    networks: m.networks.map((n) => (n.name === 'S' ? { ...n, prefixes: [...n.prefixes, mapping!.as] } : n)),
  };
  assert.throws(() => resolve(clashing, [prefixOf('12.0.0.0/8')], 1, true), RangeError);
});

test('R1-8 a route leads to no network that is not attached, and never to what a network has itself', () => {
  const route = (x: Metadata) => modify(x, { addRoutes: [{ prefix: '198.51.100.0/24', to: 'B' }, { prefix: '172.16.5.0/24' }] }, 1);
  const m = changed(start, main, join('S'), join('B'), route);
  assert.equal(sees(m, S, '172.16.5.5', '198.51.100.1').split(' ')[0], 'B');
  assert.equal(viewsOf(m).byName.get('S')!.ways.find(address('172.16.5.9')), undefined);
  assert.equal(
    sees(
      changed(m, (x) => detach(x, { network: 'B' })),
      S,
      '172.16.5.5',
      '198.51.100.1',
    ),
    'no-route',
  );
});

test('R1-31 overlaps are found to one address, and no others', () => {
  const one = named('one', 4, ['10.0.0.0/30', '10.1.0.7/32']);
  const two = named('two', 5, ['10.0.0.3/32', '10.1.0.8/32']);
  assert.deepEqual(overlapsAmong([one, two]), [{ networks: ['one', 'two'], range: '10.0.0.3/32' }]);
  // Prefixes of a small space, against every address of it.
  const small = fc
    .tuple(fc.nat(255), fc.integer({ min: 24, max: 32 }))
    .map(([low, length]) => formatPrefix(network(address(`10.0.0.${low}`), length)));
  fc.assert(
    fc.property(fc.array(small, { minLength: 1, maxLength: 4 }), fc.array(small, { minLength: 1, maxLength: 4 }), (p, q) => {
      const found = overlapsAmong([named('p', 1, p), named('q', 2, q)]).map((o) => prefixOf(o.range));
      for (let low = 0; low < 256; low++) {
        const a = address(`10.0.0.${low}`);
        const isIn = (list: readonly string[]) => list.some((x) => contains(prefixOf(x), a));
        assert.equal(
          found.some((f) => contains(f, a)),
          isIn(p) && isIn(q),
        );
      }
    }),
    { numRuns: 50 },
  );
});

test('whatever networks are attached: what two reach each other by leads back, and no address is ambiguous', () => {
  const space = fc.constantFrom('10.1.0.0/24', '10.1.0.0/25', '10.1.0.128/25', '10.2.0.0/24', '10.1.0.7/32');
  const many = fc.array(fc.uniqueArray(space, { minLength: 1, maxLength: 2 }), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(many, (sets) => {
      const networks = sets
        .map((prefixes, i) => named(`n${i}`, i + 1, prefixes))
        // A network does not overlap itself.
        .filter((n) => n.prefixes.length === 1 || !overlap(prefixOf(n.prefixes[0]!), prefixOf(n.prefixes[1]!)));
      const m = changed({ ...EMPTY, networks }, main, (x) => automate(x, { pool: ['12.0.0.0/8'] }), ...networks.map((n) => join(n.name)));
      assert.deepEqual(
        m.attachments.map((a) => a.state),
        networks.map(() => 'attached'),
      );
      const views = viewsOf(m);
      for (const view of views.byName.values()) {
        const ways = [...view.ways];
        ways.forEach(({ prefix }, i) => {
          for (const own of view.own) assert.equal(overlap(own, prefix), undefined);
          for (const { prefix: other } of ways.slice(i + 1)) assert.equal(overlap(other, prefix), undefined);
        });
        for (const { prefix } of ways) {
          const source = view.own[0]!;
          const there = judge(views, view, source, prefix);
          assert.ok(there.kind === 'send');
          // The answer's addresses are the packet's, turned round: they lead to where it came from, as it was.
          const back = judge(views, views.byName.get(there.to.name)!, there.destination ?? prefix, there.source ?? source);
          assert.ok(back.kind === 'send' && back.to.name === view.network.name);
          assert.equal((back.destination ?? there.source ?? source).value, source.value);
          assert.equal((back.source ?? there.destination ?? prefix).value, prefix.value);
        }
      }
    }),
    { numRuns: 100 },
  );
});

const flow = (network: number, source: string, destination: string): Flow => ({
  network,
  family: 4,
  protocol: 17,
  isFragment: false,
  sourcePort: 1000,
  destinationPort: 2000,
  source: address(source),
  destination: address(destination),
});

test('R1-9 the AIN itself, then one of its availability container, then one elsewhere', () => {
  const [a1, , a3] = AINS as [Ain, Ain, Ain];
  assert.equal(deliveringAin(a1, S, ains, 7), a1);
  assert.equal(deliveringAin(a1, named('t', 9, [], ['a2', 'a3']), ains, 7)?.name, 'a2');
  assert.equal(deliveringAin(a1, C, ains, 7), a3);
  assert.equal(deliveringAin(a1, named('t', 9, [], []), ains, 7), undefined);
  // R1-21: what cannot be reached delivers nothing.
  assert.equal(deliveringAin(a1, named('t', 9, [], ['a2', 'a3']), ains, 7, new Set(['a2']))?.name, 'a3');
  assert.equal(deliveringAin(a1, C, ains, 7, new Set(['a3'])), undefined);
});

test('an action delivers from the own branch, hands over to the branch of another AIN, or drops with its reason', () => {
  const views = viewsOf(changed(start, main, join('S'), join('B'), join('C', [{ real: '192.168.1.0/24', as: '12.7.1.0/24' }])));
  const [a1] = AINS as [Ain];
  const output = ({ ops }: ReturnType<typeof decide>) => ops.find((o) => o.op === 'output');
  assert.deepEqual(output(decide(views, ains, a1, flow(2, '192.168.1.1', '172.16.5.5'))), {
    op: 'output',
    to: S.gateway,
    from: branchMac(1, 1),
    network: 1,
  });
  assert.equal(decide(views, ains, a1, flow(3, '192.168.1.1', '172.16.5.5')).ops[0]?.op, 'drop');
  assert.deepEqual(decide(views, ains, a1, flow(2, '192.168.1.1', '8.8.8.8')).ops[0], { op: 'drop', reason: 'no-route' });
  assert.deepEqual(decide(views, ains, a1, flow(99, '192.168.1.1', '8.8.8.8')).ops, [
    { op: 'drop', reason: 'no-route' },
    { op: 'valid', domain: 0, generation: views.version },
  ]);
});

test('R1-47 a group: a copy for each member but the sender, with addresses as its network has them; not beyond the domain', () => {
  const group =
    (members: { network: string; address: string }[], at = '100.126.0.1') =>
    (m: Metadata) =>
      setGroup(m, { address: at, domain: 'main', members });
  const all = [
    { network: 'B', address: '192.168.1.7' },
    { network: 'C', address: '192.168.1.7' },
    { network: 'S', address: '172.16.5.5' },
    { network: 'S', address: '172.16.5.6' },
  ];
  const joined = changed(start, main, join('S'), join('B'), join('C', [{ real: '192.168.1.0/24', as: '12.7.1.0/24' }]), (x) =>
    supply(x, { network: 'B', mappings: [{ real: '192.168.1.0/24', as: '12.8.1.0/24', viewers: ['C'] }] }, 6),
  );
  const m = changed(joined, group(all));
  assert.equal(sees(m, S, '172.16.5.5', '100.126.0.1'), 'B 172.16.5.5 192.168.1.7, C 172.16.5.5 192.168.1.7, S 172.16.5.5 172.16.5.6');
  assert.equal(sees(m, B, '192.168.1.1', '100.126.0.1').split(', ')[1], 'C 12.8.1.1 192.168.1.7');
  // The last copy is the packet itself, whose addresses are those of the copy before it.
  const view = viewsOf(m);
  const flow = { network: 1, family: 4, protocol: 17, isFragment: false, sourcePort: 1, destinationPort: 2 } as const;
  const { ops } = decide(view, ains, AINS[0]!, { ...flow, source: address('172.16.5.5'), destination: address('100.126.0.1') });
  assert.deepEqual(
    ops.map((o) => o.op),
    ['hop', 'replica', 'replica', 'source', 'destination', 'output', 'valid'],
  );
  // What is detached, or in another domain, gets nothing; who is outside reaches nobody.
  const parted = changed(m, (x) => detach(x, { network: 'B' }));
  assert.doesNotMatch(sees(parted, S, '172.16.5.5', '100.126.0.1'), /B/);
  const other = changed(
    joined,
    (x) => createDomain(x, { domain: 'other' }, ['main']),
    (x) => setGroup(x, { address: '100.126.0.2', domain: 'other', members: all }),
  );
  assert.equal(sees(other, S, '172.16.5.5', '100.126.0.2'), 'no-route');
  assert.equal(
    code(() => group([{ network: 'B', address: '10.0.0.1' }])(joined)),
    'InvalidRequest',
  );
  assert.equal(
    code(() => group(all, '172.16.5.9')(joined)),
    'InvalidRequest',
  );
  assert.equal(
    code(() => group([])(joined)),
    'UnknownGroup',
  );
  assert.equal(
    code(() => group(Array.from({ length: 33 }, () => all[0]!))(joined)),
    'NoCapacity',
  );
  assert.deepEqual(changed(m, group([])).groups, []);
});

test('R1-17 shards have K nodes, any two share at most L; where there are not so many, none', () => {
  const shards = shuffleShards(4, 6, 3, 1)!;
  assert.equal(shards.length, 4);
  for (const [i, a] of shards.entries()) {
    assert.equal(new Set(a).size, 3);
    for (const b of shards.slice(i + 1)) assert.ok(a.filter((x) => b.includes(x)).length <= 1);
  }
  assert.equal(shuffleShards(5, 6, 3, 1), undefined);
  assert.equal(shuffleShards(2, 4, 3, 1), undefined);
  assert.equal(shuffleShards(4, 4, 3, 2)?.length, 4);
  const zones = ['x', 'x', 'y', 'y'];
  for (const shard of shuffleShards(8, 4, 2, 2, zones)!) assert.equal(new Set(shard.map((x) => zones[x])).size, 2);
});

test('the store: a change is one transaction, which fails where the metadata was changed by somebody else', () => {
  const before = versioned(createDomain(start, { domain: 'main' }, ['main']));
  const after = versioned(attach(before, { network: 'S' }, 1));
  const operations = transactionOf(before, after);
  assert.deepEqual(operations[0], {
    op: 'wait',
    timeout: 0,
    table: 'hub',
    where: [],
    columns: ['version'],
    until: '==',
    rows: [{ version: before.version }],
  });
  assert.deepEqual(
    operations.slice(2).map((o) => `${o.op} ${(o as { table: string }).table}`),
    ['delete domains', 'insert domains', 'insert attachments'],
  );
});

test('R1-27 what a network’s router does not announce is not reached, nor under another address; a mapping stays', () => {
  const D: Network = { ...named('D', 4, ['192.168.1.0/24', '10.4.0.0/16'], ['a1']), kind: 'vpn', learned: [] };
  const m = changed({ ...start, networks: [S, D] }, main, join('S'), join('D', [{ real: '192.168.1.0/24', as: '12.9.1.0/24' }]));
  assert.equal(sees(m, S, '172.16.5.5', '12.9.1.1'), 'no-route');
  const up = changed(m, (x) => learn(x, { network: 'D', prefixes: ['192.168.1.0/24', '10.4.0.0/17'] }));
  assert.equal(sees(up, S, '172.16.5.5', '12.9.1.1'), 'D 172.16.5.5 192.168.1.1');
  // Half of a prefix is not the prefix, and what is not the network's own is nothing.
  assert.equal(sees(up, S, '172.16.5.5', '10.4.0.1'), 'no-route');
  assert.deepEqual(
    learn(up, { network: 'D', prefixes: ['0.0.0.0/0', '10.4.0.0/16'] }).metadata.networks.find((n) => n.name === 'D')?.learned,
    ['10.4.0.0/16'],
  );
  const down = changed(up, (x) => learn(x, { network: 'D', prefixes: [] }));
  assert.equal(sees(down, S, '172.16.5.5', '12.9.1.1'), 'no-route');
  assert.equal(down.mappings.length, 1);
});

test('R1-45 both ends of a tunnel: the other’s key, a network’s own sources only, and no route that is not its own', () => {
  const site: Site = {
    network: 'V',
    number: 3,
    isVpn: true,
    prefixes: ['192.168.1.0/24'],
    gateway: { name: 'gv', device: 'wan', address: '198.51.100.1' },
    router: { name: 'rv', device: 'wan', address: '198.51.100.11' },
    address: '192.168.1.253',
  };
  const keys = tunnelKeys('ab'.repeat(32), 'V gateway');
  assert.equal(keys.publicKey.length, 32);
  assert.notDeepEqual(tunnelKeys('ab'.repeat(32), 'V router').publicKey, keys.publicKey);
  const peer = { publicKey: keys.publicKey, endpoint: '198.51.100.1', allowed: ['192.168.1.0/24'] };
  assert.match(tunnelConfig({ keys, peer }), /Endpoint = 198\.51\.100\.1:51820\nAllowedIPs = 192\.168\.1\.0\/24/);
  assert.match(gatewayBird(site, '100.64.0.33', 75), /neighbor 169\.254\.77\.2 as 64515;[^]*import where net ~ \[ 192\.168\.1\.0\/24 \];/);
  assert.match(routerBird(site, '192.0.2.1', []), /protocol static own \{\n {2}ipv4;\n\}/);
  const filter = filterText([keepOff('hub', ['100.64.0.10', '100.64.0.11']), ...siteRules(site, 'router')]);
  assert.match(filter, /oifname "hub" ip daddr \{ 100\.64\.0\.10, 100\.64\.0\.11 \} drop/);
  assert.match(filter, /iifname "wan" udp dport 51820 accept\n\s+iifname "wan" drop/);
  assert.doesNotMatch(filterText(siteRules({ ...site, isVpn: false }, 'router')), /drop/);
  assert.match(routerBird({ ...site, isVpn: false }, '192.0.2.1', ['192.168.1.0/24']), /neighbor 198\.51\.100\.1 as 64512;/);
});

const CELLS: HubFile = {
  control: 'an',
  dmns: 'd{1..2}',
  ains: { a1: {}, a2: {}, b1: {}, b2: {} },
  cells: { A: { dmns: 'd1', ains: 'a{1..2}' }, B: { dmns: 'd2', ains: ['b1', 'b2'] } },
  networks: { one: { gateway: 'g1', prefixes: ['10.0.1.0/24'] }, two: { gateway: 'g2', prefixes: ['10.0.2.0/24'], shard: 'a2' } },
};

test('cells: a node is in one, and networks have branches in each', () => {
  const cells = cellsOf(CELLS);
  assert.deepEqual([cells.names, cells.of.get('d2'), cells.of.get('a2')], [['A', 'B'], 'B', 'A']);
  const all = ['a1', 'a2', 'b1', 'b2'].map((name, i): Ain => ({ name, number: i + 1, zone: 'z', cell: cells.of.get(name)!, mac: '' }));
  const shards = shardsOf(CELLS, cells.names, all, []);
  assert.deepEqual(
    [shards.get('one'), shards.get('two')],
    [
      ['a1', 'a2', 'b1', 'b2'],
      ['a2', 'b1', 'b2'],
    ],
  );
  const problemsOf = (file: Partial<HubFile>): string[] => {
    const problems: { message: string }[] = [];
    cellsOf({ ...CELLS, ...file }, problems as never);
    return problems.map((p) => p.message);
  };
  assert.deepEqual(problemsOf({ cells: { A: { dmns: 'd1', ains: 'a{1..2}' } } }), [
    '"b1" is in no cell',
    '"b2" is in no cell',
    '"d2" is in no cell',
  ]);
  assert.match(problemsOf({ cells: { ...CELLS.cells, C: { dmns: 'd2', ains: 'x' } } }).join(), /"x" is not in `ains`/);
  assert.equal(ainOfBranch(branchMac(213, 1000)), 213);
});

test('R1-20 weights: at least one cell serves a domain; a change of them renews no action', () => {
  const m = versioned(createDomain(start, { domain: 'main' }, ['A', 'B']));
  const both = weigh(m, { domain: 'main', weights: { B: 1 } }, ['A', 'B']);
  assert.deepEqual([both.answer.cells, both.concerns?.size], [['A', 'B'], 0]);
  const other = weigh(both.metadata, { weights: { A: 0 } }, ['A', 'B']);
  assert.deepEqual(other.metadata.domains[0]?.cells, ['B']);
  assert.equal(
    code(() => weigh(other.metadata, { weights: { B: 0 } }, ['A', 'B'])),
    'InvalidRequest',
  );
  assert.equal(
    code(() => weigh(m, { weights: { C: 1 } }, ['A', 'B'])),
    'UnknownCell',
  );
  assert.equal(
    code(() => createDomain(start, { domain: 'x', cell: 'C' }, ['A', 'B'])),
    'UnknownCell',
  );
});

test('R1-49 a shared hub: only of accounts that it is shared with, nothing before approval, nothing after it is not shared any more', () => {
  const F: Network = { ...named('F', 4, ['10.4.0.0/16'], ['a1']), account: 'acme' };
  const m = changed({ ...start, networks: [S, F] }, main, join('S'));
  assert.equal(
    code(() => join('F')(m)),
    'NotShared',
  );
  const shared = changed(m, (x) => shareHub(x, { accounts: ['acme'] }), join('F'));
  assert.equal(sees(shared, S, '172.16.5.5', '10.4.0.1'), 'no-route');
  assert.equal(sees(shared, F, '10.4.0.1', '172.16.5.5'), 'not attached');
  const approved = changed(shared, (x) => approveAttachment(x, { network: 'F' }, 6));
  assert.equal(sees(approved, S, '172.16.5.5', '10.4.0.1'), 'F 172.16.5.5 10.4.0.1');
  assert.equal(
    code(() => approveAttachment(approved, { network: 'F' }, 6)),
    'NothingProposed',
  );
  assert.deepEqual(rejectAttachment(shared, { network: 'F' }).metadata.attachments, m.attachments);
  assert.equal(
    sees(
      changed(approved, (x) => shareHub(x, { accounts: [] })),
      S,
      '172.16.5.5',
      '10.4.0.1',
    ),
    'no-route',
  );
  // An overlap is looked at when it is approved, and until then is in nobody's way.
  const G: Network = { ...F, name: 'G', prefixes: ['172.16.5.0/24'] };
  const asked = changed({ ...start, networks: [S, G] }, main, (x) => shareHub(x, { accounts: ['acme'] }), join('G'), join('S'));
  assert.equal(asked.attachments.find((a) => a.network === 'S')?.state, 'attached');
  assert.equal(approveAttachment(asked, { network: 'G' }, 6).answer.state, 'pending');
});
