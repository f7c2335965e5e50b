/** Files that stand for more than a machine carries, or for what the kernel refuses: refused at their line, before anything is built up. */
import assert from 'node:assert/strict';
import test from 'ava';
import { NetrigError } from '../../src/core/errors.ts';
import { parsed } from '../../src/core/lightjson.ts';
import { conform } from '../../src/core/json.ts';
import { record } from '../../src/core/config/parts.ts';
import { parseYaml, readSource } from '../../src/core/config/yaml.ts';
import { parseRig } from '../../src/rig/rigfile.ts';
import { checksOf, checkSystems } from '../../src/systems/registry.ts';
import { parseExperiment } from '../../src/topology/load.ts';
import { Type } from 'typebox';

const parse = (text: string) => parseExperiment('t.yaml', text, { checksOf, checkSystems });
const refused = async (text: string, expected: RegExp): Promise<void> => {
  const error: unknown = await parse(text).then(
    () => assert.fail(`accepted: ${text.slice(0, 300)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof NetrigError && error.code.startsWith('TOPOLOGY_'), String(error));
  assert.match(error.message, expected);
  assert.match(error.message, /^t\.yaml:\d+:\d+: /);
};
const many = (count: number, item: (i: number) => string): string => Array.from({ length: count }, (_, i) => item(i)).join(',');
const pair = (link: string, rest = '') =>
  `name: t\ntopology: { nodes: { a: , b: }, links: [{ endpoints: ["a:e", "b:e"]${link} }] }\n${rest}`;

test('what a file may hold: bytes, words, levels, values with aliases expanded', async () => {
  await assert.rejects(readSource('/dev/zero'), /more than 512 KiB/);
  await refused(`a: ${'['.repeat(100_000)}`, /more than 64 levels/);
  await refused(Array.from({ length: 500 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), /more than 64 levels|too many levels/);
  await refused(`name: t\nx: [${many(80_000, () => '1')}]`, /more than 150000 words/);
  await refused(
    `a: &a [${many(200, String)}]\nb: &b [${many(200, () => '*a')}]\nc: [${many(200, () => '*b')}]`,
    /values, aliases expanded/,
  );
  await refused('topology:\n  nodes: &n\n    a: { labels: { a: b } }\n    b: *n\n', /an alias to what it is itself a part of/);
  await refused('name: t\ntopology: { nodes: { a: { __proto__: x } } }\n', /"__proto__" cannot be a key/);
  await refused('name: t\ntopology: { nodes: { a: { group: toString } } }\n', /"toString" cannot be a name/);
  await refused('name: t\nvars: { v: constr }\ntopology: { nodes: { a: { group: "${v}uctor" } } }\n', /"constructor" cannot be a name/);
  await refused('name: t\n? [a]\n: 1\n', /t\.yaml:2:3: a key must be a text/);
  const aliases = `name: t\ntopology:\n  nodes:\n    a0: &a { kind: linux }\n${Array.from({ length: 300 }, (_, i) => `    a${i + 1}: *a\n`).join('')}`;
  assert.equal((await parse(aliases)).cells[0]?.fabric.nodes.length, 301);
  const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} { <<: [${many(8, () => `*a${i}`)}] }`).join('\n');
  await refused(`a0: &a0 { x: 1 }\n${levels}\n`, /makes \d+ merges; at most 200/);
  await refused(`a: &a 1\nb: [${many(3000, () => '*a')}]\n`, /more than 2000 aliases/);
  await refused('a: &a { x: 1 }\nb: { <<: *a, <<: *a }\n', /t\.yaml:2:14: the key "<<" is there twice: write <<: \[\*a, \*b\]/);
  await refused('a: { <<: 5 }\n', /t\.yaml:1:6: only aliases can be merged/);
  const { raw } = parseYaml('t.yaml', 'x: &x { a: 1 }\ny: { <<: *x, b: 2 }\n');
  assert.deepEqual((raw as { y: object }).y, { a: 1, b: 2 });
});

