import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import { attach } from '../../agents/hub/control/attachments.ts';
import { modify, setGroup } from '../../agents/hub/control/configuration.ts';
import { setPolicy } from '../../agents/hub/control/policies.ts';
import { isWideEnough, original, sourceRange, substitute } from '../../agents/hub/decision/substitution.ts';
import { judge, viewsOf } from '../../agents/hub/decision/view.ts';
import { EMPTY, type Metadata, type Policy } from '../../agents/hub/model.ts';
import { outside, overtaken, unlikeFlows } from '../../agents/hub/results/measures.ts';
import type { SeenFrame } from '../../agents/hub/results/frames.ts';
import { contains, formatAddress, network, prefixOf, type Address, type Prefix } from '../../agents/lib/prefix.ts';
import { address, changed, code, join, main, named } from '../support/hub.ts';

const text = ({ value }: Address, length: number): string => {
  const p: Prefix = network({ family: 4, value }, length);
  return `${formatAddress(p)}/${length}`;
};
const anyValue = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n });

test('R1-50 substitutes are one to one, in their range, and lead back: any networks, any ranges that are wide enough', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyValue, fc.integer({ min: 20, max: 32 })), { minLength: 1, maxLength: 3 }),
      fc.tuple(anyValue, fc.integer({ min: 4, max: 24 })),
      fc.integer({ min: 1, max: 60_000 }),
      fc.integer({ min: 0, max: 5_000 }),
      fc.array(fc.tuple(fc.nat(4095), fc.nat(65_535)), { minLength: 2, maxLength: 20 }),
      (own, [to, length], firstPort, more, hosts) => {
        const prefixes = own
          .map(([value, l]) => text({ family: 4, value }, l))
          .filter((p, i, all) => all.slice(0, i).every((q) => !contains(prefixOf(q), prefixOf(p)) && !contains(prefixOf(p), prefixOf(q))));
        const policy: Policy = {
          network: 'A',
          to: 'B',
          addresses: text({ family: 4, value: to }, length),
          firstPort,
          lastPort: firstPort + more,
        };
        fc.pre(isWideEnough(sourceRange(policy, prefixes)));
        const seen = new Map<string, string>();
        for (const [host, port] of hosts) {
          const p = prefixOf(prefixes[host % prefixes.length]!);
          const from: Address = { family: 4, value: p.value + (BigInt(host) % (1n << BigInt(32 - p.length))) };
          const is = substitute(sourceRange(policy, prefixes), { address: from, port })!;
          assert.ok(contains(prefixOf(policy.addresses), is.address) && is.port >= policy.firstPort && is.port <= policy.lastPort);
          // The order of prefixes does not matter: a database has none.
          assert.deepEqual(original(sourceRange(policy, [...prefixes].reverse()), is), { address: from, port });
          const [key, was] = [`${is.address.value} ${is.port}`, `${from.value} ${port}`];
          assert.equal(seen.get(key) ?? was, was);
          seen.set(key, was);
        }
      },
    ),
  );
});

const A = named('A', 1, ['10.7.0.0/24']);
const B = named('B', 2, ['10.8.0.0/24']);
const attached = changed({ ...EMPTY, networks: [A, B] }, main, join('A'), join('B'));
const source = { addresses: '100.127.0.0/20', ports: [40_000, 49_999] };
const ruled = changed(attached, (m) => setPolicy(m, { network: 'A', to: 'B', source }));
const goes = (m: Metadata, from: string, s: string, d: string, ports: { source: number; destination: number } | null) => {
  const views = viewsOf(m);
  const verdict = judge(views, views.byName.get(from)!, address(s), address(d), ports);
  if (verdict.kind !== 'send') return verdict.kind === 'drop' ? verdict.reason : 'copy';
  const at = (a: Address | null, was: string): string => (a ? formatAddress(a) : was);
  return `${at(verdict.source, s)}:${verdict.sourcePort ?? ports?.source} ${at(verdict.destination, d)}:${verdict.destinationPort ?? ports?.destination}`;
};

test('R1-50 what a policy rules: sources there, answers back, nothing round it, no packet without ports', () => {
  const ports = { source: 1000, destination: 80 };
  assert.equal(goes(ruled, 'A', '10.7.0.1', '10.8.0.1', ports), '100.127.0.6:46536 10.8.0.1:80');
  assert.equal(goes(ruled, 'B', '10.8.0.1', '100.127.0.6', { source: 80, destination: 46_536 }), '10.8.0.1:80 10.7.0.1:1000');
  assert.equal(goes(ruled, 'B', '10.8.0.1', '10.7.0.1', ports), 'no-route');
  assert.equal(goes(ruled, 'B', '10.8.0.1', '100.127.0.6', { source: 80, destination: 39_999 }), 'no-route');
  assert.equal(goes(ruled, 'B', '10.8.0.1', '100.127.0.6', null), 'no-route');
  assert.equal(goes(ruled, 'A', '10.7.0.1', '10.8.0.1', null), 'denied');
  const free = changed(ruled, (m) => setPolicy(m, { network: 'A', to: 'B' }));
  assert.equal(goes(free, 'A', '10.7.0.1', '10.8.0.1', ports), '10.7.0.1:1000 10.8.0.1:80');
});

