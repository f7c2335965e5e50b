/** An on-premises router, with a device behind it at the first address of each of its prefixes. */
import { startBird } from '../../lib/bird.ts';
import { startFilter } from '../../lib/filter.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { type Operations, perform, refuse, validated } from '../../lib/params.ts';
import { formatAddress, parsePrefix, prefixOf } from '../../lib/prefix.ts';
import { startBeacons } from '../../lib/probing/beacon.ts';
import { Prober } from '../../lib/probing/prober.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { SiteConfig } from '../config.ts';
import { legRules, siteBird, startLegTunnel } from '../leg.ts';
import { SITE_OPERATIONS } from '../operations.ts';

export async function startSite({ config, secret, workDir }: AgentSetup<SiteConfig>): Promise<NodeRole> {
  const { leg, prefixes } = config;
  const network = new HostNetwork();
  network.forwardAsymmetrically([leg.site.device]);
  const first = (text: string): string => {
    const prefix = prefixOf(text);
    return formatAddress({ ...prefix, value: prefix.value + 1n });
  };
  for (const prefix of prefixes) await network.addAddress(first(prefix));
  const announcing = (announced: readonly string[]): string => siteBird(leg, first(announced[0] ?? prefixes[0]!), announced);
  const filter = await startFilter(legRules(leg, 'site'));
  const tunnel = await startLegTunnel(workDir, secret, leg, 'site');
  const bird = await startBird(workDir, announcing(config.announced));
  const beacons = startBeacons(config.self.name);
  const prober = new Prober();
  const operations: Operations = {
    Probe: (params) => prober.probe(validated(SITE_OPERATIONS.Probe, params), (name) => config.endpoints[name]),
    AnnounceRoutes: async (params) => {
      const { prefixes: announced } = validated(SITE_OPERATIONS.AnnounceRoutes, params);
      for (const prefix of announced) if (!parsePrefix(prefix)) refuse('InvalidRequest', `"${prefix}" is no prefix`);
      await bird.configure(announcing(announced));
      return { prefixes: announced };
    },
  };
  return {
    counters: () => beacons.counters,
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      prober.stop();
      beacons.stop();
      await bird.stop();
      await tunnel?.stop();
      await filter.stop();
      await network.stop();
    },
  };
}
