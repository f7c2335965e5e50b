import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { NetrigError } from '../../src/core/errors.ts';
import { checkFilters } from '../../src/capture/libpcap/index.ts';
import { parseExperiment, type LoadOptions } from '../../src/topology/load.ts';
import { describeAction } from '../../src/topology/events.ts';
import type { Lab, LabNode } from '../../src/topology/model.ts';
import { routeBetween, without } from '../../src/topology/lab.ts';
import { checksOf, checkSystems } from '../../src/systems/registry.ts';

const parse = (text: string, options: Partial<LoadOptions> = {}) => parseExperiment('t.yaml', text, { checksOf, ...options });
const first = async (text: string, options: Partial<LoadOptions> = {}): Promise<Lab> => (await parse(text, options)).cells[0] as Lab;
const minimal = 'name: t\ntopology:\n  nodes: { a: , b: }\n';
const refused = async (text: string, ...expected: RegExp[]): Promise<string> => {
  const error = await parse(text, { checkSystems }).then(
    () => assert.fail(`accepted:\n${text}`),
    (thrown: unknown) => thrown as NetrigError,
  );
  assert.ok(error instanceof NetrigError, String(error));
  for (const pattern of expected) assert.match(error.message + (error.hint ?? ''), pattern);
  return error.message;
};

