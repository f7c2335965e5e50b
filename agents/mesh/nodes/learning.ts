/** What an endpoint that is its network's router learns by BGP, told to the network's controller as it comes and goes (R2-22). */
import { join } from 'node:path';
import { issueCertificate } from '../../lib/certificates.ts';
import { startBird } from '../../lib/bird.ts';
import { EtcdClient } from '../../lib/etcd/client.ts';
import { ETCD_PORT } from '../../lib/etcd/server.ts';
import { startFilter } from '../../lib/filter.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { routesOf, watchRoutes } from '../../lib/kernelroutes.ts';
import { log } from '../../lib/rpc.ts';
import { SerialQueue } from '../../../src/core/serial.ts';
import type { EndpointConfig } from '../config.ts';
import { endpointBird, legRules, startLegTunnel } from '../leg.ts';
import { KEYS } from '../rows.ts';

const AGAIN_MS = 500;
export async function learnRoutes(
  workDir: string,
  secret: string,
  { self, network, leg, controller }: EndpointConfig,
): Promise<{ stop(): Promise<void> }> {
  if (!leg) return { stop: () => Promise.resolve() };
  const host = new HostNetwork();
  host.forwardAsymmetrically([leg.endpoint.device]);
  // Between what is behind it and the network it serves it forwards, not to the underlay.
  const { device } = leg.management;
  const apart = { input: [], forward: [`iifname "${device}" drop`, `oifname "${device}" drop`] };
  const filter = await startFilter([apart, ...legRules(leg, 'endpoint')]);
  const { credentials } = await issueCertificate(join(workDir, 'tls'), secret, { name: self.name, address: leg.management.address });
  const client = new EtcdClient({ ...controller, port: ETCD_PORT }, credentials);
  const tunnel = await startLegTunnel(workDir, secret, leg, 'endpoint');
  const bird = await startBird(workDir, endpointBird(leg, self.address));
  const turns = new SerialQueue();
  let told = '';
  let stopped = false;
  const look = async (): Promise<void> => {
    const found = JSON.stringify({ prefixes: await routesOf('bird') });
    if (found === told || stopped) return;
    await client.commit({ put: new Map([[KEYS.learned(network, self.name), found]]), remove: [] });
    told = found;
  };
  const changed = (): void =>
    void turns.run(look).catch((error: unknown) => {
      log('warn', 'routes not told', { why: (error as Error).message });
      if (!stopped) setTimeout(changed, AGAIN_MS);
    });
  const watch = watchRoutes(changed);
  changed();
  return {
    stop: async () => {
      stopped = true;
      watch.stop();
      await bird.stop();
      await tunnel?.stop();
      client.close();
      await filter.stop();
      await host.stop();
    },
  };
}
