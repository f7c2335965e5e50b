/** Router of an on-premises network: it announces what the network has to the hub, and learns what the hub reaches. */
import { startBird } from '../../lib/bird.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { type Operations, perform, refuse, validated } from '../../lib/params.ts';
import { isSame, prefixOf } from '../../lib/prefix.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { checkedPrefix, ROUTER_OPERATIONS } from '../operations.ts';
import { startFilter } from '../../lib/filter.ts';
import { siteRules } from './filter.ts';
import { routesOf } from '../../lib/kernelroutes.ts';
import { routerBird, startSiteTunnel } from './site.ts';

export async function startRouter({ config, secret, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self } = config;
  const site = config.site!;
  const network = new HostNetwork();
  network.forwardAsymmetrically([]);
  const filter = await startFilter(siteRules(site, 'router'));
  const tunnel = await startSiteTunnel(workDir, secret, site, 'router');
  const bird = await startBird(workDir, routerBird(site, self.address, site.prefixes));
  const operations: Operations = {
    AnnounceRoutes: async (params) => {
      const { prefixes } = validated(ROUTER_OPERATIONS.AnnounceRoutes, params);
      for (const prefix of prefixes.map(checkedPrefix))
        if (!site.prefixes.some((own) => isSame(prefixOf(own), prefixOf(prefix))))
          refuse('InvalidRequest', `${prefix} is no prefix of ${site.network}`);
      await bird.configure(routerBird(site, self.address, prefixes));
      return { prefixes };
    },
    GetRoutes: async () => ({ routes: await routesOf('bird') }),
  };
  return {
    counters: () => ({}),
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      await bird.stop();
      await tunnel?.stop();
      await filter.stop();
      await network.stop();
    },
  };
}
