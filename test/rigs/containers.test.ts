/** Nodes in a Docker Engine of netrig's own: the same topologies, and what goes wrong with engines. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import Docker from 'dockerode';
import { Engine } from '../../src/rig/images/docker/engine.ts';
import { ownEngineSocket } from '../../src/rig/images/docker/sockets.ts';
import { NODE_IMAGE } from '../../src/rig/images/docker/image.ts';
import { machineState, netrig, ROOT, smallLab, startNetrig } from '../support/netrig.ts';
import { containersImpossible, testRig, verdictsOf } from '../support/rigs.ts';

const dir = mkdtempSync(join(tmpdir(), 'netrig-containers-'));
const rig = testRig(dir, 'containers', 't-containers');
const clean = machineState();
const lacking = containersImpossible();
const started = lacking === undefined ? rig.up() : undefined;
// An engine that this kernel does not let start is the machine's limit, and said; anything else is a failure.
const impossible = lacking ?? (started?.stderr.includes('the Docker Engine does not start') ? started.stderr.trim() : undefined);
if (impossible) process.stdout.write(`containers cannot run here: ${impossible}\n`);

const labTest = impossible ? test.skip : test;
const topology = (name: string, change: (text: string) => string = (text) => text) => {
  const file = join(dir, `${name}.yaml`);
  writeFileSync(file, change(smallLab(name)));
  return file;
};
const on = (...args: string[]) => [...args, '--on', rig.file];
const containers = async () => (await new Docker({ socketPath: ownEngineSocket() }).listContainers({ all: true })).flatMap((c) => c.Names);
let up: unknown;

test.before(() => {
  assert.equal(started?.status, 0, started?.stderr);
  up = machineState();
});
test.after.always(() => {
  netrig(['destroy', '--all', '--force']);
  rig.down();
  rmSync(dir, { recursive: true, force: true });
});

// One failure must not make the next.
test.afterEach.always(() => {
  netrig(['destroy', '--all', '--force'], {}, 60_000);
});

labTest("nodes are containers on the rig's Open vSwitch; exec, streams and statuses are true", async () => {
  const { status, stderr } = netrig(on('deploy', topology('t-c')), {}, 120_000);
  assert.equal(status, 0, stderr);
  assert.deepEqual((await containers()).sort(), ['/nr.t-c.a', '/nr.t-c.b']);
  const inside = netrig(['exec', 'a', '--', 'sh', '-c', 'hostname; ip -br addr; exit 7']);
  assert.equal(inside.status, 7, inside.stderr);
  assert.match(inside.stdout, /^a\n[\s\S]*eth1@\S+\s+UP\s+10\.64\.0\.1\/24/);
  const engine = new Engine(ownEngineSocket());
  const child = engine.spawn('nr.t-c.a', ['sh', '-c', 'echo out; echo err >&2; read x; echo got $x; exit 5']);
  const said = { out: '', err: '' };
  child.stdout.on('data', (d: Buffer) => {
    said.out += String(d);
  });
  child.stderr.on('data', (d: Buffer) => {
    said.err += String(d);
  });
  child.stdin.end('word\n');
  assert.deepEqual(await child.exited, { code: 5, signal: null });
  assert.deepEqual(said, { out: 'out\ngot word\n', err: 'err\n' }, 'streams are told apart');
  const sleeping = engine.spawn('nr.t-c.a', ['sleep', '100']);
  sleeping.kill('SIGTERM');
  assert.deepEqual(await sleeping.exited, { code: null, signal: 'SIGTERM' });
  const missing = engine.spawn('nr.t-c.a', ['no-such-program']);
  assert.equal((await missing.exited).code, 127);
  assert.equal(netrig(['destroy', 't-c'], {}, 60_000).status, 0);
  assert.deepEqual(await containers(), []);
  assert.deepEqual(machineState(), up);
});

labTest("a run has its verdict, a command of the topology that fails is the deployment's failure", async () => {
  const { status, stderr, stdout } = netrig(on('run', topology('t-c-run'), '--results', dir), {}, 120_000);
  assert.equal(status, 0, stderr + stdout);
  const failing = netrig(
    on(
      'deploy',
      topology('t-c-fail', (text) => text.replace('"ip link show"', '"false"')),
    ),
    {},
    60_000,
  );
  assert.equal(failing.status, 4);
  assert.match(failing.stderr, /false \(exit 1\)/);
  assert.deepEqual(await containers(), []);
  assert.deepEqual(machineState(), up);
});

labTest('a missing image and a missing engine say what to do', () => {
  const other = join(dir, 'other.yaml');
  writeFileSync(
    other,
    `name: other\nhosts: { here: { local: true, carries: containers, engine: ${ownEngineSocket()}, image: "no/such:1" } }\n`,
  );
  const missing = netrig(['deploy', topology('t-c-image'), '--on', other]);
  assert.equal(missing.status, 4);
  assert.match(missing.stderr, /CAPABILITY_MISSING.*no image no\/such:1[\s\S]*docker pull/);
  writeFileSync(other, 'name: other\nhosts: { here: { local: true, carries: containers, engine: /nowhere.sock } }\n');
  assert.match(netrig(['deploy', topology('t-c-image'), '--on', other]).stderr, /CAPABILITY_MISSING.*no Docker Engine answers/);
  assert.deepEqual(machineState(), up);
});

labTest('an image that cannot be built is a failure, and leaves nothing that looks like one', () => {
  const cache = join(dir, 'cache');
  const broken = netrig(
    ['image', 'build', rig.file],
    { NETRIG_CACHE_DIR: cache, PATH: `${fakeMmdebstrap(dir)}:${process.env['PATH']}` },
    60_000,
  );
  // The engine has the image already: nothing to do, and nothing done.
  assert.equal(broken.status, 0, broken.stderr);
  const engine = new Docker({ socketPath: ownEngineSocket() });
  return engine
    .getImage(NODE_IMAGE)
    .remove({ force: true })
    .then(async () => {
      const failed = netrig(
        ['image', 'build', rig.file],
        { NETRIG_CACHE_DIR: cache, PATH: `${fakeMmdebstrap(dir)}:${process.env['PATH']}` },
        60_000,
      );
      assert.equal(failed.status, 4);
      assert.match(failed.stderr, /cannot be built: mmdebstrap ends with 25: E: no such package/);
      assert.equal(await new Engine(ownEngineSocket()).hasImage(NODE_IMAGE), false);
      assert.equal(netrig(['image', 'build', rig.file], {}, 240_000).status, 0, 'built again, from the cache');
    });
});

labTest('kill -9 of a deployment at any step: destroy leaves neither containers nor namespaces', async () => {
  const file = topology('t-c-kill');
  for (const step of ['before:1', 'before:2', 'after:2', 'before:3', 'after:3', 'before:7']) {
    assert.equal(netrig(on('deploy', file), { NETRIG_FAULT: step }, 60_000).signal, 'SIGKILL', step);
    const { status, stderr } = netrig(['destroy', 't-c-kill'], {}, 60_000);
    assert.equal(status, 0, stderr);
    assert.deepEqual(await containers(), [], step);
    assert.deepEqual(machineState(), up, step);
  }
});

labTest('the engine restarted in mid-run: voided with the reason, and nothing left', async () => {
  const going = startNetrig(
    on(
      'run',
      topology('t-c-restart', (text) => text.replace('duration: 3s', 'duration: 12s')),
      '--results',
      dir,
    ),
  );
  await going.until('✓ linktest', 60_000);
  await sleep(4000);
  const pid = Number(readFileSync(join(ownEngineSocket(), '../docker.pid'), 'utf8'));
  process.kill(pid, 'SIGTERM');
  while (existsSync(`/proc/${pid}/root`)) await sleep(50);
  assert.equal(rig.up().status, 0, 'it is started again');
  const { code } = await going.exited;
  assert.ok(code === 3 || code === 4, going.output());
  assert.match(verdictsOf(going.output())[0]?.reason ?? '', /did not end|reported nothing|ended before|lost|exited|control socket/);
  netrig(['destroy', '--all', '--force'], {}, 60_000);
  assert.deepEqual(await containers(), []);
  assert.deepEqual(machineState(), up);
});

labTest('the Gatekeeper experiment has the verdicts that it has in namespaces', () => {
  const { status, stdout, stderr } = netrig(
    on('run', join(ROOT, 'topologies/gatekeeper-cells.yaml'), '--filter', 'rx', '--filter', 'udp', '--results', dir),
    {},
    240_000,
  );
  assert.ok(status === 0 || status === 3, `${status}\n${stderr}\n${stdout}`);
  const verdicts = verdictsOf(stdout);
  for (const v of verdicts.filter((v) => v.outcome !== 'pass'))
    process.stdout.write(`${v.outcome}: ${v.cell} ${v.target}: ${v.measured} (${v.reason})\n`);
  assert.deepEqual(
    verdicts.filter((v) => v.outcome === 'fail'),
    [],
  );
  assert.ok(verdicts.filter((v) => v.outcome === 'pass').length >= 6, stdout);
  assert.deepEqual(machineState(), up);
});

labTest('down: the engine is gone, the machine is as it was', () => {
  assert.equal(rig.down().status, 0);
  assert.deepEqual(machineState(), clean);
  assert.match(rig.down().stdout, /was not up/);
});

/** A build that fails, as a mirror that is away would make it. */
function fakeMmdebstrap(dir: string): string {
  const bin = join(dir, 'bin');
  spawnSync('mkdir', ['-p', bin]);
  writeFileSync(join(bin, 'mmdebstrap'), '#!/bin/sh\necho "E: no such package" >&2\nexit 25\n', { mode: 0o755 });
  return bin;
}