test('errors name file, line, column, expectation and hint', async () => {
  await refused('name: t\ntopology:\n  nodes:\n    a: { knd: linux }\n', /^t\.yaml:4:10: unknown key "knd"/m, /did you mean "kind"\?/);
  await refused(
    'name: t\ntopology:\n  nodes:\n    a: { kind: linus }\n',
    /t\.yaml:4:16: expected one of linux, bridge, ovs-bridge, found "linus"/,
    /did you mean "linux"/,
  );
  await refused(
    `${minimal}  links:\n    - { endpoints: ["a:e", "b:e"], rate: 50Mbits }\n`,
    /t\.yaml:5:42: expected a rate such as "100Mbit", or "none", found "50Mbits"/,
  );
  await refused(`${minimal}  links:\n    - endpoints: ["a:e", "c:e"]\n`, /t\.yaml:5:26: link to unknown node "c"/);
  await refused('name: t\ntopology: {nodes: {a: , a: }}\n', /t\.yaml:2:\d+: the key \"a\" is there twice/);
  await refused('name: [\n', /t\.yaml:\d+:\d+/);
});

test('all problems are listed at once, in the order of the file', async () => {
  const message = await refused('name: t\nfoo: 1\ntopology:\n  nodes:\n    a: { kind: x }\nbar: 2\n');
  assert.deepEqual(
    [...message.matchAll(/^t\.yaml:(\d+)/gm)].map((m) => m[1]),
    ['2', '5', '6'],
  );
});

test('a union is explained by the branch that was meant', async () => {
  await refused(
    `${minimal}traffic: [{ phase: p, duration: 1s }]\ntargets:\n  - { name: x, check: rate, folw: f, at-least: 1Mbit }\n`,
    /t\.yaml:6:29: unknown key "folw"/,
    /did you mean "flow"/,
  );
  await refused(
    `${minimal}targets:\n  - { name: x }\n`,
    /expected a target whose "check" is one of reachability, rate, loss, latency, counter/,
  );
});

test('a wrong BPF filter is a bad file, with its line', async () => {
  const text = `${minimal}  links: [{ endpoints: ["a:e", "b:e"] }]\ncapture:\n  - { at: "a:e", filter: udp port 53 }\n  - { at: "b:e", filter: udp prt 53 }\n`;
  await assert.rejects(parse(text, { checkFilters }), /^.*t\.yaml:7:\d+: "udp prt 53": can't parse filter expression/);
  await parse(text.replace('prt', 'port'), { checkFilters });
});

test('a target that could never be judged is refused, with its line', async () => {
  const base = `${minimal}  links: [{ endpoints: ["a:e", "b:e"], labels: { tenant: A } }]\ntraffic: [{ phase: p, duration: 1s, flows: [{ name: f, from: a, to: b }] }]\ncapture: [{ at: "b:e", direction: in }]\ntargets:\n`;
  const isolation = 'check: bandwidth-isolation, capacity: 10Mbit, group: A';
  await refused(`${base}  - { name: x, ${isolation}, metric: shortfall, at-most: 1% }\n`, /t\.yaml:8:\d+: shortfall needs "guarantee"/);
  await refused(
    `${base}  - { name: x, ${isolation}, metric: reaction, event: 100ms, at-most: 1ms }\n`,
    /t\.yaml:8:\d+: reaction needs "settles-at"/,
  );
  await refused(`${base}  - { name: x, check: rate, at-least: 1Mbit }\n`, /t\.yaml:8:\d+: a rate needs a flow, or a capture and a group/);
  await refused(`${base}  - { name: x, check: latency, flow: f, at-most: 1ms }\n`, /t\.yaml:8:\d+: flow "f" measures no round trips/);
  await refused(`${base}  - { name: x, check: loss, flow: f, at-most: 1% }\n`, /t\.yaml:8:\d+: flow "f" counts no datagrams/);
  await refused(`${base}  - { name: x, check: answers }\n`, /t\.yaml:8:\d+: phase "p" has no request/);
  await refused(`${base}  - { name: x, check: packets, capture: "a:e", at-most: 0 }\n`, /t\.yaml:8:\d+: nothing is captured at "a:e"/);
  await refused(`${base}  - { name: x, check: reachability, at-most: 0 }\n`, /unknown key "at-most"/);
});

test('checks that systems bring are known by name, and their keys by their own schema', async () => {
  const traffic = `${minimal}traffic: [{ phase: p, duration: 1s }]\ntargets:\n`;
  await refused(
    `${traffic}  - { name: x, check: latency-variatoin, at-most: 1ms }\n`,
    /t\.yaml:\d+:\d+: unknown check "latency-variatoin"/,
    /did you mean "latency-variation"/,
  );
  await refused(
    `${traffic}  - { name: x, check: latency-variation, metric: spraed, at-most: 1ms }\n`,
    /expected one of spread, pooled/,
    /did you mean "spread"/,
  );
  await refused(
    `${traffic}  - { name: x, check: latency-variation, metric: spread, at-most: 5% }\n`,
    /expected a duration such as "50ms", found "5%"/,
  );
  await refused(`${traffic}  - { name: x, check: latency-variation, metric: spread }\n`, /needs "at-least" or "at-most"/);
});

test('addresses may overlap where a switch keeps its ports separate, and nowhere else', async () => {
  const lab = (separate: boolean) =>
    `name: t\ntopology:\n  nodes: { gw: { kind: ovs-bridge, separate: ${separate} }, a: { interfaces: { e: { address: 10.0.0.2/24 } } }, b: { interfaces: { e: { address: 10.0.0.2/24 } } } }\n  links: [{ endpoints: ["a:e", "gw:a"] }, { endpoints: ["b:e", "gw:b"] }]\n`;
  await refused(lab(false), /a:e and b:e have the same address 10\.0\.0\.2$/);
  const { cells } = await parse(lab(true));
  const segments = cells[0]!.fabric.nodes.flatMap((n) => n.interfaces.map((i) => [n.name, i.segment]));
  assert.equal(new Set(segments.map(([, segment]) => segment)).size, 2);
  await refused(
    `${lab(true)}traffic: [{ phase: p, duration: 1s, flows: [{ from: a, to: b, address: nowhere }] }]\n`,
    /expected an address such as "10\.64\.0\.200"/,
  );
  const told = await parse(`${lab(true)}traffic: [{ phase: p, duration: 1s, flows: [{ from: a, to: b, address: 10.64.0.9 }] }]\n`);
  assert.equal(told.cells[0]!.phases[0]!.flows[0]!.address, '10.64.0.9');
});

test('events that change links and ask agents are held against what is there', async () => {
  const lab = `${minimal}  links: [{ endpoints: ["a:e", "b:e"], delay: 1ms }, { endpoints: ["a:f", "b:f"] }]\ntraffic: [{ phase: p, duration: 1s, events: [EVENT] }]\n`;
  const event = (text: string) => lab.replace('EVENT', text);
  await refused(event('{ at: 0s, impair: "a:nope", delay: 2ms }'), /no link ends at "a:nope"/);
  await refused(event('{ at: 0s, impair: "a:f", delay: 2ms }'), /nothing that delays or loses packets/, /declare a delay/);
  await refused(event('{ at: 0s, impair: "a:e", jitter: 2ms }'), /declares no jitter/);
  await refused(event('{ at: 500ms, impair: "a:e", delay: 2ms, over: 900ms }'), /does not fit into its phase/);
  await refused(event('{ at: 0s, request: { system: replication, node: a, operation: Send } }'), /this cell has no system "replication"/);
  const { cells } = await parse(event('{ at: 100ms, impair: "b:e", delay: 3ms, over: 50ms, direction: out }'));
  const steps = cells[0]!.phases[0]!.events.map((e) => [
    e.atUs,
    e.what.kind === 'impair' ? e.what.changes.map((c) => [c.direction, c.to.delayUs]) : null,
  ]);
  const twice = await parse(
    event('{ at: 500ms, impair: "a:e", delay: 1ms, over: 20ms, direction: out }, { at: 100ms, impair: "a:e", delay: 9ms, direction: out }'),
  );
  assert.deepEqual(
    twice.cells[0]!.phases[0]!.events.map((e) => (e.what.kind === 'impair' ? e.what.changes[0]!.to.delayUs : 0)),
    [9000, 5000, 1000],
    'from what the event before left',
  );
  assert.deepEqual(steps, [
    [100_000, [[1, 1400]]],
    [110_000, [[1, 1800]]],
    [120_000, [[1, 2200]]],
    [130_000, [[1, 2600]]],
    [140_000, [[1, 3000]]],
  ]);
});

test('references are checked: groups, interfaces, phases, flows, captures, variables', async () => {
  await refused('name: t\ntopology: { nodes: { a: { group: g } } }\n', /unknown group "g"/);
  await refused(`${minimal}  links: [{ endpoints: ["a:e", "b:e"] }, { endpoints: ["a:e", "b:f"] }]\n`, /endpoint a:e is used by two links/);
  await refused(
    `${minimal}  links: [{ endpoints: ["a:e", "b:e"] }]\ntraffic: [{ phase: p, duration: 1s, flows: [{ from: a, to: b, start: 2s }] }]\n`,
    /does not fit into its phase/,
  );
  await refused(
    `${minimal}  links: [{ endpoints: ["a:e", "b:e"] }]\ntraffic: [{ phase: p, duration: 1s, flows: [{ from: a, to: b, protocol: udp }] }]\n`,
    /a UDP flow needs a rate/,
  );
  await refused(`${minimal}capture: [{ at: "a:nope" }]\n`, /no interface "nope"/);
  await refused(`${minimal}vars: { rate: 1Mbit }\ndescription: "\${rat}"\n`, /unknown variable "rat"/, /did you mean "rate"/);
  await refused('name: t\ntopology: { nodes: { a: { sysctls: { vm.swappiness: 1 } } } }\n', /not one of a network namespace/);
  await refused(`${minimal}systems: { gatekeepr: { on: a } }\n`, /unknown system "gatekeepr"/, /did you mean "gatekeeper"/);
});

test('containerlab files are a valid start: defaults, kinds, groups, short and typed links, container keys', async () => {
  const lab = await first(`
name: clab
prefix: ""
mgmt: { network: x }
topology:
  defaults: { kind: linux, image: debian, env: { A: 1 }, labels: { a: d, b: d } }
  kinds: { linux: { labels: { b: k, c: k } }, ovs-bridge: {} }
  groups: { g: { labels: { c: g, d: g } } }
  nodes:
    n1: { group: g, labels: { d: n }, binds: ["/a:/b"], ports: ["80:80"] }
    n2: { image: other, cmd: sleep }
    sw: { kind: ovs-bridge }
  links:
    - endpoints: ["n1:eth1", "sw:p1"]
    - { type: veth, endpoints: [{ node: n2, interface: eth1, mac: "02:00:00:00:00:99" }, { node: sw, interface: p2 }], mtu: 9000 }
`);
  assert.deepEqual(lab.fabric.nodes[0]?.labels, { a: 'd', b: 'k', c: 'g', d: 'n' });
  assert.equal(lab.fabric.nodes[1]?.interfaces[0]?.mac, '02:00:00:00:00:99');
  assert.equal(lab.fabric.links[1]?.mtu, 9000);
});

test("addresses: one subnet per segment, ports bare, an address makes a switch interface the node's own", async () => {
  const lab = await first(
    `
name: t
topology:
  nodes:
    a: , 
    b: { interfaces: { e2: { address: 192.0.2.1/30 } } }
    sw: { kind: bridge, interfaces: { own: { address: auto } } }
  links:
    - endpoints: ["a:e1", "sw:p1"]
    - endpoints: ["b:e1", "sw:p2"]
    - endpoints: ["b:e2", "sw:own"]
`.replace('a: ,', 'a:'),
  );
  const addresses = Object.fromEntries(
    lab.fabric.nodes.flatMap((n) => n.interfaces.map((i) => [`${n.name}:${i.name}`, i.addresses[0] ?? (i.port ? 'port' : 'none')])),
  );
  assert.deepEqual(addresses, {
    'a:e1': '10.64.0.1/24',
    'b:e1': '10.64.0.2/24',
    'b:e2': '192.0.2.1/30',
    'sw:p1': 'port',
    'sw:p2': 'port',
    'sw:own': '10.64.1.1/24',
  });
});

test('300 hosts on one switch share a /16 without a duplicate', async () => {
  const names = Array.from({ length: 300 }, (_, i) => `h${i}`);
  const lab = await first(
    `name: t\ntopology:\n  nodes:\n    sw: { kind: bridge }\n${names.map((n) => `    ${n}:\n`).join('')}  links:\n${names.map((n) => `    - endpoints: ["${n}:e", "sw:${n}"]\n`).join('')}`,
  );
  const addresses = lab.fabric.nodes.flatMap((n) => n.interfaces.flatMap((i) => i.addresses));
  assert.equal(new Set(addresses).size, 300);
  assert.ok(addresses.every((a) => a.endsWith('/16')));
});

test('impairments per direction; the queue follows rate × round trip unless given', async () => {
  const lab = await first(
    `${minimal}  links: [{ endpoints: ["a:e", "b:e"], rate: 100Mbit, delay: 10ms, loss: 1%, reverse: { rate: 10Mbit, queue: 20ms, loss: 0% } }]\n`,
  );
  const [forward, back] = lab.fabric.links[0]?.impairments ?? [];
  assert.deepEqual(forward, { rateBps: 1e8, delayUs: 10000, jitterUs: 0, loss: 0.01, queueBytes: Math.round((1e8 / 8e6) * 25000) });
  assert.deepEqual(back, { rateBps: 1e7, delayUs: 10000, jitterUs: 0, loss: 0, queueBytes: 25000 });
});

test('--set gives a variable a value of the kind that the file has: a number stays one', async () => {
  const text = `${minimal}vars: { times: 2 }
traffic: [{ phase: p, duration: 1s }]
repeat: "\${times}"
`;
  assert.equal((await parse(text, { set: { times: '7' } })).repeat, 7);
  await assert.rejects(parse(text, { set: { times: 'often' } }), /--set times: expected a number, found "often"/);
});

test('matrix: cross product of merge patches, filters, variables, --set, when', async () => {
  const text = `${minimal}  links: [{ endpoints: ["a:e", "b:e"], rate: "\${link * 0.5}" }]
vars: { link: 100Mbit }
traffic: [{ phase: p, duration: 1s, flows: [{ name: f, from: a, to: b }] }]
targets: [{ name: x, check: rate, flow: f, at-least: 1Mbit, when: { load: [udp] } }]
matrix:
  load: { tcp: {}, udp: { traffic: [{ phase: p, duration: 2s, flows: [{ name: f, from: a, to: b, protocol: udp, rate: "\${link}" }] }] } }
  mode: { x: , y: { vars: { link: 10Mbit } } }
`;
  const all = await parse(text);
  assert.deepEqual(
    all.cells.map((c) => c.cell),
    ['tcp-x', 'tcp-y', 'udp-x', 'udp-y'],
  );
  assert.deepEqual(
    all.cells.map((c) => c.fabric.links[0]?.impairments[0].rateBps),
    [5e7, 5e6, 5e7, 5e6],
  );
  assert.deepEqual(
    all.cells.map((c) => c.targets.length),
    [0, 0, 1, 1],
  );
  assert.deepEqual(
    (await parse(text, { filter: ['udp', 'mode=x'] })).cells.map((c) => c.cell),
    ['udp-x'],
  );
  assert.equal((await first(text, { set: { link: '20Mbit' } })).fabric.links[0]?.impairments[0].rateBps, 1e7);
  await assert.rejects(parse(text, { filter: ['nope'] }), /selects no cell/);
  await assert.rejects(parse(text, { set: { lnk: '1' } }), /declares no such variable/);
  await refused(text.replace('duration: 2s', 'duration: 2 parsecs'), /t\.yaml:\d+:\d+: expected a duration/);
});

test('R4-12 admission: minimums above the link are refused with the vNICs and the excess', async () => {
  const text = (min: string) => `
name: t
topology:
  nodes:
    s: { kind: ovs-bridge, interfaces: { prov: { address: auto } } }
    core: { kind: bridge }
    va: { labels: { tenant: A } }
    vb: { labels: { tenant: B } }
  links:
    - { endpoints: ["s:up", "core:s"], rate: 100Mbit }
    - { endpoints: ["va:e", "s:va"] }
    - { endpoints: ["vb:e", "s:vb"] }
    - { endpoints: ["s:prov", "core:prov"] }
systems:
  gatekeeper: { on: s, config: { uplink: up, network: prov, contracts: { A: { min: 70% }, B: { min: ${min} } } } }
`;
  await parse(text('30%'), { checkSystems });
  await refused(text('45%'), /t\.yaml:15:\d+: admission refused on s: va:e 70Mbit \+ vb:e 45Mbit exceed the uplink of 100Mbit by 15Mbit/);
  await refused(text('30%').replace('uplink: up', 'uplnk: up'), /unknown key "uplnk"/);
});

test('what would silently judge nothing, or something else, is refused', async () => {
  const base = `${minimal}  links: [{ endpoints: ["a:e", "b:e"] }]\ntraffic: [{ phase: p, duration: 1s, flows: [{ name: f, from: a, to: b }] }]\nmatrix: { load: { tcp: , udp: } }\ntargets:\n`;
  await refused(
    `${base}  - { name: x, check: rate, flow: f, at-least: 1Mbit, when: { laod: udp } }\n`,
    /no dimension "laod"/,
    /did you mean "load"/,
  );
  const elsewhere = '  - { name: x, check: rate, flow: f, at-least: 1Mbit, when: { load: tcp } }\n';
  await refused(
    `${base}${elsewhere}  - { name: y, check: latency-variation, metric: late, at-most: 0, when: { load: udp } }\n`,
    /t\.yaml:9:\d+: late needs "deadline"/,
  );
  await refused(
    `${base}  - { name: x, check: rate, flow: f, at-least: 1Mbit, expect-fail: [{ load: upd }] }\n`,
    /"load" has no value "upd"/,
  );
  await refused(`${base}  - { name: x, check: rate, flow: f, at-least: 95% }\n`, /expected a rate such as "45Mbit", found "95%"/);
  await refused(`${base}  - { name: x, check: loss, flow: f, at-most: 1Mbit }\n`, /expected a percentage/);
  await refused(`${base}  - { name: x, check: latency, flow: f, at-most: 5Mbit }\n`, /expected a duration/);
  await refused(`${base}  - { name: x, check: rate, flow: g, at-least: 1Mbit, when: { load: udp } }\n`, /no flow "g"/);
  await refused(
    `${base}  - { name: x, check: rate, capture: "a:e", group: A, at-least: 1Mbit }\n`,
    /nothing is captured at "a:e"/,
    /no interface is labelled tenant=A/,
  );
  await assert.rejects(
    parse(`${base}  - { name: x, check: rate, flow: f, at-least: 1Mbit, when: { load: udp } }\n`, { filter: ['tcp'] }),
    /no target applies/,
  );
  await refused(`${minimal}matrix: { x: { a-b: , a: }, y: { c: , b-c: } }\n`, /two cells of the matrix are called "a-b-c"/);
  await refused(
    `${minimal}capture: [{ at: "a:e" }, { at: "a:e", direction: in }]\n  `.replace('capture', 'capture'),
    /no interface|two captures/,
  );
  await refused(
    `${minimal}  links: [{ endpoints: ["a:e", "b:e"] }]\ntraffic: [{ phase: p, duration: 1500ms, flows: [{ from: a, to: b }] }]\n`,
    /iperf3 sends for whole seconds only, not for 1.5s/,
  );
  await refused('name: t\ntopology: { nodes: { "../x": } }\n', /expected a name such as "b1".*found "..\/x"/);
  await refused('name: t\ntopology: { nodes: { "a\\nlink del lo": } }\n', /control character in the key/);
});

test('fuzz: no text crashes the parser', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.string({ unit: fc.constantFrom('a', ':', ' ', '\n', '-', '{', '}', '[', ']', '&', '*', '"', '$', '!', '|', '?') }),
      ),
      async (text) => {
        await parse(text).catch((error: unknown) => assert.ok(error instanceof NetrigError && error.code !== 'INTERNAL', String(error)));
      },
    ),
    { numRuns: 400 },
  );
});

