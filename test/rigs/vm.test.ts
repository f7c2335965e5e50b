/**
 * Virtual machines as a physical rig: the same topologies, faults of every kind, and clocks held against the truth.
 * What is asserted is right or wrong, not fast or slow. Takes some ten minutes under emulation.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { connectHost } from '../../src/rig/machines/ssh/connect.ts';
import { findHost, loadRig } from '../../src/rig/rigfile.ts';
import { machineState, netrig, ROOT, startNetrig } from '../support/netrig.ts';
import { spreadLab, testRig, verdictsOf, vmsImpossible, type TestRig } from '../support/rigs.ts';
import { buildTruth, quantiles } from '../support/truth.ts';
import { readPart } from '../../src/evidence/parts.ts';
import { isKnown } from '../../src/clocks/samples.ts';

const impossible = vmsImpossible();
if (impossible) process.stdout.write(`virtual machines cannot run here: ${impossible}\n`);
const LEASE_TTL_MS = 30_000;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const labTest = impossible ? test.skip : test;
const dir = mkdtempSync(join(tmpdir(), 'netrig-vm-'));
const topology = (name: string, seconds: number, extra?: string) => {
  const file = join(dir, `${name}.yaml`);
  writeFileSync(file, spreadLab(name, seconds, extra));
  return file;
};
const run = (...args: string[]) => ['run', ...args, '--on', rig.file, '--results', dir];
let rig: TestRig;
let clean: unknown;
/** What a lab could leave on the machines. */
const remains = () =>
  ['vm1', 'vm2', 'vm3'].map(
    (vm) =>
      rig.on(vm, 'ip netns; ls /run/netrig; ip -br link | cut -d" " -f1 | sort; pgrep -c "ovs-vswitchd|iperf3|mgen|tcpdump|ptp4l"').stdout,
  );
let pristine: string[];

test.before(() => {
  clean = machineState();
  rig = testRig(dir, 'vm-3', 't-vm', (text) => text.replace('memory: 768MiB', 'memory: 768MiB, shared-page: true'));
  const { status, stderr } = rig.up();
  assert.equal(status, 0, stderr);
  pristine = remains();
});
test.after.always(() => {
  netrig(['destroy', '--all']);
  rig.down();
  rmSync(dir, { recursive: true, force: true });
});
/** What a test that failed has left must not make the next one fail. */
test.afterEach.always((t) => {
  if (t.passed) return;
  netrig(['destroy', '--all', '--force'], {}, 120_000);
  netrig(['rig', 'release', rig.file], {}, 120_000);
});
const nothingLeft = (what: string) =>
  assert.deepEqual(
    remains().map((r) => r.replace('+lease\n', '')),
    pristine.map((r) => r.replace('+lease\n', '')),
    what,
  );

labTest('is up once; every machine is fit', () => {
  assert.match(rig.up().stderr, /is up already/);
  const { status, stdout, stderr } = netrig(['rig', 'check', rig.file, '--json'], {}, 120_000);
  assert.equal(status, 0, stderr + stdout);
  const hosts = JSON.parse(stdout) as { host: string; findings: { what: string; found: string; state: string }[] }[];
  assert.deepEqual(
    hosts.map((h) => h.findings.find((f) => f.what === 'Open vSwitch datapath')?.found),
    ['kernel', 'kernel', 'kernel'],
  );
});

labTest('50 namespaces on one machine cost a command no more round trips; 200 commands share one connection', async () => {
  const plan = await loadRig(rig.file);
  const machine = await connectHost(plan, findHost(plan, 'vm1'));
  try {
    const names = Array.from({ length: 50 }, (_, i) => `x${i}`);
    await machine.acquire({ owner: 'test', purpose: 'namespaces', ttlMs: 60_000 });
    await machine.claim({ lab: 't-many', topology: 'none', fabric: { nodes: [], links: [] }, assignments: {}, rig: null, leases: {} });
    // One call, whatever the number: what 50 take is 50 times a namespace, not 50 times a round trip.
    const { error } = await machine.apply('t-many', [
      [
        {
          title: 'many',
          host: { on: 'machine', machine: 'vm1' },
          argv: ['ip', '-batch', '-'],
          stdin: names.map((n) => `netns add nr.t-many.${n}\n`).join(''),
        },
      ],
    ]);
    assert.equal(error, null);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => machine.exec(['ip', 'netns', 'exec', `nr.t-many.x${i % 50}`, 'echo', String(i)])),
    );
    assert.deepEqual(
      answers.map((a) => a.stdout.trim()),
      answers.map((_, i) => String(i)),
    );
    assert.equal(rig.on('vm1', 'pgrep -fc "sshd: root@notty"').stdout.trim(), '2', "netrig's one connection, and this question's own");
    await machine.release('t-many');
    await machine.unlease();
  } finally {
    await machine.dispose();
  }
  nothingLeft('after 50 namespaces');
});

