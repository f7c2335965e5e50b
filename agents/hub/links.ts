/** Links between hubs: where the gateways of both ends meet. Pure. */
import type { SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import type { HubFile, LinkEnd } from './config.ts';
import { addressOf, deviceOn, isOf, nodeOf } from '../lib/lab.ts';

/** By network that is the end of a link. `hub`: the segment of the hub's network. */
export function linksOf({ networks }: HubFile, lab: Lab, hub: number | undefined, problems: SystemProblem[]): Map<string, LinkEnd> {
  const links = new Map<string, LinkEnd>();
  for (const [name, { gateway, prefixes, kind, hosts, names, endpoint, account, link }] of Object.entries(networks)) {
    if (!link) continue;
    const path = ['networks', name, 'link'];
    const other = networks[link.to];
    if (other?.link?.to !== name || other.link.hub === link.hub) {
      problems.push({
        path: [...path, 'to'],
        message: `"${link.to}" is not the other end of "${name}"`,
        hint: 'each end names the other one, and they are in two hubs',
      });
      continue;
    }
    if ([kind, hosts, names, endpoint, account].some((key) => key !== undefined))
      problems.push({
        path,
        message: `${name} has keys of a network of hosts`,
        hint: 'the end of a link has gateway, prefixes, shard and link',
      });
    const [transit, ...more] = prefixes;
    if (transit === undefined || more.length > 0 || other.prefixes[0] !== transit)
      problems.push({
        path: ['networks', name, 'prefixes'],
        message: 'they are not the addresses of the link, one prefix of both of its ends',
      });
    const device = (nodeOf(lab, gateway)?.interfaces ?? []).find((i) => i.segment !== hub && isOf(prefixes, addressOf(i) ?? ''));
    const neighbour = device && deviceOn(lab, other.gateway, device.segment);
    if (!device || !neighbour)
      problems.push({ path, message: `"${gateway}" has no link with addresses of ${transit ?? ''} to "${other.gateway}"` });
    else links.set(name, { device: device.name, neighbour: addressOf(neighbour) ?? '' });
  }
  return links;
}
