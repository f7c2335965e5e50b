import assert from 'node:assert/strict';
import test from 'ava';
import type { Flow } from '../../agents/lib/openflow/index.ts';
import { FlowQueue } from '../../agents/mesh/host/flowqueue.ts';

const flow = (priority: number): Flow => ({ table: 0, priority, match: {} });

/** A switch that takes a change when it is let. */
function slowSwitch() {
  const changes: { readonly added: readonly Flow[]; readonly removed: readonly Flow[]; readonly done: () => void }[] = [];
  const queue = new FlowQueue((added, removed) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    changes.push({ added, removed, done: resolve });
    return promise;
  });
  return { changes, queue };
}
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('changes that come while one is under way go together, and the last word on a flow counts', async () => {
  const { changes, queue } = slowSwitch();
  void queue.push([flow(1)], []);
  await turns();
  void queue.push([flow(2)], [flow(1)]);
  void queue.push([flow(1)], [flow(3)]);
  changes[0]!.done();
  await turns();
  assert.deepEqual([changes[1]!.added, changes[1]!.removed], [[flow(2), flow(1)], [flow(3)]]);
});

test('it is idle when the switch has everything, not before', async () => {
  const { changes, queue } = slowSwitch();
  let isIdle = false;
  void queue.push([flow(1)], []);
  void queue.idle().then(() => (isIdle = true));
  await turns();
  assert.equal(isIdle, false);
  changes[0]!.done();
  await turns();
  assert.equal(isIdle, true);
});
