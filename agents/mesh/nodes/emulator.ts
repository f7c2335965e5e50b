/** Many on-host controllers in one process, each with its own name, certificate and sessions; there is no switch behind them. */
import { join } from 'node:path';
import { until } from '../../../src/core/until.ts';
import { issueCertificates } from '../../lib/certificates.ts';
import { EtcdClient } from '../../lib/etcd/client.ts';
import { ETCD_PORT } from '../../lib/etcd/server.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import { parseAddress } from '../../lib/prefix.ts';
import type { NodeRole } from '../../lib/role.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import type { EmulatorConfig } from '../config.ts';
import { Controllers } from '../host/controllers.ts';
import type { Item } from '../host/items.ts';
import { OnHostController } from '../host/ohc.ts';
import { EMULATOR_OPERATIONS } from '../operations.ts';

/** Hosts that connect at once. */
const AT_ONCE = 25;
const FOLLOW_MS = 30_000;

/** What a switch would have been told, and when. */
class Told {
  rows = 0;
  /** Of the last destination. */
  host: string | null = null;
  atMs = 0;

  async put(_key: string, item: Item): Promise<void> {
    this.rows += 1;
    if (item.kind !== 'destination') return;
    this.host = item.to?.host ?? null;
    this.atMs = performance.timeOrigin + performance.now();
  }

  async remove(): Promise<void> {
    this.rows += 1;
  }

  async settled(): Promise<void> {
    // There is nothing that it would wait for.
  }
}

export async function startEmulator({ config, secret, workDir }: AgentSetup<EmulatorConfig>): Promise<NodeRole> {
  const subjects = config.hosts.map((h) => h.self);
  const certificates = await issueCertificates(join(workDir, 'tls'), secret, subjects);
  const address = parseAddress(config.follows)!;
  const hosts = config.hosts.map((own, i) => {
    const { credentials } = certificates[i]!;
    const controllers = new Controllers((to) => new EtcdClient({ ...to, port: ETCD_PORT }, credentials));
    const told = new Told();
    const rest = { forwards: [], uplink: { device: '', mac: '', cidr: '', mtu: 0 }, idleMs: Infinity, holdMs: Infinity, destinations: 16 };
    const ohc = new OnHostController({ role: 'host', ...own, ...rest, pull: 'needed' }, controllers, told);
    return { own, controllers, told, ohc };
  });
  const operations: Operations = {
    DescribeEmulated: (params) => {
      const { host } = validated(EMULATOR_OPERATIONS.DescribeEmulated, params);
      const times = hosts.filter((h) => h.told.host === host).map((h) => h.told.atMs);
      return { hosts: times.length, firstMs: Math.min(...times), lastMs: Math.max(...times) };
    },
  };
  return {
    counters: () => ({ hosts: hosts.length, rows: hosts.reduce((sum, h) => sum + h.told.rows, 0) }),
    ready: async () => {
      for (let at = 0; at < hosts.length; at += AT_ONCE) {
        const some = hosts.slice(at, at + AT_ONCE);
        await Promise.all(some.map((h) => h.ohc.open()));
        for (const h of some) h.ohc.network(h.own.vnid)?.miss(address, () => undefined);
        const follows = (): boolean => some.every((h) => h.told.host !== null);
        if (!(await until(follows, { withinMs: FOLLOW_MS })))
          log('warn', 'hosts do not follow', { hosts: some.filter((h) => h.told.host === null).length });
      }
    },
    request: (operation, params) => perform(operations, operation, params),
    stop: () => {
      for (const { ohc, controllers } of hosts) {
        ohc.stop();
        controllers.close();
      }
    },
  };
}
