import assert from 'node:assert/strict';
import test from 'ava';
import type { Change, Etcd } from '../../agents/lib/etcd/client.ts';
import { Presence } from '../../agents/lib/etcd/presence.ts';
import { until } from '../support/until.ts';

/** An etcd whose leases end as they are told to. */
function leasing() {
  const commits: Change[] = [];
  const ended = new Set<number>();
  let leases = 0;
  const lease = async () => {
    const id = ++leases;
    return { id, keep: () => (ended.has(id) ? Promise.reject(new Error('the lease has ended')) : Promise.resolve()) };
  };
  const commit = async (change: Change): Promise<number> => commits.push(change);
  return { commits, end: (id: number) => ended.add(id), presence: new Presence({ lease, commit } as unknown as Etcd) };
}

test('rows are written under a lease; when it has ended they are written under another one', async () => {
  const { commits, end, presence } = leasing();
  presence.put('/a', '1');
  presence.put('/b', '2');
  await until(() => commits.length > 0, 'the rows');
  const rows = (): Map<string, string> => new Map(commits.flatMap((c) => [...c.put]));
  await until(() => rows().size === 2, 'both');
  assert.deepEqual(new Set(commits.map((c) => c.lease)), new Set([1]));
  const before = commits.length;
  presence.put('/a', '1');
  end(1);
  await until(() => commits.length > before, 'the new lease');
  assert.deepEqual([commits.at(-1)?.lease, [...(commits.at(-1)?.put ?? [])].length], [2, 2]);
  presence.remove('/a');
  await until(() => [...(commits.at(-1)?.remove ?? [])].includes('/a'), 'its removal');
  presence.stop();
});
