/** An etcd of an agent's own, with its database in the agent's folder. It survives the agent. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../src/core/until.ts';
import type { CertificateFiles } from '../certificates.ts';
import { startDaemon, type Daemon } from '../daemon.ts';
import { EtcdClient, under } from './client.ts';

export const ETCD_PORT = 2379;
const PEER_PORT = 2380;
const METRICS_PORT = 2381;
const START_MS = 60_000;

/**
 * `name`: of its owner, as in its certificate: it may do everything. Others may do what they are granted. `inside`: where only this
 * machine reaches it.
 */
export async function startEtcd(
  workDir: string,
  {
    name,
    address,
    certificate,
    inside = '127.0.0.1',
  }: { readonly name: string; readonly address: string; readonly certificate: CertificateFiles; readonly inside?: string },
): Promise<{ readonly daemon: Daemon; readonly client: EtcdClient }> {
  const dir = join(workDir, 'etcd');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const [clients, peers] = [`https://${address}:${ETCD_PORT}`, `http://${inside}:${PEER_PORT}`];
  const { files, credentials } = certificate;
  const options: Readonly<Record<string, string>> = {
    name,
    'data-dir': dir,
    'listen-client-urls': clients,
    'advertise-client-urls': clients,
    // It has no peers: nobody else reaches this one.
    'listen-peer-urls': peers,
    'initial-advertise-peer-urls': peers,
    'initial-cluster': `${name}=${peers}`,
    'listen-metrics-urls': `http://${inside}:${METRICS_PORT}`,
    'client-cert-auth': 'true',
    'trusted-ca-file': files.ca,
    'cert-file': files.certificate,
    'key-file': files.key,
    'max-txn-ops': '100000',
    'max-request-bytes': String(64 << 20),
    'grpc-keepalive-min-time': '1s',
    logger: 'zap',
    'log-level': 'error',
    'log-outputs': 'stderr',
  };
  const args = Object.entries(options).map(([key, value]) => `--${key}=${value}`);
  const daemon = await startDaemon(dir, 'etcd', args, { adopt: true });
  const client = new EtcdClient({ name, address, port: ETCD_PORT }, credentials);
  const answers = (): Promise<boolean> =>
    client.list(under('/')).then(
      () => true,
      () => false,
    );
  if (!(await until(answers, { withinMs: START_MS }))) throw new Error('etcd does not start');
  // Its superuser must be called so; nobody has a certificate of that name.
  for (const user of ['root', name]) {
    await client.addUser(user);
    await client.grant(user, 'root').catch(() => undefined);
  }
  await client.enableAuth();
  return { daemon, client };
}
