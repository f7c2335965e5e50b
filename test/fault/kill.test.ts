/** kill -9 at every journal step, and in every stage of a run: `netrig destroy` leaves the machine as it was. */
import assert from 'node:assert/strict';
import test from 'ava';
import { labState, netrig, scratch, smallLab, startNetrig } from '../support/netrig.ts';

test('kill -9 at every step of a deployment, then destroy, leaves nothing', () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-kill'));
  const before = labState('t-kill');
  let steps = 0;
  for (const edge of ['before', 'after']) {
    for (let step = 1; ; step++) {
      const { signal, status, stderr } = netrig(['deploy', topology], { NETRIG_FAULT: `${edge}:${step}` });
      if (signal === null) {
        // Either all steps were passed, or (after) the step is not the last of its stage and nothing died.
        assert.equal(status, 0, stderr);
        assert.equal(netrig(['destroy', 't-kill']).status, 0);
        if (edge === 'before' || step > steps) break;
        continue;
      }
      if (edge === 'before') steps = step;
      const second = netrig(['deploy', topology]);
      assert.equal(second.status, 4, 'a dead lab blocks its name');
      assert.match(second.stderr, /LAB_EXISTS.*netrig destroy t-kill/s);
      const destroyed = netrig(['destroy', 't-kill']);
      assert.equal(destroyed.status, 0, `${edge}:${step}: ${destroyed.stderr}`);
      assert.deepEqual(labState('t-kill'), before, `${edge}:${step}`);
    }
  }
  assert.ok(steps >= 15, `only ${steps} steps were journalled`);
});

for (const moment of ['✓ deploy', '[1/1]', '✓ linktest']) {
  test(`kill -9 of a run after "${moment}": destroy leaves nothing, evidence stays`, async () => {
    using files = scratch();
    const topology = files.file('lab.yaml', smallLab('t-kill-run'));
    const before = labState('t-kill-run');
    const run = startNetrig(['run', topology, '--results', files.dir]);
    await run.until(moment);
    run.child.kill('SIGKILL');
    await run.exited;
    assert.equal(netrig(['destroy', 't-kill-run']).status, 0);
    assert.deepEqual(labState('t-kill-run'), before);
    const results = /evidence in (\S+)/.exec(run.output())?.[1] ?? '';
    const report = netrig(['report', results]);
    assert.equal(report.status, 3, `a run that was cut short is inconclusive, not ${report.status}: ${report.stderr}`);
  });
}

test('SIGKILL at arbitrary moments of a deployment leaves nothing after destroy', async () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-kill-any'));
  const before = labState('t-kill-any');
  for (const delayMs of [350, 400, 450, 500, 550, 600, 700]) {
    const deploy = startNetrig(['deploy', topology]);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    deploy.child.kill('SIGKILL');
    await deploy.exited;
    const { status, stderr } = netrig(['destroy', 't-kill-any']);
    // It may have died before there was anything.
    assert.ok(status === 0 || /LAB_UNKNOWN/.test(stderr), stderr);
    assert.deepEqual(labState('t-kill-any'), before, `${delayMs} ms`);
  }
});

test('Ctrl-C stops, tears down, keeps the evidence and exits with 130', async () => {
  using files = scratch();
  const before = labState('t-int');
  const run = startNetrig(['run', files.file('lab.yaml', smallLab('t-int')), '--results', files.dir]);
  await run.until('[1/1]');
  run.child.kill('SIGINT');
  assert.equal((await run.exited).code, 130, run.output());
  assert.match(run.output(), /INTERRUPTED/);
  assert.deepEqual(labState('t-int'), before);
});