labTest('an unknown host key is refused with the command that accepts it, a wrong one without', () => {
  const state = JSON.parse(readFileSync('/run/netrig/+rigs/t-vm/rig.json', 'utf8')) as {
    keyFile: string;
    vms: Record<string, { address: string; hostKey: string }>;
  };
  const [one, two] = [state.vms['vm1'], state.vms['vm2']] as { address: string; hostKey: string }[];
  const file = (extra: string) => {
    const path = join(dir, 'keys.yaml');
    writeFileSync(
      path,
      `name: keys\nhosts: { x: { ssh: { address: ${one?.address}, user: root, key: ${state.keyFile}, known-hosts: ${dir}/known${extra} } } }\n`,
    );
    return path;
  };
  const unknown = netrig(['rig', 'status', file('')]);
  assert.equal(unknown.status, 4);
  const accept = netrig(['rig', 'check', file(''), '--json']).stdout;
  assert.match(accept, /HOST_KEY_UNKNOWN.*not known: ssh-ed25519 SHA256:/);
  const command =
    /(echo [^"]*>> [^"\\]*known)/.exec((JSON.parse(accept) as { findings: { remedy: string }[] }[])[0]?.findings[0]?.remedy ?? '')?.[1] ??
    '';
  assert.equal(spawnSync('sh', ['-c', command]).status, 0, command);
  assert.equal(netrig(['rig', 'status', file('')]).status, 0, 'the command accepts it');
  assert.match(netrig(['rig', 'check', file(`, host-key: "${two?.hostKey}"`), '--json']).stdout, /HOST_KEY_UNKNOWN.*not the expected one/);
});

labTest('a jump host, and the keys of an SSH agent', () => {
  const state = JSON.parse(readFileSync('/run/netrig/+rigs/t-vm/rig.json', 'utf8')) as {
    keyFile: string;
    vms: Record<string, { address: string; hostKey: string }>;
  };
  const path = join(dir, 'jump.yaml');
  // vm2 by its address on the data network, which this machine is not on.
  writeFileSync(
    path,
    `name: jump\ndefaults: { ssh: { user: root } }\nhosts:\n  door: { ssh: { address: ${state.vms['vm1']?.address}, host-key: "${state.vms['vm1']?.hostKey}" } }\n  inner: { ssh: { address: 10.99.0.2, host-key: "${state.vms['vm2']?.hostKey}", jump: door } }\n`,
  );
  const agent = spawnSync('ssh-agent', ['-s'], { encoding: 'utf8' }).stdout;
  const [socket, pid] = [/SSH_AUTH_SOCK=([^;]+)/.exec(agent)?.[1] ?? '', /SSH_AGENT_PID=(\d+)/.exec(agent)?.[1] ?? ''];
  try {
    assert.equal(spawnSync('ssh-add', [state.keyFile], { env: { ...process.env, SSH_AUTH_SOCK: socket } }).status, 0);
    const reached = netrig(['rig', 'status', path, '--json'], { SSH_AUTH_SOCK: socket }, 120_000);
    assert.equal(reached.status, 0, reached.stdout + reached.stderr);
    assert.match(
      netrig(['rig', 'status', path, '--json'], { SSH_AUTH_SOCK: '/nowhere', HOME: dir }, 120_000).stdout,
      /methods failed|login|ENOENT|connect/,
    );
  } finally {
    process.kill(Number(pid));
  }
});