test('what a file may stand for: cells, names, nodes, links, flows, events, texts, time', async () => {
  const dimension = (d: number) => `d${d}: { ${many(10, (i) => `v${d}x${i}: `)} }`;
  await refused(`name: t\ntopology: { nodes: { a: } }\nmatrix: { ${many(8, dimension)} }`, /makes 100000000 cells; at most 1000/);
  await refused(`name: t\ntopology: { nodes: { ${many(20, (i) => `"a${i}x{1..4000}": `)} } }`, /names, ranges expanded/);
  await refused('name: t\ntopology: { nodes: { "a{1..4000}": , "b{1..4000}": } }', /makes 8000 nodes; at most 4096/);
  await refused(
    `name: t\ntopology: { nodes: { "n{1..1000}": , sw: { kind: bridge } }, links: [{ endpoints: ["n{1..1000}:e", "sw:p{1..1000}"] }] }
traffic: [{ phase: p, duration: 1s, flows: [{ matrix: ["n{1..1000}"] }] }]`,
    /makes 999000 flows; at most 10000/,
  );
  const events = (event: string, duration = '100h') => pair('', `traffic: [{ phase: p, duration: ${duration}, events: [${event}] }]\n`);
  await refused(events('{ at: 0s, churn: a, every: 10ms, until: 100h }'), /makes 36000000 events; at most 50000/);
  await refused(events('', '100000h'), /more than a week/);
  await refused(
    `name: t\nvars: { v0: ${'x'.repeat(100)}, ${many(8, (i) => `v${i + 1}: "${`\${v${i}}`.repeat(10)}"`)} }\ntopology: { nodes: { a: } }`,
    /variables make texts of more than 4194304 characters/,
  );
  await refused(
    pair('', `systems: { replication: { on: [a], config: { consumers: "c{0..9999}" } } }`),
    /stands for 10000 names; at most 4096/,
  );
  // Each of many brackets once had the rest of the text looked through.
  await parse(`name: t\ndescription: "${'${'.repeat(100_000)}"\ntopology: { nodes: { a: } }`);
});

test('what the kernel would refuse: names, addresses, MACs, rates, queues, losses, rings', async () => {
  await refused(
    'name: t\ntopology: { nodes: { "n{1..12}": , sw: { kind: bridge } }, links: [{ endpoints: ["n{1..12}:e", "sw:port-to-host-n{1..12}"] }] }',
    /"port-to-host-n10" has 16 characters; the kernel takes at most 15/,
  );
  for (const name of ['lo', 'all', 'default'])
    await refused(`name: t\ntopology: { nodes: { a: , b: }, links: [{ endpoints: ["a:${name}", "b:e"] }] }`, /cannot name an interface/);
  await refused('name: t\ntopology: { nodes: { a: { kind: bridge }, b: }, links: [{ endpoints: ["a:br0", "b:e"] }] }', /the bridge itself/);
  const addresses = (a: string, b = 'auto', link = '') =>
    `name: t\ntopology: { nodes: { a: { interfaces: { e: { address: "${a}" } } }, b: { interfaces: { e: { address: "${b}" } } } }, links: [{ endpoints: ["a:e", "b:e"]${link} }] }`;
  for (const wrong of ['256.0.0.1/8', '010.0.0.1/8', '10.0.0.1/33', '2001:db8::1/129', ':::/64', '1:2/64'])
    await refused(addresses(wrong), /is not an address with prefix length/);
  for (const wrong of ['224.0.0.1/4', '127.0.0.1/8', '0.0.0.0/8', '::/64', '::1/128', 'ff02::1/64'])
    await refused(addresses(wrong), /cannot be the address/);
  await refused(addresses('2001:db8::1/64', '2001:0db8:0:0::1/64'), /have the same address 2001:db8::1/);
  await refused(addresses('2001:db8::1/64', 'auto', ', mtu: 1000'), /IPv6 needs an MTU of at least 1280/);
  await refused(pair('').replace('a: ,', 'a: { interfaces: { e: { mac: "01:00:00:00:00:01" } } },'), /is a multicast address/);
  for (const [link, expected] of [
    [', rate: 0Mbit', /a rate of 0Mbit: at least 8kbit/],
    [', rate: 1Tbps', /at most 400Gbit/],
    [', queue: 0packets', /a queue of nothing/],
    [', queue: 5000GB', /at most 4GB/],
    [', loss: 101%', /at most 100%/],
    [', delay: 1ms, jitter: 2ms', /before they are sent/],
    [', reverse: { loss: 200% }', /at most 100%/],
  ] as const)
    await refused(pair(link), expected);
  await refused(
    pair(', delay: 1ms', 'traffic: [{ phase: p, duration: 1s, events: [{ at: 0s, impair: "a:e", loss: 150% }] }]\n'),
    /a loss of 150%/,
  );
  const ring = (kind: string) =>
    `name: t\ntopology: { nodes: { a: ${kind}, b: ${kind}, c: ${kind} }, links: [${[
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
    ]
      .map(([x, y]) => `{ endpoints: ["${x}:to-${y}", "${y}:to-${x}"] }`)
      .join(', ')}] }`;
  await refused(ring('{ kind: bridge }'), /closes a ring of switches: c and a are joined already/);
  await refused(ring('{ kind: ovs-bridge }'), /closes a ring/);
  await parse(ring('{ kind: ovs-bridge, separate: true }'));
  await parse(ring('{ kind: linux }'));
});