test('fuzz: no mutation of a valid file crashes the resolver', async () => {
  const valid = {
    name: 't',
    vars: { r: '1Mbit' },
    topology: {
      nodes: { a: {}, b: { kind: 'bridge' } },
      links: [{ endpoints: ['a:e', 'b:e'], rate: '${r}', delay: '1ms', reverse: { loss: '1%' } }],
    },
    traffic: [{ phase: 'p', duration: '1s', flows: [{ from: 'a', to: 'b' }] }],
    capture: [{ at: 'a:e' }],
    targets: [{ name: 'x', check: 'reachability' }],
    matrix: { m: { v: {}, w: { repeat: 2 } } },
    systems: { gatekeeper: { on: ['b'], config: { uplink: 'e', network: 'e', contracts: {} } } },
  };
  const paths: (string | number)[][] = [];
  const walk = (value: unknown, path: (string | number)[]): void => {
    paths.push(path);
    if (value !== null && typeof value === 'object') for (const [key, item] of Object.entries(value)) walk(item, [...path, key]);
  };
  walk(valid, []);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.oneof(fc.jsonValue(), fc.constantFrom('${', '${x}', '${r * 2}', '__proto__', '1e400Mbit', '99999999999s')),
      async (path, replacement) => {
        const copy = structuredClone(valid) as Record<string, unknown>;
        let at: Record<string | number, unknown> = { root: copy };
        for (const key of ['root', ...path].slice(0, -1)) at = at[key] as Record<string | number, unknown>;
        at[['root', ...path].at(-1) as string] = replacement;
        await parse(JSON.stringify((path.length === 0 ? replacement : copy) ?? null), { checkSystems }).catch((error: unknown) =>
          assert.ok(error instanceof NetrigError && error.code !== 'INTERNAL', `${String(error)} ${(error as Error).stack}`),
        );
      },
    ),
    { numRuns: 800 },
  );
});