labTest('Node missing there is installed; a machine of another architecture is refused', () => {
  const bundle = '/var/lib/netrig/bundles';
  assert.equal(rig.on('vm1', `umount -l /var/lib/netrig/runtime/*; rm -rf /var/lib/netrig/runtime ${bundle}`).status, 0);
  assert.equal(netrig(['rig', 'status', rig.file], {}, 120_000).status, 0, 'uploaded again, checked by hash');
  rig.on('vm3', 'mkdir -p /usr/local/bin; printf "#!/bin/sh\\necho aarch64\\n" > /usr/local/bin/uname; chmod +x /usr/local/bin/uname');
  const { stdout } = netrig(['rig', 'check', rig.file, '--json'], {}, 120_000);
  rig.on('vm3', 'rm /usr/local/bin/uname');
  assert.match(stdout, /its processor is aarch64/);
});

labTest('a lab over two machines: VXLAN or cable, shaped and delayed links, one report', () => {
  const { status, stdout, stderr } = netrig(run(topology('t-spread', 4)), {}, 180_000);
  assert.equal(status, 0, stderr + stdout);
  assert.match(stderr, /linktest: 4 directions as declared/);
  nothingLeft('after a run');
});

labTest('a link that is not what the file says is refused across machines too', () => {
  const file = topology('t-lie', 2);
  spawnSync('sed', [
    '-i',
    's/a: { place: { rack: left } }/a: { place: { rack: left }, exec: ["tc qdisc add dev eth1 root netem delay 60ms"] }/',
    file,
  ]);
  const { status, stderr } = netrig(run(file), {}, 180_000);
  assert.equal(status, 4);
  assert.match(stderr, /LINK_OUT_OF_TOLERANCE[\s\S]*a:eth1 -> sw:p1: delay [678]\d/);
  nothingLeft('after a refusal');
});

labTest('the SSH connection dropped in mid-run: voided with the reason, everything removed', async () => {
  const going = startNetrig(run(topology('t-drop', 12)));
  await going.until('✓ quiet', 120_000);
  await sleep(6000);
  // The session's own sshd, as a broken network would look from here.
  assert.equal(rig.on('vm3', 'kill -9 $(ps -o ppid= -p $(pgrep -f "[h]ostd|bundles/.*cjs" | head -n 1))').status, 0);
  const { code } = await going.exited;
  assert.equal(code, 3, going.output());
  assert.match(verdictsOf(going.output())[0]?.reason ?? '', /the connection to vm3 was lost/);
  nothingLeft('after a drop');
});

labTest(
  'a clock stepped by 250 ms, and one that drifts by 80 ppm, in mid-run: noticed, and what was measured meanwhile is inconclusive',
  async () => {
    const truth = buildTruth(rig, dir);
    const file = topology('t-step', 16, 'clocks: { max-offset: 20ms }\n');
    const going = startNetrig(run(file));
    await going.until('✓ quiet', 120_000);
    await sleep(9000);
    const steppedMs = Date.now();
    truth.guest('vm3', 'step 250000000');
    const { code } = await going.exited;
    assert.equal(code, 3, going.output());
    assert.match(verdictsOf(going.output())[0]?.reason ?? '', /the clock of vm3 was 2\d\d(\.\d+)?ms/);
    const record = await readPart(join(/evidence in (\S+)/.exec(going.output())?.[1] ?? '', 'cells/run/r1'), 'clocks');
    const noticed = record.samples.find((s) => s.machine === 'vm3' && s.atMs > steppedMs - 500 && Math.abs(s.clock?.offsetNs ?? 0) > 100e6);
    assert.ok(noticed && noticed.atMs - steppedMs < 3000, `noticed ${noticed ? noticed.atMs - steppedMs : 'never'} ms after the step`);
    // Nobody corrects it: sync none. The drift is in the samples.
    const drifting = join(dir, 't-drift.yaml');
    writeFileSync(drifting, spreadLab('t-drift', 20, 'clocks: { max-offset: 100ms, sync: none }\n'));
    const drift = startNetrig(run(drifting));
    await drift.until('✓ quiet', 120_000);
    await sleep(4000);
    truth.guest('vm3', 'frequency 80');
    const driftingMs = Date.now() + 500;
    await drift.exited;
    truth.guest('vm3', 'frequency 0');
    const samples = (await readPart(join(/evidence in (\S+)/.exec(drift.output())?.[1] ?? '', 'cells/run/r1'), 'clocks')).samples
      .filter(isKnown)
      .filter((s) => s.machine === 'vm3' && s.atMs > driftingMs && s.clock.boundNs < 500_000);
    const [first, last] = [samples[0], samples.at(-1)];
    assert.ok(first && last && last.atMs - first.atMs > 8000, drift.output());
    const ppm = (last.clock.offsetNs - first.clock.offsetNs) / (last.atMs - first.atMs);
    const errorPpm = (first.clock.boundNs + last.clock.boundNs) / (last.atMs - first.atMs);
    assert.ok(Math.abs(ppm - 80) < errorPpm + 10, `drift measured as ${ppm} ± ${errorPpm} ppm`);
    nothingLeft('after clocks were set');
  },
);

