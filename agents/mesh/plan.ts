/** Endpoints of a mesh as a lab has them: their addresses, and the hosts that they are on. Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import { parseRateBps } from '../../src/core/units.ts';
import type { SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import { addressOf, deviceOn, isOf, nodeOf } from '../lib/lab.ts';
import { formatAddress, parseAddress, parsePrefix } from '../lib/prefix.ts';
import type { EndpointRef } from '../../src/topology/model.ts';
import type { Leg, LegEnd, Management, MeshFile } from './config.ts';
import type { Balancer, Endpoint } from './control/state.ts';

/** A cable from an endpoint to a host that it is on, or may move to. */
interface Cable {
  readonly device: string;
  readonly host: string;
  readonly port: string;
}

/** Of an endpoint: the device that has its address, and leads to a switch. */
export const deviceOf = (lab: Lab, name: string) =>
  nodeOf(lab, name)?.interfaces.find(
    (i) => i.addresses.length > 0 && cablesOf(lab, name).some((c) => c.device === i.name && nodeOf(lab, c.host)?.kind === 'ovs-bridge'),
  );

export const cablesOf = (lab: Lab, node: string): Cable[] =>
  lab.fabric.links.flatMap(({ ends: [a, b] }) =>
    [
      [a, b],
      [b, a],
    ].flatMap(([own, other]) => (own?.node === node && other ? [{ device: own.interface, host: other.node, port: other.interface }] : [])),
  );

export function endpointsOf(config: MeshFile, lab: Lab, network: string, problems: SystemProblem[]): Endpoint[] {
  const { endpoints, prefixes } = config.networks[network]!;
  const hosts = expandAll(config.hosts);
  return expandAll(endpoints).flatMap((name) => {
    const path = ['networks', network, 'endpoints'];
    const device = deviceOf(lab, name);
    const addresses = (device?.addresses ?? []).map((a) => a.split('/')[0] as string);
    const host = cablesOf(lab, name).find((c) => c.device === device?.name)?.host;
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

export function balancersOf(config: MeshFile, lab: Lab, network: string, problems: SystemProblem[]): Record<string, Balancer> {
  const { balancers = {}, prefixes, endpoints } = config.networks[network]!;
  const own = expandAll(endpoints);
  const taken = new Map(own.map((e) => [addressOf(deviceOf(lab, e)), e]));
  return Object.fromEntries(
    Object.entries(balancers).map(([name, { address, port, backends, overflow = null, ...rest }]) => {
      const path = ['networks', network, 'balancers', name];
      const standsInFor = rest['stands-in-for'] ?? [];
      for (const text of [address, ...standsInFor, ...(overflow === null ? [] : [overflow])])
        if (parseAddress(text)?.family !== 4) problems.push({ path, message: `"${text}" is no address of IPv4` });
      if (parseAddress(address) && !isOf(prefixes, address))
        problems.push({ path, message: `${address} is in no prefix of ${network}`, hint: prefixes.join(', ') });
      const holder = taken.get(address);
      if (holder !== undefined)
        problems.push({ path, message: `${address} is taken by "${holder}"`, hint: 'a balancer has an address of its own' });
      taken.set(address, name);
      for (const backend of Object.keys(backends))
        if (!own.includes(backend)) problems.push({ path, message: `"${backend}" is no endpoint of ${network}`, hint: own.join(', ') });
      const capacitiesBps = Object.fromEntries(Object.entries(backends).map(([endpoint, rate]) => [endpoint, parseRateBps(rate)]));
      for (const [backend, capacityBps] of Object.entries(capacitiesBps))
        if (capacityBps <= 0) problems.push({ path, message: `"${backend}" has no capacity` });
      return [name, { address, port, capacitiesBps, overflow, standsInFor }];
    }),
  );
}

/** Addresses that an endpoint has beside its own, as a backend. */
export const servedBy = (balancers: Readonly<Record<string, Balancer>>, endpoint: string): string[] =>
  Object.values(balancers).flatMap((b) => (Object.hasOwn(b.capacitiesBps, endpoint) ? [b.address, ...b.standsInFor] : []));

/** Legs to on-premises networks, with what both ends have on the link between them. */
export function legsOf(
  config: MeshFile,
  lab: Lab,
  underlay: number | undefined,
  problems: SystemProblem[],
): (Leg & { readonly management: Management })[] {
  return Object.entries(config.networks).flatMap(([network, { vnid, endpoints, sites = {} }]) =>
    Object.entries(sites).flatMap(([name, { router, kind, prefixes, announced = [] }]) => {
      const path = ['networks', network, 'sites', name];
      const ends = lab.fabric.links
        .map(({ ends: both }) => [both.find((e) => e.node === router), both.find((e) => e.node === name)] as const)
        .find(([own, other]) => own && other);
      const endOf = (end: EndpointRef | undefined): LegEnd | undefined => {
        const address = addressOf(nodeOf(lab, end?.node ?? '')?.interfaces.find((i) => i.name === end?.interface));
        return end && address !== undefined ? { name: end.node, device: end.interface, address } : undefined;
      };
      const management = deviceOn(lab, router, underlay);
      const managed = addressOf(management);
      const [endpoint, site] = [endOf(ends?.[0]), endOf(ends?.[1])];
      for (const prefix of [...prefixes, ...announced])
        if (!parsePrefix(prefix)) problems.push({ path, message: `"${prefix}" is no prefix`, hint: 'for example 192.168.50.0/24' });
      if (!expandAll(endpoints).includes(router)) problems.push({ path, message: `"${router}" is no endpoint of ${network}` });
      else if (!management || managed === undefined)
        problems.push({ path, message: `"${router}" has no address on the underlay`, hint: 'it tells its controller what it learns' });
      else if (endpoint && site)
        return [{ network, vnid, isVpn: kind === 'vpn', endpoint, site, management: { device: management.name, address: managed } }];
      else problems.push({ path, message: `there is no link with addresses between "${router}" and "${name}"` });
      return [];
    }),
  );
}

/** Ports of a host's switch, by the endpoints that they lead to. */
export const portsOf = (config: MeshFile, lab: Lab, host: string): Record<string, string> =>
  Object.fromEntries(
    Object.values(config.networks)
      .flatMap((n) => expandAll(n.endpoints))
      .flatMap((name) =>
        cablesOf(lab, name)
          .filter((c) => c.host === host)
          .map((c) => [name, c.port] as const),
      ),
  );

/** In a network with a prefix of IPv6 an endpoint has an address of it, too: that ends like its address of IPv4. */
function ipv6Of(prefixes: readonly string[], address: string | undefined): string[] {
  const own = parseAddress(address ?? '');
  const prefix = prefixes.map(parsePrefix).find((p) => p?.family === 6);
  return own && prefix ? [formatAddress({ family: 6, value: prefix.value | own.value })] : [];
}
