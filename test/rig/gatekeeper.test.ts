/** Gatekeeper's state in the kernel, and its feedback channel under attack, while traffic runs. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'ava';
import { emptyHeaders, readHeaders } from '../../src/capture/headers.ts';
import { readCapture } from '../../src/capture/reader.ts';
import { twoServers } from '../support/gatekeeper.ts';
import { until } from '../support/until.ts';
import { labState, netrig, resultsOf, scratch, startNetrig } from '../support/netrig.ts';
import { readPart } from '../../src/evidence/parts.ts';

const FEEDBACK_PORT = 5789;

const topology = twoServers({
  name: 't-gatekeeper',
  nodes: ['rogue: {}'],
  links: ['{ endpoints: ["rogue:eth0", "provider:rogue"] }'],
  traffic: [
    '{ phase: flood, duration: 12s, flows: [{ name: f, from: a1, to: a0, rate: 18Mbit, tool: mgen }] }',
    '{ phase: quiet, duration: 12s }',
  ],
  targets: ['{ name: "R4-3 the maximum holds", check: rate, flow: f, phase: flood, at-most: 10200kbit, from: 1s }'],
});
function inNode(node: string, ...argv: string[]): string {
  const { status, stdout, stderr } = netrig(['exec', node, '-l', 't-gatekeeper', '--', ...argv]);
  assert.equal(status, 0, `${node}: ${argv.join(' ')}: ${stderr}`);
  return stdout;
}
/** Classes of dynamic limiters: those numbered above every vNIC's. */
const limiters = () =>
  [...inNode('s1', 'tc', 'class', 'show', 'dev', 'up').matchAll(/class htb 1:([0-9a-f]+) /g)].filter(
    ([, minor]) => Number.parseInt(minor ?? '', 16) >= 0x1000,
  ).length;
const elements = (set: string) => inNode('s0', 'nft', 'list', 'set', 'netdev', 'gatekeeper', set).includes('elements');
const address = (node: string) =>
  /inet ([0-9.]+)/.exec(inNode(node, 'ip', '-4', 'addr', 'show', 'dev', node === 'rogue' ? 'eth0' : 'prov'))?.[1] ?? '';

/** Payloads of authentic feedback of s0 to s1, as somebody on the provider's network may have recorded them. */
function recordFeedback(file: string): Buffer[] {
  inNode('provider', 'tcpdump', '-c', '6', '-i', 's1', '-w', file, '-U', '-n', 'udp', 'and', 'dst', 'port', String(FEEDBACK_PORT));
  const payloads: Buffer[] = [];
  const headers = emptyHeaders();
  readCapture(file, (packet) => {
    if (readHeaders(packet, headers))
      payloads.push(Buffer.from(packet.data.subarray(packet.offset + 14 + 20 + 8, packet.offset + packet.captured)));
  });
  return payloads;
}

test('R4-11 limiters and counters come and go with traffic; R4-15 forged and replayed feedback changes nothing and is counted', async () => {
  using files = scratch();
  const clean = labState('t-gatekeeper');
  const run = startNetrig(['run', files.file('lab.yaml', topology), '--results', files.dir]);
  await run.until('✓ agents');
  await until(() => limiters() === 1 && elements('pairs'), 'the excess is counted and limited');

  const recorded = recordFeedback(join(files.dir, 'feedback.pcap'));
  assert.ok(recorded.length > 3, `${recorded.length} messages recorded`);
  const forged = recorded.map((payload) => {
    const changed = Buffer.from(payload);
    changed[changed.length - 20]! ^= 0xff; // in the last entry
    return changed;
  });
  const send = `const s=require('node:dgram').createSocket('udp4');const m=${JSON.stringify([...recorded, ...forged].map((b) => b.toString('hex')))};let n=0;for(const h of m)s.send(Buffer.from(h,'hex'),${FEEDBACK_PORT},'${address('s1')}',()=>{if(++n===m.length)s.close()})`;
  assert.equal(netrig(['exec', 'rogue', '-l', 't-gatekeeper', '--', process.execPath, '-e', send]).status, 0);

  await run.until('✓ traffic flood');
  await until(() => limiters() === 0 && !elements('pairs'), 'no limiter is left in the tree, and no counter');
  assert.equal((await run.exited).code, 0, run.output());
  const agents = await readPart(join(resultsOf(run.output()), 'cells/run/r1'), 'agents');
  const s1 = agents.find((a) => a.node === 's1')?.counters ?? {};
  assert.equal(s1['feedbackRejected'], forged.length, 'every forged message is counted');
  assert.equal(s1['feedbackReplayed'], recorded.length, 'every replayed message is counted');
  assert.equal(s1['channelErrors'], 0);
  assert.deepEqual(labState('t-gatekeeper'), clean);
});

test('R4-12 an inadmissible placement is refused, before the run and by an event during it, with the place; nothing is changed', () => {
  using files = scratch();
  const clean = labState('t-gatekeeper');
  const greedy = netrig(['run', files.file('greedy.yaml', topology.replace('min: 50%, max: 50%', 'min: 101%'))]);
  assert.equal(greedy.status, 2);
  assert.match(greedy.stderr, /greedy\.yaml:\d+:\d+: admission refused on s0: a0:e 20\.2Mbit exceed the uplink of 20Mbit by 200kbit/);
  const later = netrig([
    'run',
    files.file(
      'later.yaml',
      topology.replace(
        'tool: mgen }] }',
        'tool: mgen }], events: [{ at: 1s, configure: { gatekeeper: { contracts: { A: { min: 120%, max: null } } } } }] }',
      ),
    ),
  ]);
  assert.equal(later.status, 2);
  assert.match(later.stderr, /after the event at 1s: admission refused on s0/);
  assert.deepEqual(labState('t-gatekeeper'), clean);
});