labTest('clocks outside their bounds: the run is refused with the figures, and starts nothing', () => {
  const truth = buildTruth(rig, dir);
  truth.guest('vm2', 'step 500000000');
  const { status, stderr } = netrig(run(topology('t-skewed', 3, 'clocks: { sync: none, settle: 4s }\n')), {}, 120_000);
  assert.equal(status, 4);
  assert.match(stderr, /CLOCK_OUT_OF_BOUNDS[\s\S]*vm2 [45]\d\d/);
  nothingLeft('after a refusal');
});

labTest('the bound of every comparison of clocks covers the truth', async () => {
  const truth = buildTruth(rig, dir);
  const offsets = await truth.compare('vm1', 'vm3', async () => {
    const { stderr } = netrig(run(topology('t-truth', 12, 'clocks: { max-offset: 50ms }\n')), {}, 180_000);
    return await readPart(join(/evidence in (\S+)/.exec(stderr)?.[1] ?? '', 'cells/run/r1'), 'clocks');
  });
  const covered = offsets.filter((o) => Math.abs(o.reportedNs - o.trueNs) <= o.boundNs + o.truthErrorNs).length;
  process.stdout.write(
    `bound covers the truth in ${covered} of ${offsets.length} samples; |truth| ${quantiles(offsets.map((o) => Math.abs(o.trueNs) / 1000))} us, bound ${quantiles(offsets.map((o) => o.boundNs / 1000))} us\n`,
  );
  assert.ok(offsets.length >= 15, `only ${offsets.length} samples were compared`);
  assert.ok(
    covered / offsets.length >= 0.99,
    `${covered} of ${offsets.length}: ${JSON.stringify(offsets.filter((o) => Math.abs(o.reportedNs - o.trueNs) > o.boundNs))}`,
  );
});

labTest('two orchestrators after one rig: one waits in line, one is told who is before it', async () => {
  const first = startNetrig(run(topology('t-first', 6)));
  await first.until('evidence in', 60_000);
  const refused = netrig(run(topology('t-second', 2)), {}, 60_000);
  assert.equal(refused.status, 4);
  assert.match(refused.stderr, /LEASE_HELD.*in use by .* for t-first/);
  const second = startNetrig([...run(topology('t-second', 2)), '--wait', '3m']);
  await second.until('waiting: the rig is', 60_000);
  assert.equal((await first.exited).code, 0, first.output());
  assert.equal((await second.exited).code, 0, second.output());
  nothingLeft('after two runs');
});

labTest('an orchestrator that is killed loses the rig when its lease expires; the next one finds it clean', async () => {
  const going = startNetrig(run(topology('t-killed', 30)));
  await going.until('✓ linktest', 120_000);
  going.child.kill('SIGKILL');
  await going.exited;
  const { stdout } = netrig(['rig', 'status', rig.file, '--json'], {}, 60_000);
  assert.match(stdout, /t-killed/, 'its lab still stands');
  const next = startNetrig([...run(topology('t-next', 2)), '--wait', '2m']);
  assert.equal((await next.exited).code, 0, next.output());
  nothingLeft('the next owner removed what the dead one left');
  assert.equal(netrig(['destroy', 't-killed'], {}, 60_000).status, 0, 'what is left here goes too, and disturbs nobody');
});

labTest('an owner who slept too long changes nothing any more', async () => {
  const going = startNetrig(run(topology('t-asleep', 60)));
  await going.until('✓ linktest', 120_000);
  going.child.kill('SIGSTOP');
  await sleep(LEASE_TTL_MS + 2000);
  const next = startNetrig([...run(topology('t-awake', 14)), '--wait', '1m']);
  await next.until('✓ linktest', 120_000);
  going.child.kill('SIGCONT');
  const { code } = await going.exited;
  assert.equal(code, 4, going.output());
  assert.match(going.output(), /LEASE_LOST|HOST_LOST/);
  assert.equal((await next.exited).code, 0, next.output());
  netrig(['destroy', '--all', '--force'], {}, 60_000);
  nothingLeft('after both');
});

