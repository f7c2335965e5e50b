/** Client VNIs that may move: what they have at each of their gateways (R1-53). Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import type { SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import type { HubFile, VniPlace } from './config.ts';
import { isOf, nodeOf } from '../lib/lab.ts';
import { vniMac } from './model.ts';

/** By gateway. `hub`: the segment of the hub's network. */
export function vnisOf({ networks }: HubFile, lab: Lab, hub: number | undefined, problems: SystemProblem[]): Map<string, VniPlace> {
  const places = new Map<string, VniPlace>();
  for (const [i, [network, { gateway, prefixes, vni, site, link, endpoint }]] of Object.entries(networks).entries()) {
    if (!vni) continue;
    const path = ['networks', network, 'vni'];
    if (site || link || endpoint !== undefined)
      problems.push({ path, message: `${network} has a site, a link or an endpoint, which stay at its gateway` });
    const length = prefixes.find((p) => isOf([p], vni.address))?.split('/')[1];
    if (length === undefined) problems.push({ path: [...path, 'address'], message: `${vni.address} is no address of ${network}` });
    for (const node of [gateway, ...expandAll(vni.standby)]) {
      const lan = (nodeOf(lab, node)?.interfaces ?? []).find(
        (own) => own.segment !== hub && own.addresses.some((a) => isOf(prefixes, a.split('/')[0] ?? '')),
      );
      if (!lan) problems.push({ path, message: `"${node}" has no address on the network of the hosts of ${network}` });
      else places.set(node, { mac: vniMac(i + 1), lan: lan.name, address: `${vni.address}/${length ?? ''}` });
    }
  }
  return places;
}
