/** kill -9 at every journal step, and in every stage of a run: `netrig destroy` leaves the machine as it was. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { labState, netrig, scratch, smallLab, startNetrig } from '../support/netrig.ts';

/** Deploys and is killed at a step; false: there was no such step. */
function killedAt(topology: string, fault: string): boolean {
  const { signal, status, stderr } = netrig(['deploy', topology], { NETRIG_FAULT: fault });
  if (signal !== null) return true;
  assert.equal(status, 0, stderr);
  return false;
}

test('kill -9 at every step of a deployment: an orphan, which the next deployment replaces and destroy removes', () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-kill'));
  const before = labState('t-kill');
  let steps = 0;
  for (const edge of ['before', 'after']) {
    for (let step = 1; ; step++) {
      if (!killedAt(topology, `${edge}:${step}`)) {
        // Either all steps were passed, or (after) the step is not the last of its stage and nothing died.
        assert.equal(netrig(['destroy', 't-kill']).status, 0);
        if (edge === 'before' || step > steps) break;
        continue;
      }
      if (edge === 'before') steps = step;
      assert.match(netrig(['inspect']).stdout, /t-kill .*orphaned/);
      if (step % 4 === 0) {
        const second = netrig(['deploy', topology]);
        assert.equal(second.status, 0, `${edge}:${step}: ${second.stderr}`);
        assert.match(second.stderr, /removing lab "t-kill", whose netrig died/);
        assert.match(netrig(['inspect']).stdout, /t-kill .*standing/);
      }
      const destroyed = netrig(['destroy', 't-kill']);
      assert.equal(destroyed.status, 0, `${edge}:${step}: ${destroyed.stderr}`);
      assert.deepEqual(labState('t-kill'), before, `${edge}:${step}`);
    }
  }
  assert.ok(steps >= 15, `only ${steps} steps were journalled`);
});

test('of two deployments that find one orphan, one takes its place and the other is refused', async () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-orphan'));
  const before = labState('t-orphan');
  for (let round = 0; round < 3; round++) {
    assert.ok(killedAt(topology, 'before:12'));
    const both = [startNetrig(['deploy', topology]), startNetrig(['deploy', topology])];
    const codes = await Promise.all(both.map(async (deploy) => (await deploy.exited).code));
    assert.deepEqual(codes.sort(), [0, 4], both.map((deploy) => deploy.output()).join('\n'));
    assert.match(both.map((deploy) => deploy.output()).join('\n'), /LAB_EXISTS/);
    assert.equal(netrig(['exec', 'a', '-l', 't-orphan', '--', 'true']).status, 0, 'the one that is there is whole');
    assert.equal(netrig(['destroy', 't-orphan']).status, 0);
    assert.deepEqual(labState('t-orphan'), before);
  }
});

test('kill -9 at every step of a removal: the next one removes the rest', () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-kill-destroy'));
  const before = labState('t-kill-destroy');
  for (let step = 1; ; step++) {
    assert.equal(netrig(['deploy', topology]).status, 0);
    const { signal, status } = netrig(['destroy', 't-kill-destroy'], { NETRIG_FAULT: `destroy:${step}` });
    if (signal !== null) assert.equal(netrig(['destroy', 't-kill-destroy']).status, 0, `step ${step}`);
    assert.deepEqual(labState('t-kill-destroy'), before, `step ${step}`);
    if (signal !== null) continue;
    assert.equal(status, 0);
    assert.ok(step > 5, `only ${step - 1} steps`);
    break;
  }
});

test('a journal or a record that is cut, damaged or gone: destroy leaves nothing all the same', () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-journal'));
  const before = labState('t-journal');
  const state = join(process.env['NETRIG_STATE_DIR'] ?? '/run/netrig', 't-journal');
  const damages: Readonly<Record<string, () => void>> = {
    'an empty journal': () => truncateSync(join(state, 'journal.jsonl'), 0),
    'a cut journal': () => truncateSync(join(state, 'journal.jsonl'), 700),
    'no journal': () => rmSync(join(state, 'journal.jsonl')),
    'other bytes': () => writeFileSync(join(state, 'journal.jsonl'), Buffer.alloc(5000, '{"at":')),
    'no record': () => rmSync(join(state, 'lab.json')),
    'a cut record': () => truncateSync(join(state, 'lab.json'), 20),
    'an empty folder': () => {
      rmSync(state, { recursive: true });
      mkdirSync(state);
    },
    'no folder': () => rmSync(state, { recursive: true }),
  };
  for (const [what, damage] of Object.entries(damages)) {
    assert.equal(netrig(['deploy', topology]).status, 0, what);
    damage();
    const second = netrig(['deploy', topology]);
    assert.equal(second.status, 4, `${what}: deployed over what is there`);
    assert.match(second.stderr, /LAB_EXISTS.*netrig destroy t-journal/s);
    const destroyed = netrig(['destroy', 't-journal']);
    assert.equal(destroyed.status, 0, `${what}: ${destroyed.stderr}`);
    assert.deepEqual(labState('t-journal'), before, what);
    assert.equal(netrig(['destroy', 't-journal']).status, 2, 'there is nothing of that name any more');
  }
});

test('a lab that stands is not replaced unless that is asked for, and a refused run leaves no folder', () => {
  using files = scratch();
  const topology = files.file('lab.yaml', smallLab('t-stands'));
  const before = labState('t-stands');
  const kept = netrig(['run', topology, '--keep', '--results', join(files.dir, 'kept')]);
  assert.match(kept.stderr, /lab "t-stands" stands: netrig inspect t-stands, .*netrig destroy t-stands/);
  const refused = netrig(['run', topology, '--results', join(files.dir, 'refused')]);
  assert.equal(refused.status, 4);
  assert.match(refused.stderr, /LAB_EXISTS.*--replace/s);
  assert.ok(!existsSync(join(files.dir, 'refused')));
  assert.match(netrig(['deploy', topology, '--replace']).stderr, /lab "t-stands" is replaced/);
  assert.equal(netrig(['destroy', 't-stands']).status, 0);
  assert.deepEqual(labState('t-stands'), before);
});

test('a terminal that is closed says so twice: the lab is removed all the same', async () => {
  using files = scratch();
  const before = labState('t-hup');
  const run = startNetrig(['run', files.file('lab.yaml', smallLab('t-hup')), '--results', files.dir]);
  await run.until('[1/1]');
  run.child.kill('SIGHUP');
  run.child.kill('SIGHUP');
  assert.equal((await run.exited).code, 130, run.output());
  assert.deepEqual(labState('t-hup'), before);
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