const wired = `name: t
topology:
  nodes: { "h{1..3}": { labels: { tenant: A } }, sw: { kind: ovs-bridge } }
  links:
    - { endpoints: ["h{1..3}:eth0", "sw:p{1..3}"], labels: { tenant: B } }
`;

test('ranges of names: nodes, links side by side, flows; differing lengths and twins are refused', async () => {
  const lab = await first(`${wired}traffic: [{ phase: p, duration: 1s, flows: [{ name: f, from: "h{1..2}", to: h3 }] }]\n`);
  assert.deepEqual(
    lab.fabric.nodes.map((n) => n.name),
    ['h1', 'h2', 'h3', 'sw'],
  );
  assert.deepEqual(
    lab.fabric.links.map((l) => l.id),
    ['h1:eth0--sw:p1', 'h2:eth0--sw:p2', 'h3:eth0--sw:p3'],
  );
  assert.deepEqual(
    lab.phases[0]?.flows.map((f) => f.name),
    ['f-h1-h3', 'f-h2-h3'],
  );
  assert.equal(lab.fabric.nodes[0]!.interfaces[0]!.labels['tenant'], 'B', "a link's labels override the node's");
  await refused(wired.replace('sw:p{1..3}', 'sw:p{1..2}'), /t\.yaml:5:\d+: the ranges of .* differ in length/);
  await refused(wired.replace('sw: {', '"h{3..4}": , sw: {'), /node "h3" is declared twice/);
  await refused(wired.replace('h{1..3}": {', 'h{3..1}": {'), /ends before it begins/);
  await refused(wired.replace('h{1..3}": {', 'h{1..9999}": {'), /stands for 9999 names/);
});

