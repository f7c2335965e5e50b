/** Commands end as a whole, read the same on every kind of host, and stages that fail say so. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { stage } from '../../src/core/context.ts';
import { EventBus, type RunEvent } from '../../src/core/events.ts';
import { NetrigError } from '../../src/core/errors.ts';
import { runToEnd } from '../../src/rig/hosts/exec.ts';
import { LocalHost } from '../../src/rig/hosts/local.ts';
import { scratch } from '../support/netrig.ts';
import { until } from '../support/until.ts';

const host = new LocalHost();
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error as NetrigError).code,
  );

/** Gone, or only its parent's to collect. A killed process closes its files first: its output may end a moment before it does. */
function isOver(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(' Z ');
  } catch {
    return true;
  }
}

/** A command that starts another one; both would go on for ten minutes, longer than the test waits. */
async function withChild(script: string) {
  const child = host.spawn(['sh', '-c', script]);
  let pid = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    pid += text;
  });
  while (!pid.includes('\n')) await new Promise((resolve) => setTimeout(resolve, 5));
  return { child, pid: pid.trim() };
}

test('a command whose time is up ends with its children', async () => {
  const { child, pid } = await withChild('sleep 600 & echo $!; wait');
  assert.equal(await codeOf(runToEnd('here', child, ['sh'], { timeoutMs: 10 })), 'TIMEOUT');
  await until(() => isOver(pid), 'the end of the child');
});

test('one that ignores SIGTERM is killed, with what it started', async () => {
  const { child, pid } = await withChild('trap "" TERM; sleep 600 & echo $!; wait; wait');
  assert.equal(await codeOf(runToEnd('here', child, ['sh'], { timeoutMs: 10 })), 'TIMEOUT');
  await until(() => isOver(pid), 'the end of the child');
});

test('who keeps the output open in a group of its own is not waited for', async () => {
  const startedMs = performance.now();
  assert.equal(await codeOf(host.exec(['sh', '-c', 'setsid sleep 30 & sleep 600'], { timeoutMs: 50 })), 'TIMEOUT');
  assert.ok(performance.now() - startedMs < 20_000);
});

test('an interrupted command ends, also when it was interrupted before', async () => {
  const controller = new AbortController();
  const { child, pid } = await withChild('sleep 600 & echo $!; wait');
  const running = codeOf(runToEnd('here', child, ['sh'], { signal: controller.signal }));
  controller.abort();
  assert.equal(await running, 'INTERRUPTED');
  await until(() => isOver(pid), 'the end of the child');
  assert.equal(await codeOf(host.exec(['sleep', '600'], { signal: controller.signal })), 'INTERRUPTED');
});

test("exit statuses are a shell's: 128 + n for signal n, 127 for no such program, 126 for one that cannot be run", async () => {
  using files = scratch();
  mkdirSync(`${files.dir}/folder`);
  const statusOf = async (...argv: string[]) => (await host.exec(argv, { allowFailure: true })).exitCode;
  assert.equal(await statusOf('sh', '-c', 'kill -9 $$'), 137);
  assert.equal(await statusOf('sh', '-c', 'exit 3'), 3);
  assert.equal(await statusOf('no-such-program'), 127);
  assert.equal(await statusOf(`${files.dir}/folder`), 126);
  assert.equal(await codeOf(host.exec(['no-such-program'])), 'CAPABILITY_MISSING');
});

test('a stage that fails says so, with its name, its duration and the code of its error', async () => {
  const events: RunEvent[] = [];
  const bus = new EventBus();
  bus.on((event) => events.push(event));
  const ctx = { signal: new AbortController().signal, events: bus };
  assert.equal(
    await codeOf(
      stage(ctx, 'connect', async () => {
        throw new NetrigError('HOST_UNREACHABLE', 'nobody there');
      }),
    ),
    'HOST_UNREACHABLE',
  );
  assert.deepEqual(
    events.map((e) => e.type),
    ['stage-started', 'stage-failed'],
  );
  const failed = events[1];
  assert.ok(
    failed?.type === 'stage-failed' &&
      failed.stage === 'connect' &&
      failed.code === 'HOST_UNREACHABLE' &&
      failed.message === 'nobody there' &&
      failed.seconds >= 0,
  );
});