labTest('a full disk on a host: the capture says so, and nothing is concluded from it', async () => {
  const file = topology('t-full', 8, '');
  spawnSync('sed', [
    '-i',
    's/check: rate, flow: transfer, at-least: 500kbit/check: rate, capture: "b:eth1", group: x, at-least: 500kbit/; s/b: { place/b: { labels: { tenant: x }, place/',
    file,
  ]);
  rig.on('vm3', 'mkdir -p /var/lib/netrig/spool; mount -t tmpfs -o size=8k tmpfs /var/lib/netrig/spool');
  const { status, stdout, stderr } = netrig(run(file), {}, 180_000);
  rig.on('vm3', 'umount /var/lib/netrig/spool');
  assert.equal(status, 3, stderr + stdout);
  assert.match(verdictsOf(stdout)[0]?.reason ?? '', /No space left|capture/);
  nothingLeft('after a full disk');
});

labTest('message replication over three clocks: whole, along its graph, released by the kernel, every latency with its bound', async () => {
  const { status, stdout, stderr } = netrig(run(join(ROOT, 'topologies/replication-rig.yaml'), '--filter', 'scheme=kernel'), {}, 300_000);
  assert.ok(status === 0 || status === 3 || status === 1, stdout + stderr);
  const verdicts = verdictsOf(stdout);
  for (const id of ['R0-5', 'R0-6']) assert.equal(verdicts.find((v) => v.target.startsWith(id))?.outcome, 'pass', id);
  const cell = join(/report: (\S+)/.exec(stdout)?.[1] ?? '', '../cells/kernel/r1');
  const agents = await readPart(cell, 'agents');
  for (const ppn of agents.filter((a) => /^p\d/.test(a.node))) {
    assert.equal(ppn.counters['kernelRelease'], 1, `${ppn.node}: the kernel releases`);
    assert.equal(ppn.counters['unstamped'], 0, `${ppn.node}: and says when`);
  }
  const { samples } = await readPart(cell, 'clocks');
  assert.ok(samples.length > 0 && samples.every((s) => s.clock !== null && s.clock.boundNs > 0), 'clocks were compared');
  nothingLeft('after replication');
});

labTest('the Gatekeeper experiment has the verdicts that it has in namespaces', () => {
  const { status, stdout, stderr } = netrig(
    [...run(join(ROOT, 'topologies/gatekeeper-cells.yaml')), '--filter', 'rx', '--filter', 'udp', '--set', 'link=2Mbit'],
    {},
    380_000,
  );
  assert.ok(status === 0 || status === 3, `${status}\n${stderr}\n${stdout}`);
  const verdicts = verdictsOf(stdout);
  for (const v of verdicts.filter((v) => v.outcome !== 'pass'))
    process.stdout.write(`${v.outcome}: ${v.cell} ${v.target}: ${v.measured} (${v.reason})\n`);
  // A busy machine leaves some undecided; none may be decided otherwise.
  assert.deepEqual(
    verdicts.filter((v) => v.outcome === 'fail'),
    [],
  );
  assert.ok(verdicts.filter((v) => v.outcome === 'pass').length >= 4, stdout);
  nothingLeft('after Gatekeeper');
});

labTest(
  'a machine that is powered off in mid-run: the run ends with the reason; once it is gone from the rig, so is everything',
  async () => {
    const going = startNetrig(run(topology('t-off', 14)));
    await going.until('✓ quiet', 120_000);
    await sleep(4000);
    process.kill(rig.pid('vm3'), 'SIGKILL');
    const { code } = await going.exited;
    assert.ok(code === 3 || code === 4, going.output());
    assert.match(going.output(), /vm3/);
    assert.equal(rig.down().status, 0);
    netrig(['destroy', '--all', '--force'], {}, 120_000);
    assert.deepEqual(machineState(), clean, 'this machine is as it was');
    assert.equal(existsSync('/dev/shm/netrig.t-vm.vm1'), false);
  },
);
