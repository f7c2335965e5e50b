/** Labs on this machine, through the command line. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { probeNamespace, sweepProbes } from '../../src/rig/labs/probes.ts';
import { labState, netrig, scratch, smallLab, startNetrig } from '../support/netrig.ts';

const files = scratch();
let clean: unknown;
test.before(() => {
  clean = labState('t-lab');
  const { status, stderr } = netrig(['deploy', files.file('lab.yaml', smallLab('t-lab'))]);
  assert.equal(status, 0, stderr);
});
test.after.always(() => {
  for (const lab of ['t-lab', 't-other', 't-refused', 't-fail', 't-exit', 't-again', 't-full']) netrig(['destroy', lab]);
  files[Symbol.dispose]();
});

test('carries packets between its nodes, and nowhere else', () => {
  const { status, stdout, stderr } = netrig(['exec', 'a', '-l', 't-lab', '--', 'ip', '-br', 'addr']);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /eth1@\S+\s+UP\s+10\.64\.0\.1\/24/);
  assert.doesNotMatch(stdout, /eth0/);
});
test('exec passes the exit status on', () => assert.equal(netrig(['exec', 'a', '-l', 't-lab', '--', 'sh', '-c', 'exit 7']).status, 7));
test('a node that is not there is refused with a suggestion', () => {
  const { status, stderr } = netrig(['exec', 'sv', '-l', 't-lab', '--', 'true']);
  assert.equal(status, 2);
  assert.match(stderr, /did you mean "sw"/);
});
test('its name is taken', () => {
  const { status, stderr } = netrig(['deploy', join(files.dir, 'lab.yaml')]);
  assert.equal(status, 4);
  assert.match(stderr, /lab "t-lab" exists already/);
});
test('a second lab stands beside it, and goes alone', () => {
  assert.equal(netrig(['deploy', join(files.dir, 'lab.yaml'), '--name', 't-other']).status, 0);
  const labs = JSON.parse(netrig(['inspect', '--json']).stdout) as { lab: string }[];
  assert.deepEqual(
    labs
      .map((l) => l.lab)
      .filter((lab) => lab === 't-lab' || lab === 't-other')
      .sort(),
    ['t-lab', 't-other'],
  );
  assert.equal(netrig(['exec', 'a', '--', 'true']).status, 2, 'with two labs, exec must be told which');
  assert.equal(netrig(['destroy', 't-other']).status, 0);
  assert.equal(netrig(['exec', 'a', '-l', 't-lab', '--', 'true']).status, 0);
});
test('inspect shows nodes and addresses', () =>
  assert.match(netrig(['inspect', 't-lab']).stdout, /local\s+nr\.t-lab\.a\s+eth1\s+10\.64\.0\.1\/24/));
test('capture shows packets decoded, with rates, and refuses a wrong filter', async () => {
  const capture = startNetrig(['capture', 'b:eth1', '-l', 't-lab', '-c', '2', '--', 'udp port 9']);
  await capture.until('listening on');
  for (let i = 0; i < 2; i++) netrig(['exec', 'a', '-l', 't-lab', '--', 'bash', '-c', 'echo x > /dev/udp/10.64.0.2/9']);
  const { code } = await capture.exited;
  assert.equal(code, 0, capture.output());
  assert.equal(
    [...capture.output().matchAll(/^\d\d:\d\d:\d\d\.\d{6}  .*IPv4 10\.64\.0\.1 -> 10\.64\.0\.2 .*UDP \d+->9 len 10  44 bytes$/gm)].length,
    2,
    capture.output(),
  );
  const { status, stderr } = netrig(['capture', 'b:eth1', '-l', 't-lab', '--', 'udp prt 9']);
  assert.equal(status, 2);
  assert.match(stderr, /"udp prt 9": can't parse filter expression/);
});
test('capture writes packets', async () => {
  const path = join(files.dir, 'live.pcap');
  const capture = startNetrig(['capture', 'b:eth1', '-l', 't-lab', '-w', path, '-c', '1']);
  await capture.until('listening on');
  // Resolving a neighbour sends at least one frame, whoever answers.
  netrig([
    'exec',
    'a',
    '-l',
    't-lab',
    '--',
    'sh',
    '-c',
    'echo x > /dev/udp/10.64.0.2/9 || ip neigh add 10.64.0.9 dev eth1 nud probe; true',
  ]);
  netrig(['exec', 'b', '-l', 't-lab', '--', 'ip', 'neigh', 'replace', '10.64.0.1', 'dev', 'eth1', 'nud', 'probe']);
  netrig(['exec', 'a', '-l', 't-lab', '--', 'bash', '-c', 'echo x > /dev/udp/10.64.0.2/9']);
  await capture.exited;
  assert.equal(readFileSync(path).readUInt32LE(0), 0xa1b23c4d, 'nanosecond pcap');
});
test('destroy leaves the machine as it was', () => {
  assert.equal(netrig(['destroy', 't-lab']).status, 0);
  assert.deepEqual(labState('t-lab'), clean);
  assert.equal(netrig(['destroy', 't-lab']).status, 2, 'destroying nothing is an error');
  for (const name of ['', '..', '../run', 'a/b']) assert.equal(netrig(['destroy', name]).status, 2, `"${name}" is no lab`);
});

test('a link that is not what the file declares is refused with the figures, and nothing is left', () => {
  using files = scratch();
  const clean = labState('t-refused');
  const topology = (exec: string) =>
    files.file(
      'lab.yaml',
      `
name: t-refused
topology:
  nodes:
    a: { exec: [${exec}] }
    b:
  links: [{ endpoints: ["a:e", "b:e"], delay: 3ms, rate: 50Mbit }]
`,
    );
  const honest = netrig(['run', topology(''), '--results', files.dir]);
  assert.equal(honest.status, 3, honest.stderr); // it has no targets
  // Somebody throttles the sender behind netrig's back.
  const { status, stderr } = netrig([
    'run',
    topology('"tc qdisc add dev e root tbf rate 20mbit burst 5kb limit 30kb"'),
    '--results',
    files.dir,
  ]);
  assert.equal(status, 4);
  assert.match(stderr, /LINK_OUT_OF_TOLERANCE.*a:e -> b:e: rate (19|20)\S*Mbit, declared 50Mbit/s);
  assert.deepEqual(labState('t-refused'), clean);
});

test('a probe that was killed is in nobody’s way, also of a process with its number, and is swept away', async () => {
  const left = [`nr.+probe.${process.pid}`, `nr.+probe.${process.pid}.1`];
  for (const name of left) execFileSync('ip', ['netns', 'add', name]);
  const own = probeNamespace('probe');
  execFileSync('ip', ['netns', 'add', own]);
  try {
    const swept = await sweepProbes();
    for (const name of left) assert.ok(swept.includes(name), name);
    assert.ok(!swept.includes(own), 'one whose process lives stays');
  } finally {
    execFileSync('ip', ['netns', 'del', own]);
  }
});

test('a failing step names itself, and nothing is left', () => {
  using files = scratch();
  const clean = labState('t-fail');
  const { status, stderr } = netrig(['deploy', files.file('lab.yaml', 'name: t-fail\ntopology: { nodes: { a: { exec: ["false"] } } }\n')]);
  assert.equal(status, 4);
  assert.match(stderr, /STEP_FAILED.*exec of the topology on a: false \(exit 1\)/s);
  assert.deepEqual(labState('t-fail'), clean);
});

test('a missing program is a missing capability', () => {
  using files = scratch();
  const { status, stderr } = netrig([
    'deploy',
    files.file('lab.yaml', 'name: t-fail\ntopology: { nodes: { a: { exec: ["no-such-program"] } } }\n'),
  ]);
  assert.equal(status, 4);
  assert.match(stderr, /CAPABILITY_MISSING.*no-such-program/s);
});

test('exit statuses tell met, missed, inconclusive and a bad file apart', () => {
  using files = scratch();
  const run = (name: string, target: string) =>
    netrig([
      'run',
      files.file(
        `${name}.yaml`,
        smallLab('t-exit')
          .replace('to: b }', 'to: b, tool: prober }')
          .replace(/targets:[\s\S]*/, `targets:\n  - { name: x, check: reachability, flow: transfer${target} }\n`),
      ),
      '--results',
      files.dir,
      '--junit',
      join(files.dir, `${name}.xml`),
    ]);
  const met = run('met', '');
  assert.equal(met.status, 0, met.stderr + met.stdout);
  assert.equal(run('missed', ', blocked: true').status, 1);
  assert.match(readFileSync(join(files.dir, 'missed.xml'), 'utf8'), /<failure/);
  assert.equal(run('control', ', blocked: true, expect-fail: true').status, 0);
  assert.equal(run('control-missed', ', expect-fail: true').status, 1, 'a negative control that does not fail is a miss');
  assert.equal(run('bad', ', at-least: 20Mbits').status, 2);
  const saturated = files.file(
    'saturated.yaml',
    smallLab('t-exit').replace('saturation: 100%', 'saturation: 0.1%').replace('kind: invariant, ', ''),
  );
  const { status, stdout } = netrig(['run', saturated, '--results', files.dir]);
  assert.equal(status, 3, stdout);
  assert.match(stdout, /the machine was saturated/);
});