test('frames that vanish in a segment of several MTUs are warned of, once', async () => {
  const { warnings } = await parse(`name: t
topology:
  nodes: { a: , b: , c: , sw: { kind: bridge } }
  links:
    - { endpoints: ["a:e", "sw:p1"], mtu: 9000 }
    - { endpoints: ["b:e", "sw:p2"] }
    - { endpoints: ["c:e", "sw:p3"], mtu: 9000 }
`);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /^t\.yaml:5:7: an MTU of 9000 in the segment of .*, which has 1500/);
  assert.deepEqual((await parse(pair(', mtu: 9000'))).warnings, []);
});

test('tools get no quantity of which they make something else', async () => {
  const flow = (keys: string) => pair('', `traffic: [{ phase: p, duration: 1s, flows: [{ from: a, to: b, ${keys} }] }]\n`);
  await refused(flow('protocol: udp, rate: 0Mbit'), /a rate of 0Mbit/);
  await refused(flow('tool: prober, interval: 0ms'), /an interval of 0ms: at least 100us/);
  await refused(flow('protocol: udp, rate: 1Mbit, size: 70KB'), /at most 65507B/);
  await refused(flow('tool: mgen, rate: 1Mbit, burst: { every: 1ms, for: 2ms }'), /no longer than "every"/);
  await refused(pair('', 'capture: [{ at: "a:e", snap: 0B }]\n'), /at least 14B/);
});

test('values of a mapping are checked whatever its keys are', () => {
  const numbers = record(Type.Number());
  for (const text of ['{"a":"x"}', '{"a\\nb":"x"}', '{"\\u2028":"x"}', '{"__proto__":"x"}', '{"":"x"}']) {
    assert.throws(() => parsed(numbers, text), text);
    assert.throws(() => conform(numbers, JSON.parse(text)), text);
  }
  assert.deepEqual(parsed(numbers, '{"a\\nb":1}'), { 'a\nb': 1 });
});

test('a rig file with an odd NIC is refused at its line', () => {
  const rig = (nics: string) => `name: r\nhosts:\n  a: { local: true, nics: { ${nics} } }\n`;
  for (const [nics, expected] of [
    [
      '"enx00e04c680001a": { cable: "b:eth2" }',
      /r\.yaml:3:29: expected an interface name of at most 15 characters, found "enx00e04c680001a"/,
    ],
    ['eth2: { cabel: "b:eth2" }', /unknown key "cabel"/],
    ['eth2: { cable: "b:eth2" }', /no NIC b:eth2 in this file/],
  ] as const)
    assert.throws(
      () => parseRig('r.yaml', rig(nics)),
      (error: unknown) => error instanceof NetrigError && error.code === 'RIG_INVALID' && expected.test(error.message),
    );
});
