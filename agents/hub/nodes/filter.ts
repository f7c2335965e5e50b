/** What gateways and routers let through: networks do not reach the hub's nodes, and beside a tunnel nothing comes in. nftables. */
import type { Rules } from '../../lib/filter.ts';
import { tunnelOnly } from '../../lib/wireguard.ts';
import type { SecurityRule, Site } from '../config.ts';
import type { End } from './site.ts';

/** What a network sends goes to branches, which have no address; not to nodes of the hub. */
export const keepOff = (device: string, nodes: readonly string[]): Rules => ({
  input: [],
  forward: [`oifname "${device}" ip daddr { ${nodes.join(', ')} } drop`],
});

/** Of the link to a site: where there is a tunnel, nothing else. */
export const siteRules = (site: Site, end: End): Rules[] => (site.isVpn ? [tunnelOnly(site[end].device)] : []);

/**
 * The security group of a network's client VNI (R1-53): what others may begin to send. `others`: devices by which nothing else comes
 * into the network.
 */
export function securityRules(device: string, rules: readonly SecurityRule[] | null, others: readonly string[]): Rules {
  const allowed = (rules ?? []).map(({ protocol, ports }) =>
    protocol === 'icmp' || !ports ? `meta l4proto ${protocol}` : `${protocol} dport { ${ports.join(', ')} }`,
  );
  const own = rules
    ? ['ct state established,related accept', ...allowed.map((match) => `${match} accept`), 'drop'].map(
        (rule) => `iifname "${device}" ${rule}`,
      )
    : [];
  return { input: [], forward: [...others.map((other) => `iifname "${other}" drop`), ...own] };
}
