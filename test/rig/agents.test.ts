/** Agents under supervision: crashes are recorded, void the run or are restarted, and leave no trace in the node. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'ava';
import { twoServers } from '../support/gatekeeper.ts';
import { until } from '../support/until.ts';
import { labProcesses, labState, netrig, resultsOf, scratch, startNetrig } from '../support/netrig.ts';
import { readPart } from '../../src/evidence/parts.ts';

const topology = (crash: 'void' | 'restart') =>
  twoServers({
    name: 't-agents',
    crash,
    traffic: ['{ phase: p, duration: 4s, flows: [{ name: f, from: a1, to: a0, rate: 18Mbit, protocol: udp }] }'],
    targets: ['{ name: "R4-3 the maximum holds", check: rate, flow: f, at-most: 10200kbit, from: 1s }'],
  });
const agentPids = () => labProcesses('t-agents', 'gatekeeper.cjs').map((p) => p.pid);
/** Of events in JSON lines. */
const TRAFFIC = '"type":"stage-started","stage":"traffic p"';

test('R4-3 a maximum holds; agents leave no qdisc, table or flow behind', async () => {
  using files = scratch();
  const run = startNetrig(['run', files.file('lab.yaml', topology('void')), '--results', files.dir, '--keep']);
  assert.equal((await run.exited).code, 0, run.output());
  const inNode = (...argv: string[]) => netrig(['exec', 's1', '--', ...argv]).stdout;
  assert.doesNotMatch(inNode('tc', 'qdisc', 'show', 'dev', 'up'), /htb/);
  assert.equal(inNode('nft', 'list', 'tables').trim(), '');
  const agents = await readPart(join(resultsOf(run.output()), 'cells/run/r1'), 'agents');
  assert.ok((agents.find((a) => a.node === 's1')?.counters['limitersCreated'] ?? 0) >= 1, 'the excess was limited');
  assert.equal(
    agents.reduce((sum, a) => sum + (a.counters['channelErrors'] ?? 0), 0),
    0,
  );
  assert.equal(netrig(['destroy', 't-agents']).status, 0);
});

test('a crash voids the run, with the reason', async () => {
  using files = scratch();
  const clean = labState('t-agents');
  const run = startNetrig(['run', files.file('lab.yaml', topology('void')), '--results', files.dir, '--json']);
  await run.until(TRAFFIC);
  process.kill(agentPids()[0] as number, 'SIGKILL');
  assert.equal((await run.exited).code, 3, run.output());
  assert.match(run.output(), /agent gatekeeper on s\d exited \(SIGKILL\)/);
  assert.deepEqual(labState('t-agents'), clean);
});

test('R4-16 a sending agent is killed: its limits rule until another one is there, which clears them', async () => {
  using files = scratch();
  const flood = '{ phase: p, duration: 20s, flows: [{ name: f, from: a1, to: a0, rate: 18Mbit, tool: mgen, duration: 6s }] }';
  const text = twoServers({
    name: 't-agents',
    crash: 'restart',
    traffic: [flood],
    targets: ['{ name: "R4-16 agents are there", check: counter, system: gatekeeper, counter: channelErrors, at-most: 0 }'],
  });
  const run = startNetrig(['run', files.file('lab.yaml', text), '--results', files.dir, '--json']);
  await run.until(TRAFFIC);
  const limiters = () => {
    const { status, stdout } = netrig(['exec', 's1', '-l', 't-agents', '--', 'tc', 'class', 'show', 'dev', 'up']);
    assert.equal(status, 0, 'the lab stands');
    return [...stdout.matchAll(/class htb 1:([0-9a-f]+) /g)].filter(([, minor]) => Number.parseInt(minor as string, 16) >= 0x1000).length;
  };
  await until(() => limiters() === 1, 'the excess is limited');
  const before = agentPids();
  for (const pid of before) process.kill(pid, 'SIGKILL');
  await until(() => agentPids().length === before.length && agentPids().every((pid) => !before.includes(pid)), 'other agents are there');
  await until(() => limiters() === 0, 'no limiter is left once the flood is over');
  const { code } = await run.exited;
  assert.equal(code, 0, run.output());
  const results = /"results":"([^"]+)"/.exec(run.output())?.[1] ?? '';
  const agents = await readPart(join(results, 'cells/run/r1'), 'agents');
  assert.deepEqual(
    agents.map((a) => a.crashes.length),
    [1, 1],
  );
});
