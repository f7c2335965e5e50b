/** Leases of a real etcd, as hosts and gateways use them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { issueCertificate } from '../../agents/lib/certificates.ts';
import { DeniedError, EtcdClient, under } from '../../agents/lib/etcd/client.ts';
import { Presence } from '../../agents/lib/etcd/presence.ts';
import { ETCD_PORT, startEtcd } from '../../agents/lib/etcd/server.ts';
import { until } from '../support/until.ts';

const PLACE = { name: 'c1', address: '127.0.0.88' };

test('what a host has written goes when it is not heard any more, and what others have written stays', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'netrig-etcd-'));
  const certificate = await issueCertificate(join(folder, 'c1'), 'secret', PLACE);
  const { daemon, client } = await startEtcd(folder, { ...PLACE, certificate, inside: PLACE.address });
  const hosts: EtcdClient[] = [];
  try {
    const connect = async (name: string): Promise<EtcdClient> => {
      await client.addUser(name);
      await client.addRole(`host/${name}`, [{ what: 'write', range: under(`/loads/${name}/`) }]);
      await client.grant(name, `host/${name}`);
      const { credentials } = await issueCertificate(join(folder, name), 'secret', { name, address: '127.0.0.1' });
      const host = new EtcdClient({ ...PLACE, port: ETCD_PORT }, credentials);
      hosts.push(host);
      return host;
    };
    const [one, other] = [await connect('h1'), await connect('h2')];
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
  } finally {
    for (const host of [...hosts, client]) host.close();
    await daemon.stop();
    rmSync(folder, { recursive: true });
  }
});
