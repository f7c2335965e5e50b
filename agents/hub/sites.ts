/** On-premises networks: where their gateways meet their own routers. Pure. */
import type { SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import type { HubFile, NodeInfo, Site } from './config.ts';
import { addressOf, deviceOn, isOf, nodeOf } from '../lib/lab.ts';

/** By network. A gateway and its router have a link between them, beside the hub's network. */
export function sitesOf({ networks }: HubFile, lab: Lab, hub: number | undefined, problems: SystemProblem[]): Map<string, Site> {
  const sites = new Map<string, Site>();
  for (const [i, [network, { gateway, prefixes, kind, site }]] of Object.entries(networks).entries()) {
    if (!site) continue;
    const path = ['networks', network, 'site'];
    const { router, address } = site;
    const segments = (nodeOf(lab, router)?.interfaces ?? []).filter((r) => r.addresses.length > 0).map((r) => r.segment);
    const segment = segments.find((s) => s !== hub && deviceOn(lab, gateway, s) !== undefined);
    const end = (node: string): Site['router'] => {
      const itf = deviceOn(lab, node, segment);
      return { name: node, device: itf?.name ?? '', address: addressOf(itf) ?? '' };
    };
    if (kind !== 'vpn' && kind !== 'direct')
      problems.push({ path, message: `${network} is of kind ${kind ?? 'ivn'}`, hint: 'on-premises networks are of kind vpn or direct' });
    else if (segment === undefined)
      problems.push({ path: [...path, 'router'], message: `"${router}" has no link with addresses to "${gateway}"` });
    else if (prefixes.some((p) => p.includes(':')))
      problems.push({ path, message: `${network} has prefixes of IPv6`, hint: 'routers of sites announce IPv4' });
    else if (!isOf(prefixes, address)) problems.push({ path: [...path, 'address'], message: `${address} is no address of ${network}` });
    else
      sites.set(network, { network, number: i + 1, isVpn: kind === 'vpn', prefixes, gateway: end(gateway), router: end(router), address });
  }
  return sites;
}

/** What a gateway's own packets come from: an address of its network. null: it has none. */
export function sourceOf({ networks }: HubFile, lab: Lab, { name, network }: NodeInfo): string | null {
  const own = networks[network ?? ''];
  const addresses = nodeOf(lab, name)?.interfaces.flatMap((i) => i.addresses.map((a) => a.split('/')[0] ?? '')) ?? [];
  return own?.vni?.address ?? own?.site?.address ?? own?.endpoint ?? addresses.find((a) => isOf(own?.prefixes ?? [], a)) ?? null;
}
