/** Golden tests of the plan: `UPDATE_GOLDEN=1 npm run test:unit` writes them anew; read the difference. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { planDeployment } from '../../src/fabric/plan.ts';
import { burstBytes, netemArguments, shapingLines } from '../../src/fabric/shaping.ts';
import { decodeResults, encodeStage } from '../../src/rig/labs/batch.ts';
import { renderPlan } from '../../src/rig/labs/steps.ts';
import { parseExperiment } from '../../src/topology/load.ts';
import type { Lab } from '../../src/topology/model.ts';
import { ROOT, smallLab } from '../support/netrig.ts';
import { checksOf } from '../../src/systems/registry.ts';

async function plan(text: string, capabilities: { ovsKernel: boolean; netem: boolean }) {
  const lab = (await parseExperiment('t.yaml', text, { checksOf })).cells[0] as Lab;
  return planDeployment({
    lab: lab.name,
    fabric: lab.fabric,
    assignments: {},
    machines: new Map([
      ['local', { containers: { image: 'image', mounts: [] }, capabilities, stateRoot: '/run/netrig', nativeDir: '/native' }],
    ]),
    trunks: new Map(),
  });
}

for (const [name, capabilities] of [
  ['userspace', { ovsKernel: false, netem: false }],
  ['kernel', { ovsKernel: true, netem: true }],
] as const) {
  for (const [title, text] of [
    ['small', smallLab('small')],
    ['gatekeeper-cells', readFileSync(join(ROOT, 'topologies/gatekeeper-cells.yaml'), 'utf8')],
  ] as const) {
    test(`plan of ${title} on a ${name} machine`, async () => {
      const path = join(import.meta.dirname, 'golden', `${title}.${name}.txt`);
      const actual = renderPlan(await plan(text, capabilities));
      if (process.env['UPDATE_GOLDEN']) writeFileSync(path, actual);
      assert.equal(actual, readFileSync(path, 'utf8'));
    });
  }
}

test('planning is deterministic', async () =>
  assert.deepEqual(
    await plan(smallLab('x'), { ovsKernel: false, netem: false }),
    await plan(smallLab('x'), { ovsKernel: false, netem: false }),
  ));

test('bursts are honest: 2 ms of the rate, never under four frames, never over 64 kB', () => {
  assert.equal(burstBytes(1e6), 6056);
  assert.equal(burstBytes(1e8), 25000);
  assert.equal(burstBytes(1e10), 64000);
});

test('netem delays before HTB limits, and the queue is in bytes with either', () => {
  const impairment = { rateBps: 1e8, delayUs: 10000, jitterUs: 0, loss: 0.01, queueBytes: 62500 };
  assert.equal(netemArguments(impairment), 'limit 100000 delay 10000us loss random 1%');
  assert.deepEqual(
    shapingLines('d', impairment, true).map((line) => line.split(' ').slice(4, 9).join(' ')),
    ['root handle 2: netem limit', 'parent 2:1 handle 1: htb', 'parent 1: classid 1:1 htb', 'parent 1:1 handle 10: bfifo'],
  );
  assert.match(shapingLines('d', impairment, false).join('\n'), /root handle 1: htb[\s\S]*parent 1:1 handle 10: bfifo limit 62500/);
});

test('a stage survives the way to nsrun and back', () => {
  const step = (title: string) => ({
    title,
    host: { on: 'node', node: 'a' } as const,
    argv: ['x', 'with blank', 'ünï\nline'],
    stdin: 'in\0put\n',
    env: { K: 'v' },
  });
  const stage = { title: 's', chains: [[step('one'), step('two')], [step('three')]] };
  const encoded = encodeStage(stage.chains, () => 'ns');
  assert.equal(encoded.split('ünï').length, 4);
  assert.throws(() => encodeStage([[{ ...step('four'), argv: ['true', 'x\0y'] }]], () => null), /four: a NUL in "x\\u0000y"/);
  assert.deepEqual(
    decodeResults(stage.chains, '2 0 3\nok\n\n0 1 5\nüxx\n\n').map((r) => [r.step.title, r.status, r.output]),
    [
      ['three', 0, 'ok'],
      ['one', 1, 'üxx'],
    ],
  );
});

test('hosts behind a bridge send real checksums into a segment with an emulated link', async () => {
  const text =
    'name: t\ntopology: { nodes: { a: {}, b: {}, c: {}, br: { kind: bridge } }, links: [{ endpoints: ["a:e", "br:a"], loss: 1% }, { endpoints: ["b:e", "br:b"] }, { endpoints: ["b:f", "c:f"] }] }\n';
  const plain = renderPlan(await plan(text, { ovsKernel: false, netem: false }))
    .split('\n')
    .filter((l) => l.includes('ethtool'));
  assert.deepEqual(
    plain.map((l) => / -K (\S+) tx off/.exec(l)?.[1]),
    ['e', 'e'],
  );
});