test('events: expanded, in the order of time; what cannot happen is refused', async () => {
  const phase = (events: string) => `${wired}traffic: [{ phase: p, duration: 3s, events: [${events}] }]\n`;
  const lab = await first(phase('{ at: 2s, down: "h1:eth0", for: 500ms }, { at: 1s, churn: "h{1..2}", every: 400ms, until: 2600ms }'));
  assert.deepEqual(
    lab.phases[0]?.events.map((e) => `${e.atUs / 1e6} ${describeAction(e.what)}`),
    ['1 h1 leaves', '1.4 h2 leaves', '1.8 h1 joins', '2 h1:eth0 down', '2.2 h2 joins', '2.5 h1:eth0 up', '2.6 h1, h2 joins'],
  );
  const request = 'request: { system: s, node: h1, operation: O }';
  for (const bad of ['every: 100ms', 'every: 5ms, until: 2s', 'every: 100ms, until: 9s', 'every: 100ms, until: 500ms'])
    await refused(phase(`{ at: 1s, ${bad}, ${request} }`), /a repeated request needs "every" of at least 10ms/);
  await refused(phase('{ at: 1s, kill: h1 }'), /t\.yaml:6:\d+: no agent runs on "h1"/);
  await refused(phase('{ at: 1s, leave: h9 }'), /unknown node "h9"/);
  await refused(phase('{ at: 1s, leave: sw }'), /only hosts come and go/);
  await refused(phase('{ at: 2900ms, down: "h1:eth0", for: 500ms }'), /does not fit into its phase/);
  await refused(phase('{ at: 1s, down: "h1:eth7", for: 500ms }'), /no link ends at "h1:eth7"/);
  await refused(phase('{ at: 1s, configure: { gatekeeper: { law: paper } } }'), /this cell has no system "gatekeeper"/);
  await refused(phase('{ at: 1s, churn: h1, every: 0ms, until: 2s }'), /churn needs "every" of at least 10ms/);
});

