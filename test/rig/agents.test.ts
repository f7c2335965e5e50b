/** Agents under supervision: crashes are recorded, void the run or are restarted, and leave no trace in the node. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { twoServers } from '../support/gatekeeper.ts';
import { machineState, netrig, resultsOf, scratch, startNetrig } from '../support/netrig.ts';

const topology = (crash: 'void' | 'restart') => twoServers({
  name: 't-agents', crash,
  traffic: ['{ phase: p, duration: 4s, flows: [{ name: f, from: a1, to: a0, rate: 18Mbit, protocol: udp }] }'],
  targets: ['{ name: "R4-3 the maximum holds", check: rate, flow: f, at-most: 10200kbit, from: 1s }'],
});
const agentPids = () => execFileSync('pgrep', ['-f', 'build/gatekeeper.cjs'], { encoding: 'utf8' }).trim().split('\n').map(Number);

test('R4-3 a maximum holds; agents leave no qdisc, table or flow behind', async () => {
  using files = scratch();
  const run = startNetrig(['run', files.file('lab.yaml', topology('void')), '--results', files.dir, '--keep']);
  assert.equal((await run.exited).code, 0, run.output());
  const inNode = (...argv: string[]) => netrig(['exec', 's1', '--', ...argv]).stdout;
  assert.doesNotMatch(inNode('tc', 'qdisc', 'show', 'dev', 'up'), /htb/);
  assert.equal(inNode('nft', 'list', 'tables').trim(), '');
  const agents = JSON.parse(readFileSync(join(resultsOf(run.output()), 'cells/run/r1/agents.json'), 'utf8')) as { node: string; counters: Record<string, number> }[];
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
  const agents = JSON.parse(readFileSync(join(resultsOf(run.output()), 'cells/run/r1/agents.json'), 'utf8')) as { crashes: unknown[]; counters: Record<string, number> }[];
  assert.deepEqual(agents.map((a) => a.crashes.length), [1, 1]);
  assert.ok(agents.every((a) => (a.counters['periods'] ?? 0) > 50), 'the restarted agents worked');
});
