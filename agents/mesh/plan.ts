/** Endpoints of a mesh as a lab has them: their addresses, and the hosts that they are on. Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import type { SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import { isOf, nodeOf } from '../lib/lab.ts';
import { formatAddress, parseAddress, parsePrefix } from '../lib/prefix.ts';
import type { MeshFile } from './config.ts';
import type { Endpoint } from './control/state.ts';

/** Of an endpoint: the one that leads to a host. */
export const deviceOf = (lab: Lab, name: string) => nodeOf(lab, name)?.interfaces.find((i) => i.addresses.length > 0);

/** The other end of its cable. */
function cableOf(lab: Lab, node: string): { readonly host: string; readonly port: string } | undefined {
  const device = deviceOf(lab, node)?.name;
  for (const { ends } of lab.fabric.links) {
    const side = ends.findIndex((e) => e.node === node && e.interface === device);
    const other = ends[side === 0 ? 1 : 0];
    if (side >= 0) return { host: other.node, port: other.interface };
  }
  return undefined;
}

export function endpointsOf(config: MeshFile, lab: Lab, network: string, problems: SystemProblem[]): Endpoint[] {
  const { endpoints, prefixes } = config.networks[network]!;
  const hosts = expandAll(config.hosts);
  return expandAll(endpoints).flatMap((name) => {
    const path = ['networks', network, 'endpoints'];
    const device = deviceOf(lab, name);
    const addresses = (device?.addresses ?? []).map((a) => a.split('/')[0] as string);
    const host = cableOf(lab, name)?.host;
    if (host === undefined || !hosts.includes(host)) {
      problems.push({ path, message: `"${name}" has no link to a host`, hint: `hosts: ${hosts.join(', ')}` });
      return [];
    }
    const stray = addresses.find((a) => !isOf(prefixes, a));
    if (stray !== undefined)
      problems.push({
        path,
        message: `"${name}" has the address ${stray}, which is in no prefix of ${network}`,
        hint: prefixes.join(', '),
      });
    return [{ name, addresses: [...addresses, ...ipv6Of(prefixes, addresses[0])], mac: device?.mac ?? '', host, before: null }];
  });
}

/** Of all endpoints, those that have a cable to this host. */
export const portsOf = (config: MeshFile, lab: Lab, host: string): Record<string, string> =>
  Object.fromEntries(
    Object.values(config.networks)
      .flatMap((n) => expandAll(n.endpoints))
      .flatMap((name) => {
        const cable = cableOf(lab, name);
        return cable?.host === host ? [[name, cable.port] as const] : [];
      }),
  );

/** In a network with a prefix of IPv6 an endpoint has an address of it, too: that ends like its address of IPv4. */
function ipv6Of(prefixes: readonly string[], address: string | undefined): string[] {
  const own = parseAddress(address ?? '');
  const prefix = prefixes.map(parsePrefix).find((p) => p?.family === 6);
  return own && prefix ? [formatAddress({ family: 6, value: prefix.value | own.value })] : [];
}