test('a lab without some of its hosts has none of their links', async () => {
  const lab = await first(wired);
  const rest = without(lab, new Set(['h2']));
  assert.deepEqual(
    rest.fabric.nodes.map((n) => n.name),
    ['h1', 'h3', 'sw'],
  );
  assert.equal(rest.fabric.links.length, 2);
  assert.equal(without(lab, new Set()), lab);
});

test('mgen: UDP by itself; bursts and multicast are its own', async () => {
  const flows = (flow: string) => `${wired}traffic: [{ phase: p, duration: 1500ms, flows: [${flow}] }]\n`;
  const lab = await first(
    flows('{ name: f, from: h1, to: h2, tool: mgen, rate: 8Mbit, cast: multicast, burst: { every: 20ms, for: 4ms } }'),
  );
  assert.deepEqual(lab.phases[0]?.flows[0]?.multicast, { group: '239.255.0.1', fromDevice: 'eth0', toDevice: 'eth0' });
  assert.deepEqual(lab.phases[0].flows[0].burst, { everyUs: 20_000, forUs: 4000 });
  await refused(flows('{ from: h1, to: h2, tool: mgen }'), /a UDP flow needs a rate/);
  await refused(flows('{ from: h1, to: h2, tool: mgen, protocol: tcp, rate: 1Mbit }'), /mgen sends UDP/);
  await refused(flows('{ from: h1, to: h2, tool: prober, cast: multicast }'), /"cast" needs tool: mgen/);
});

test('a node with several subnets is reached by the one that both are in', async () => {
  const lab = await first(`name: t
topology:
  nodes: { a: , b: , sw: { kind: bridge } }
  links:
    - { endpoints: [{ node: b, interface: e0, ipv4: 10.1.0.2/24 }, { node: sw, interface: p0 }] }
    - { endpoints: [{ node: b, interface: e1, ipv4: 10.2.0.2/24 }, { node: sw, interface: p1 }] }
    - { endpoints: [{ node: a, interface: e0, ipv4: 10.2.0.1/24 }, { node: sw, interface: p2 }] }
`);
  const [a, b] = lab.fabric.nodes;
  assert.deepEqual(routeBetween(a as LabNode, b as LabNode), { fromDevice: 'e0', toDevice: 'e1', address: '10.2.0.2' });
});
