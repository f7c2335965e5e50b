import assert from 'node:assert/strict';
import test from 'ava';
import { Type } from 'typebox';
import { DeniedError, under, type Etcd, type Rows } from '../../agents/lib/etcd/client.ts';
import { follow } from '../../agents/lib/etcd/follow.ts';
import { parsed } from '../../src/core/lightjson.ts';
import { until } from '../support/until.ts';
import type { WatchEvents } from '../../agents/lib/etcd/watch.ts';

/** An etcd that answers as it is told, and keeps the watches that it was asked for. */
function told(...answers: (Rows | Error)[]) {
  const watches: { readonly from: number; readonly events: WatchEvents }[] = [];
  const list = async (): Promise<Rows> => {
    const next = answers.length > 1 ? answers.shift()! : answers[0]!;
    if (next instanceof Error) throw next;
    return next;
  };
  const watch = (_range: unknown, from: number, events: WatchEvents) => {
    watches.push({ from, events });
    return { stop: () => undefined };
  };
  return { watches, client: { list, watches: { watch, lostAtMs: null } } as unknown as Etcd };
}
const row = (key: string, revision: number) => ({ key, value: `${key}${revision}`, revision });

function seen(client: Etcd) {
  const rows = new Map<string, string>();
  const denied: string[] = [];
  const following = follow(client, under('/'), {
    read: (value) => value,
    onChanges: (changes) => {
      for (const { key, value } of changes)
        if (value === null) rows.delete(key);
        else rows.set(key, value);
    },
    onDenied: (why) => denied.push(why),
  });
  return { rows, denied, stop: () => following.stop() };
}

test('rows that are there come first, then changes from the next revision on; an older row changes nothing', async () => {
  const { client, watches } = told({ rows: [row('/a', 3), row('/b', 4)], revision: 9 });
  const { rows, stop } = seen(client);
  await until(() => watches.length === 1, 'it is watched');
  assert.deepEqual([...rows.values()], ['/a3', '/b4']);
  assert.equal(watches[0]!.from, 10);
  watches[0]!.events.onChanges([row('/a', 12), { ...row('/b', 13), value: null }]);
  // Replayed.
  watches[0]!.events.onChanges([row('/a', 3), row('/b', 4)]);
  assert.deepEqual([...rows], [['/a', '/a12']]);
  stop();
});

test('after changes were missed everything is as it is there, also with lower revisions', async () => {
  const { client, watches } = told({ rows: [row('/a', 30), row('/b', 40)], revision: 90 }, { rows: [row('/a', 2)], revision: 5 });
  const { rows, stop } = seen(client);
  await until(() => watches.length === 1, 'it is watched');
  watches[0]!.events.onMissed();
  await until(() => watches.length === 2, 'it is watched again');
  assert.deepEqual([...rows], [['/a', '/a2']]);
  assert.equal(watches[1]!.from, 6);
  stop();
});

test('a refused watch is asked for again; what must not be read is told', async () => {
  const { client, watches } = told({ rows: [], revision: 1 }, new DeniedError('no'));
  const { denied, stop } = seen(client);
  await until(() => watches.length === 1, 'it is watched');
  watches[0]!.events.onDenied('old revision');
  assert.deepEqual(denied, []);
  await until(() => denied.length > 0, 'it is refused');
  assert.deepEqual(denied, ['no']);
  stop();
});

test('what is no row is passed over, and the others are not', async () => {
  const rows = [row('/a', 1), { key: '/b', value: '{"n":1}', revision: 2 }, { key: '/c', value: '{"n":"1"}', revision: 3 }];
  const { client, watches } = told({ rows, revision: 9 });
  const heard: string[] = [];
  const following = follow(client, under('/'), {
    read: (value) => parsed(Type.Object({ n: Type.Integer() }), value),
    onChanges: (changes) => heard.push(...changes.map((c) => c.key)),
    onDenied: () => undefined,
  });
  await until(() => watches.length === 1, 'it is watched');
  assert.deepEqual(heard, ['/b']);
  following.stop();
});
