/** Agents under supervision: crashes are recorded, void the run or are restarted, and leave no trace in the node. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { machineState, netrig, scratch, startNetrig } from '../support/netrig.ts';

const topology = (crash: 'void' | 'restart') => `
name: t-agents
saturation: 100%
topology:
  nodes:
    s0: { kind: ovs-bridge, interfaces: { prov: { address: auto } } }
    s1: { kind: ovs-bridge, interfaces: { prov: { address: auto } } }
    core: { kind: bridge }
    provider: { kind: bridge }
    a0: { labels: { tenant: A } }
    a1: { labels: { tenant: A } }
  links:
    - { endpoints: ["s0:up", "core:s0"], rate: 20Mbit }
    - { endpoints: ["s1:up", "core:s1"], rate: 20Mbit }
    - { endpoints: ["s0:prov", "provider:s0"] }
    - { endpoints: ["s1:prov", "provider:s1"] }
    - { endpoints: ["a0:e", "s0:a0"] }
    - { endpoints: ["a1:e", "s1:a1"] }
systems:
  gatekeeper:
    on: [s0, s1]
    crash: ${crash}
    config: { uplink: up, network: prov, contracts: { A: { min: 50%, max: 50% } }, limiter-timeout: 300ms, counter-timeout: 1s }
traffic:
  - { phase: p, duration: 4s, flows: [{ name: f, from: a1, to: a0, rate: 18Mbit, protocol: udp }] }
targets:
  - { name: "R4-3 the maximum holds", check: rate, flow: f, at-most: 10200kbit, from: 1s }
`;
const agentPids = () => execFileSync('pgrep', ['-f', 'build/gatekeeper.cjs'], { encoding: 'utf8' }).trim().split('\n').map(Number);
const results = (output: string) => /evidence in (\S+)/.exec(output)?.[1] ?? '';

test('R4-3 a maximum holds; agents leave no qdisc, table or flow behind', async () => {
  using files = scratch();
  const run = startNetrig(['run', files.file('lab.yaml', topology('void')), '--results', files.dir, '--keep']);
  assert.equal((await run.exited).code, 0, run.output());
  const inNode = (...argv: string[]) => netrig(['exec', 's1', '--', ...argv]).stdout;
  assert.doesNotMatch(inNode('tc', 'qdisc', 'show', 'dev', 'up'), /htb/);
  assert.equal(inNode('nft', 'list', 'tables').trim(), '');
  const agents = JSON.parse(readFileSync(join(results(run.output()), 'cells/run/r1/agents.json'), 'utf8')) as { node: string; counters: Record<string, number> }[];
  assert.ok((agents.find((a) => a.node === 's1')?.counters['limitersCreated'] ?? 0) >= 1, 'the excess was limited');
  assert.equal(agents.reduce((sum, a) => sum + (a.counters['channelErrors'] ?? 0), 0), 0);
  assert.equal(netrig(['destroy', 't-agents']).status, 0);
});

test('a crash voids the run, with the reason', async () => {
  using files = scratch();
  const clean = machineState();
  const run = startNetrig(['run', files.file('lab.yaml', topology('void')), '--results', files.dir]);
  await run.until('✓ agents');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  process.kill(agentPids()[0] as number, 'SIGKILL');
  assert.equal((await run.exited).code, 3, run.output());
  assert.match(run.output(), /agent gatekeeper on s\d exited \(SIGKILL\)/);
  assert.deepEqual(machineState(), clean);
});

test('R4-16 a crash with restart is recorded, the new agent clears what the old one left', async () => {
  using files = scratch();
  const run = startNetrig(['run', files.file('lab.yaml', topology('restart')), '--results', files.dir]);
  await run.until('✓ agents');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  for (const pid of agentPids()) process.kill(pid, 'SIGKILL');
  const { code } = await run.exited;
  assert.ok(code === 0 || code === 3, `${code}: ${run.output()}`);
  const agents = JSON.parse(readFileSync(join(results(run.output()), 'cells/run/r1/agents.json'), 'utf8')) as { crashes: unknown[]; counters: Record<string, number> }[];
  assert.deepEqual(agents.map((a) => a.crashes.length), [1, 1]);
  assert.ok(agents.every((a) => (a.counters['periods'] ?? 0) > 50), 'the restarted agents worked');
});