test('report gives the same verdicts again from the evidence alone', () => {
  using files = scratch();
  const run = netrig(['run', files.file('lab.yaml', smallLab('t-again')), '--results', files.dir, '--json']);
  const events = run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; results?: string });
  const results = events.find((e) => e.type === 'run-started')?.results ?? '';
  const first = readFileSync(join(results, 'report.json'), 'utf8');
  assert.equal(netrig(['report', results]).status, 0);
  assert.equal(readFileSync(join(results, 'report.json'), 'utf8'), first);
  for (const file of ['report.html', 'report.md', 'topology.yaml', 'events.jsonl']) assert.ok(existsSync(join(results, file)), file);
});

test('a full results disk ends the run with its own status, torn down, in seconds', () => {
  using files = scratch();
  const results = join(files.dir, 'results');
  mkdirSync(results);
  const clean = labState('t-full');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', results]);
  try {
    const { status, stderr } = netrig(
      [
        'run',
        files.file(
          'lab.yaml',
          smallLab('t-full').replace('duration: 3s', 'duration: 60s').replace('saturation: 100%', 'saturation: 100%\nrepeat: 50'),
        ),
        '--results',
        results,
      ],
      {},
      600_000,
    );
    assert.equal(status, 4, stderr);
    assert.match(stderr, /RESULTS_UNWRITABLE.*ENOSPC/s);
    assert.deepEqual(labState('t-full'), clean);
  } finally {
    execFileSync('umount', ['-l', results]);
  }
});
