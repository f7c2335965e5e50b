import assert from 'node:assert/strict';
import test from 'ava';
import { moveVni } from '../../agents/hub/control/configuration.ts';
import { nextSize, resize } from '../../agents/hub/control/scaling.ts';
import { Scaler } from '../../agents/hub/control/scaler.ts';
import { versioned } from '../../agents/hub/control/edit.ts';
import type { AgentConfig, HubFile, Scale } from '../../agents/hub/config.ts';
import { EMPTY, type Ain, type Metadata } from '../../agents/hub/model.ts';
import { securityRules } from '../../agents/hub/nodes/filter.ts';
import { filterText } from '../../agents/lib/filter.ts';
import { scaleOf } from '../../agents/hub/scale.ts';
import { code, named } from '../support/hub.ts';

const A = { ...named('A', 1, ['10.9.0.0/24']), at: 'ga' };
const B = named('B', 2, ['10.8.0.0/24']);
const metadata: Metadata = { ...EMPTY, version: 4, networks: [A, B] };

test('R1-53 a VNI moves to gateways of its network, and renews no action', () => {
  const moved = moveVni(metadata, { network: 'A', to: 'gx' }, ['ga', 'gx']);
  assert.equal(versioned(moved).networks[0]?.at, 'gx');
  assert.deepEqual(moved.concerns, new Set());
  assert.equal(
    code(() => moveVni(metadata, { network: 'A', to: 'gb' }, ['ga', 'gx'])),
    'InvalidRequest',
  );
  assert.equal(
    code(() => moveVni(metadata, { network: 'B', to: 'gb' }, ['gb'])),
    'InvalidRequest',
  );
});

test('R1-53 a security group: answers, what it allows, nothing else; without one, everything but by other devices', () => {
  const text = filterText([
    securityRules(
      'vni-hub',
      [{ protocol: 'tcp', ports: [22, 443] }, { protocol: 'udp', ports: [53] }, { protocol: 'tcp' }, { protocol: 'icmp' }],
      ['hub'],
    ),
  ]);
  const rules = text.split('\n').flatMap((line) => (line.includes('iifname') ? [line.trim()] : []));
  assert.deepEqual(rules, [
    'iifname "hub" drop',
    'iifname "vni-hub" ct state established,related accept',
    'iifname "vni-hub" tcp dport { 22, 443 } accept',
    'iifname "vni-hub" udp dport { 53 } accept',
    'iifname "vni-hub" meta l4proto tcp accept',
    'iifname "vni-hub" meta l4proto icmp accept',
    'iifname "vni-hub" drop',
  ]);
  assert.deepEqual(securityRules('hub', null, []), { input: [], forward: [] });
});

const ains: Ain[] = [1, 2, 3, 4].map((number) => ({
  name: `a${number}`,
  number,
  zone: 'z',
  cell: 'main',
  mac: `02:00:00:00:01:0${number}`,
}));
const dmns = [1, 2].map((number) => ({ name: `d${number}`, number, address: `100.64.0.1${number}`, cell: 'main' }));
const cells = { names: ['main'], of: new Map([...ains, ...dmns].map((n): [string, string] => [n.name, 'main'])) };
const file = {
  networks: { A: { gateway: 'ga', prefixes: ['10.9.0.0/24'] }, B: { gateway: 'gb', prefixes: ['10.8.0.0/24'] } },
  'shard-size': 4,
  'shard-overlap': 4,
  scale: { fewest: 1, load: 100, 'ains-per-dmn': 2, calm: '1s' },
} as unknown as HubFile;
const problems: { message: string }[] = [];
const scale: Scale = scaleOf(file, cells, ains, dmns, problems as never)!;
const small: Metadata = { ...metadata, standby: scale.sizes[0]!.standby };

test('R1-23 sizes of a cell: from the fewest to all, decision nodes in their ratio, a shard for every network', () => {
  assert.deepEqual(problems, []);
  assert.deepEqual(
    scale.sizes.map((s) => s.standby),
    [['a2', 'a3', 'a4', 'd2'], ['a3', 'a4', 'd2'], ['a4'], []],
  );
  for (const { ains: own, shards } of scale.sizes)
    for (const shard of Object.values(shards)) assert.deepEqual(new Set(shard), new Set(own));
  const refused: { message: string }[] = [];
  scaleOf({ ...file, scale: { fewest: 5, load: 1 } }, cells, ains, dmns, refused as never);
  assert.deepEqual(
    refused.map((p) => p.message),
    ['cell "main" has 4 AINs'],
  );
});

test('R1-23 more nodes at once, fewer one by one, and none where the load is between', () => {
  const next = (m: Metadata, load: number) => {
    const found = nextSize(scale, 'main', m, load);
    return found && [found.size.ains.length, found.needsCalm];
  };
  assert.deepEqual(next(small, 100), undefined);
  assert.deepEqual(next(small, 101), [2, false]);
  assert.deepEqual(next(small, 9999), [4, false]);
  const largest: Metadata = { ...metadata, standby: [] };
  assert.deepEqual(next(largest, 350), undefined);
  // Three would carry 300, but 241 is too close to it.
  assert.deepEqual(next(largest, 241), undefined);
  assert.deepEqual(next(largest, 240), [3, true]);
  assert.deepEqual(next(largest, 0), [3, true]);
  assert.deepEqual(next(small, 0), undefined);
});

test('R1-23 an AIN that is lost carries nothing: one that waits serves in its place', () => {
  assert.deepEqual(nextSize(scale, 'main', { ...small, lost: ['a1'] }, 0)?.size.ains, ['a1', 'a2']);
  const two: Metadata = { ...metadata, standby: scale.sizes[1]!.standby, lost: ['a1'] };
  assert.equal(nextSize(scale, 'main', two, 0), undefined);
  assert.deepEqual(nextSize(scale, 'main', two, 150)?.size.ains, ['a1', 'a2', 'a3']);
});

test('R1-23 a cell is made smaller after a calm time only, and a load in between begins it anew', () => {
  const scaler = new Scaler({ scale, ains } as unknown as AgentConfig);
  const largest: Metadata = { ...metadata, standby: [] };
  const due = (load: number, atMs: number): number | undefined => {
    scaler.heard('a1', load);
    return scaler.due('main', largest, atMs)?.ains.length;
  };
  assert.equal(due(0, 0), undefined);
  assert.equal(due(0, 900), undefined);
  assert.equal(due(390, 950), undefined);
  assert.equal(due(0, 1000), undefined);
  assert.equal(due(0, 1999), undefined);
  assert.equal(due(0, 2000), 3);
  // What an AIN carried goes with it.
  scaler.heard('a2', 500);
  scaler.forget('a2');
  assert.equal(scaler.due('main', small, 3000), undefined);
});

test('R1-23 a resized cell: branches at nodes that serve, those of other cells stay, no action is renewed', () => {
  const before: Metadata = { ...small, networks: [{ ...A, shard: ['b1', 'a1'] }, B], standby: ['b2', ...small.standby] };
  const { metadata: after, concerns } = resize(before, scale.sizes[1]!, [...ains, ...dmns]);
  assert.deepEqual(new Set(after.networks[0]?.shard), new Set(['b1', 'a1', 'a2']));
  assert.deepEqual(after.standby, ['b2', 'a3', 'a4', 'd2']);
  assert.deepEqual(concerns, new Set());
});
