/** A real etcd, as hosts and gateways use it: leases, and what is read and refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { issueCertificate } from '../../agents/lib/certificates.ts';
import { DeniedError, EtcdClient, just, under, type Permission } from '../../agents/lib/etcd/client.ts';
import { Presence } from '../../agents/lib/etcd/presence.ts';
import { ETCD_PORT, startEtcd } from '../../agents/lib/etcd/server.ts';
import { until } from '../support/until.ts';

/** An etcd of its own at a loopback address, and users of it. */
async function withEtcd(
  address: string,
  work: (client: EtcdClient, connect: (name: string, may: readonly Permission[]) => Promise<EtcdClient>) => Promise<void>,
): Promise<void> {
  const place = { name: 'c1', address };
  const folder = mkdtempSync(join(tmpdir(), 'netrig-etcd-'));
  const certificate = await issueCertificate(join(folder, 'c1'), 'secret', place);
  const { daemon, client } = await startEtcd(folder, { ...place, certificate, inside: address });
  const users: EtcdClient[] = [];
  const connect = async (name: string, may: readonly Permission[]): Promise<EtcdClient> => {
    await client.addUser(name);
    await client.addRole(`host/${name}`, may);
    await client.grant(name, `host/${name}`);
    const { credentials } = await issueCertificate(join(folder, name), 'secret', { name, address: '127.0.0.1' });
    const user = new EtcdClient({ ...place, port: ETCD_PORT }, credentials);
    users.push(user);
    return user;
  };
  try {
    await work(client, connect);
  } finally {
    for (const user of [...users, client]) user.close();
    await daemon.stop();
    rmSync(folder, { recursive: true });
  }
}

test('what a host has written goes when it is not heard any more, and what others have written stays', async () => {
  await withEtcd('127.0.0.88', async (client, connect) => {
    const writes = (name: string): Permission[] => [{ what: 'write', range: under(`/loads/${name}/`) }];
    const [one, other] = [await connect('h1', writes('h1')), await connect('h2', writes('h2'))];
    const [staying, leaving] = [new Presence(one), new Presence(other)];
    staying.put('/loads/h1/B/b1', 'one');
    leaving.put('/loads/h2/B/b2', 'other');
    const keys = async (): Promise<string[]> => (await client.list(under('/loads/'))).rows.map((r) => r.key).sort();
    await until(async () => (await keys()).length === 2, 'both rows');
    leaving.stop();
    await until(async () => (await keys()).length === 1, 'the end of a lease');
    assert.deepEqual(await keys(), ['/loads/h1/B/b1']);
    staying.stop();
    // Nobody writes for another one.
    const foreign = { put: new Map([['/loads/h1/B/b1', 'forged']]), remove: [] };
    await assert.rejects(other.commit(foreign), DeniedError);
  });
});

test('a watch that is refused is told so, and those beside it go on, though etcd does not say which one it refuses', async () => {
  await withEtcd('127.0.0.89', async (client, connect) => {
    const host = await connect('h1', [{ what: 'read', range: under('/own/') }]);
    const told: string[] = [];
    const watch = (key: string) =>
      host.watches.watch(under(key), 1, {
        onChanges: (changes) => told.push(...changes.map((c) => c.key)),
        onMissed: () => told.push(`${key} missed`),
        onDenied: () => told.push(`${key} denied`),
      });
    watch('/others/1/');
    watch('/own/1/');
    // One that nobody waits for any more.
    watch('/others/2/').stop();
    watch('/others/3/');
    watch('/own/2/');
    await until(() => told.length === 2, 'both refusals');
    await client.commit({ put: new Map(['/own/1/a', '/others/1/b', '/own/2/c'].map((key) => [key, 'x'])), remove: [] });
    await until(() => told.length === 4, 'both changes');
    assert.deepEqual(told.slice(0, 2), ['/others/1/ denied', '/others/3/ denied']);
    assert.deepEqual(told.slice(2).sort(), ['/own/1/a', '/own/2/c']);
  });
});

test('ranges that are asked for at once come as if each had been asked for alone, and only those are refused that may not be read', async () => {
  await withEtcd('127.0.0.90', async (client, connect) => {
    const host = await connect('h1', [{ what: 'read', range: under('/own/') }]);
    const keys = Array.from({ length: 450 }, (_, i) => `/own/${i}`);
    await client.commit({ put: new Map([...keys, '/others/1'].map((key) => [key, key])), remove: [] });
    const all = await Promise.all(keys.map((key) => host.list(just(key))));
    assert.deepEqual(
      all.map(({ rows }) => rows.map((r) => [r.key, r.value])),
      keys.map((key) => [[key, key]]),
    );
    const some = await Promise.allSettled(
      [under('/own/'), under('/others/'), just('/own/x'), just('/own/7')].map((range) => host.list(range)),
    );
    assert.deepEqual(
      some.map((s) => (s.status === 'fulfilled' ? s.value.rows.length : s.reason instanceof DeniedError)),
      [450, true, 0, 1],
    );
  });
});

test('what is taken away twice is gone, and nobody has what was taken away', async () => {
  await withEtcd('127.0.0.91', async (client, connect) => {
    const host = await connect('h1', [{ what: 'read', range: under('/own/') }]);
    await client.addRole('peer/A', []);
    await client.permit('peer/A', { what: 'read', range: under('/sets/') });
    await client.grant('h1', 'peer/A');
    assert.deepEqual((await host.list(under('/sets/'))).rows, []);
    for (let times = 0; times < 2; times++) await client.forbid('peer/A', under('/sets/'));
    await assert.rejects(host.list(under('/sets/')), DeniedError);
    await client.permit('peer/A', { what: 'read', range: under('/sets/') });
    for (let times = 0; times < 2; times++) await client.revoke('h1', 'peer/A');
    await assert.rejects(host.list(under('/sets/')), DeniedError);
  });
});
