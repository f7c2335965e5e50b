/** What nodes of a hub are told of its metadata. */
import assert from 'node:assert/strict';
import test from 'ava';
import { change as changeSchema, changeBetween, changed as applied, sharing } from '../../agents/hub/changes.ts';
import { detach } from '../../agents/hub/control/attachments.ts';
import { modify } from '../../agents/hub/control/configuration.ts';
import { checked } from '../../src/core/lightjson.ts';
import { changed, join, main, start } from '../support/hub.ts';

test('a node is told what differs from what it has, and refuses what goes upon something else', () => {
  const before = changed(start, main, join('S'), join('B'));
  const made = changed(before, (m) => modify(m, { addRoutes: [{ prefix: '198.51.100.0/24', to: 'B' }] }, 0));
  const after = sharing(before, made);
  assert.deepEqual(after, made);
  const change = changeBetween(before, after);
  assert.deepEqual(Object.keys(change.parts), ['domains', 'routes']);
  assert.deepEqual(applied(before, checked(changeSchema, JSON.parse(JSON.stringify(change)))), after);
  assert.equal(applied(start, change), undefined);
  // A new connection has nothing, whatever its node knows.
  const all = changeBetween(undefined, after);
  assert.deepEqual([all.base, applied(before, all)], [null, after]);
  // What was there once, and is not any more.
  const gone = sharing(
    after,
    changed(after, (m) => detach(m, { network: 'B' })),
  );
  assert.deepEqual(applied(after, changeBetween(after, gone)), gone);
});