test('R1-50 its addresses are nobody else’s, and it has room for every port of every address', () => {
  const set = (change: object) => code(() => setPolicy(attached, { network: 'A', to: 'B', source: { ...source, ...change } }));
  assert.equal(set({}), 'done');
  assert.equal(set({ addresses: '100.127.0.0/21' }), 'done');
  assert.equal(set({ addresses: '100.127.0.0/22' }), 'NoCapacity');
  assert.equal(set({ addresses: '10.0.0.0/8' }), 'InvalidRequest');
  assert.equal(set({ ports: [50_000, 40_000] }), 'InvalidRequest');
  assert.equal(
    code(() => setPolicy(attached, { network: 'B', to: 'A' })),
    'UnknownPolicy',
  );
  assert.equal(
    code(() => modify(ruled, { addPrefixes: [{ network: 'B', prefix: '100.127.1.0/24' }] }, 5)),
    'AddressOverlapDetected',
  );
  const late = { ...ruled, networks: [...ruled.networks, named('C', 3, ['100.127.4.0/24'])] };
  assert.equal(attach(late, { network: 'C' }, 5).answer.state, 'pending');
});

test('R1-50 a network does not outgrow its range, groups keep off it, and copies do not go round it', () => {
  assert.equal(
    code(() => modify(ruled, { addPrefixes: [{ network: 'A', prefix: '10.17.0.0/22' }] }, 5)),
    'NoCapacity',
  );
  const policy = ruled.policies[0]!;
  assert.equal(substitute(sourceRange(policy, ['10.7.0.0/24', '10.16.0.0/20']), { address: address('10.16.15.1'), port: 1 }), undefined);
  const group = { address: '100.127.0.9', members: [{ network: 'B', address: '10.8.0.1' }] };
  assert.equal(
    code(() => setGroup(ruled, group)),
    'InvalidRequest',
  );
  const grouped = changed(ruled, (m) => setGroup(m, { ...group, address: '10.99.0.1' }));
  assert.equal(goes(grouped, 'A', '10.7.0.1', '10.99.0.1', null), 'no-route');
});

test('R1-50 a policy that keeps two networks apart is not taken away, and one that does lets them in', () => {
  const same = { ...EMPTY, networks: [A, { ...B, prefixes: A.prefixes }] };
  const waiting = changed(same, main, join('A'), join('B'));
  assert.equal(waiting.attachments[1]?.state, 'pending');
  const both = changed(
    waiting,
    (m) => setPolicy(m, { network: 'A', to: 'B', source }),
    (m) => setPolicy(m, { network: 'B', to: 'A', source: { ...source, addresses: '100.126.0.0/20' } }),
  );
  assert.equal(both.attachments[1]?.state, 'attached');
  assert.equal(
    code(() => setPolicy(both, { network: 'A', to: 'B' })),
    'AddressOverlapDetected',
  );
});

const frame = (source: string, sourcePort: number, number = 1): SeenFrame =>
  ({
    protocol: 17,
    source,
    sourcePort,
    destination: '10.8.0.1',
    destinationPort: 7070,
    data: { bytes: number.toString(16).padStart(8, '0'), isWhole: true },
  }) as SeenFrame;

test('R1-50 packets outside a range, flows that are split or joined on their way', () => {
  const range = prefixOf('100.127.0.0/20');
  assert.equal(
    outside([frame('100.127.0.1', 40_000), frame('100.127.0.1', 39_999), frame('10.7.0.1', 40_000)], range, [40_000, 49_999]),
    2,
  );
  const sent = [frame('10.7.0.1', 1), frame('10.7.0.1', 1), frame('10.7.0.2', 1)];
  assert.deepEqual(unlikeFlows(sent, [frame('9.0.0.1', 1), frame('9.0.0.1', 1), frame('9.0.0.1', 2)]), { flows: 2, unlike: 0 });
  assert.equal(unlikeFlows(sent, [frame('9.0.0.1', 1), frame('9.0.0.1', 3), frame('9.0.0.1', 2)]).unlike > 0, true);
  assert.equal(unlikeFlows(sent, [frame('9.0.0.1', 1), frame('9.0.0.1', 1), frame('9.0.0.1', 1)]).unlike > 0, true);
});

test('R1-16 datagrams that are overtaken count, in each flow for itself', () => {
  const frames = [frame('10.7.0.1', 1, 1), frame('10.7.0.1', 1, 3), frame('10.7.0.1', 1, 2), frame('10.7.0.2', 1, 1)];
  assert.deepEqual(overtaken(frames), { datagrams: 4, overtaken: 1 });
});
