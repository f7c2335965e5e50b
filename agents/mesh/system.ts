/** The mesh as the testbed sees it: schema, admission, and what each node's agent is told. Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import { parseDurationUs } from '../../src/core/units.ts';
import type { AgentSpec, SystemDefinition, SystemProblem } from '../../src/systems/definition.ts';
import { requestProblems } from '../../src/systems/operations.ts';
import type { Lab } from '../../src/topology/model.ts';
import { addressOf, deviceOn, nodeOf, segmentOf } from '../lib/lab.ts';
import { parsePrefix } from '../lib/prefix.ts';
import { emulatedOf } from './emulated.ts';
import { meshSchema, type AgentConfig, type HostConfig, type MeshFile, type Place, type Role } from './config.ts';
import { CONTROLLER_OPERATIONS, OPERATIONS } from './operations.ts';
import { balancersOf, cablesOf, deviceOf, endpointsOf, legsOf, portsOf, servedBy } from './plan.ts';

/** Of VXLAN over IPv4 (RFC 7348): Ethernet, IP, UDP and its own header. */
const TUNNEL_BYTES = 50;

export const system: SystemDefinition<MeshFile> = {
  name: 'mesh',
  configSchema: meshSchema,
  entry: new URL('./main.ts', import.meta.url),
  page: new URL('./results/page.ts', import.meta.url),
  checks: new URL('./results/check.ts', import.meta.url),
  fixed: Object.keys(meshSchema.properties),
  realtime: false,
  requests(config, _lab, _on, node, operation, params) {
    const role = rolesOf(config).get(node);
    return requestProblems(role === undefined ? {} : OPERATIONS[role], operation, params);
  },
  plan(config, lab, on) {
    const problems: SystemProblem[] = [];
    const roles = rolesOf(config, problems);
    for (const [name] of roles)
      if (!on.includes(name)) problems.push({ path: [], message: `no agent runs on "${name}"`, hint: 'name it in systems.mesh.on' });
    const underlay = segmentOf(lab, expandAll(config.controllers)[0] ?? '');
    const controllers = placesOf(lab, expandAll(config.controllers), underlay, ['controllers'], problems);
    const hosts = placesOf(lab, expandAll(config.hosts), underlay, ['hosts'], problems);
    const gateways = placesOf(lab, expandAll(config.gateways ?? []), underlay, ['gateways'], problems);
    for (const [path, places] of Object.entries({ hosts, gateways }))
      for (const { name } of places) {
        const node = nodeOf(lab, name);
        if (node?.kind !== 'ovs-bridge' || !node.separate)
          problems.push({
            path: [path],
            message: `"${name}" has no switch whose ports are separate`,
            hint: `topology.nodes.${name}: { kind: ovs-bridge, separate: true }`,
          });
      }
    const networks = Object.entries(config.networks).map(([name, own]) => ({
      name,
      ...own,
      endpoints: endpointsOf(config, lab, name, problems),
      balancers: balancersOf(config, lab, name, problems),
    }));
    const legs = legsOf(config, lab, underlay, problems);
    problems.push(...networkProblems(config));
    for (const [i, { controller, operation, params }] of (config.setup ?? []).entries()) {
      if (!controllers.some((c) => c.name === controller))
        problems.push({ path: ['setup', i, 'controller'], message: `"${controller}" is no controller` });
      problems.push(
        ...requestProblems(CONTROLLER_OPERATIONS, operation, params ?? {}).map((p) => ({ ...p, path: ['setup', i, ...p.path] })),
      );
    }
    if (problems.length > 0) return { agents: [], problems };
    const emulated = emulatedOf(config, lab, underlay);
    const mtu = Math.min(...hosts.map((h) => deviceOn(lab, h.name, underlay)?.mtu ?? 1500)) - TUNNEL_BYTES;
    const all = Object.fromEntries(networks.flatMap((n) => n.endpoints.map((e) => [e.name, e.addresses[0] ?? ''])));
    const placeOf = (controller: string): Place => controllers.find((c) => c.name === controller)!;
    const owners = Object.fromEntries(networks.map((n) => [n.name, n.controller]));
    const agents: (AgentConfig & { readonly self: Place })[] = [
      ...controllers.map((self) => ({
        role: 'controller' as const,
        self,
        controllers,
        hosts: [...hosts, ...gateways, ...emulated.hostsFor(self.name)],
        gateways,
        owners: { ...owners, ...emulated.owners },
        networks: [
          ...emulated.networks.filter((n) => n.controller === self.name).map((n) => n.network),
          ...networks
            .filter((n) => n.controller === self.name)
            .map(({ name, vnid, prefixes, endpoints, balancers }) => ({
              name,
              vnid,
              prefixes,
              endpoints,
              balancers,
              routers: legs.filter((l) => l.network === name).map((l) => l.endpoint.name),
              peerings: emulated.peeringsOf(name),
            })),
        ],
        setup: (config.setup ?? []).filter((s) => s.controller === self.name).map(({ operation, params = {} }) => ({ operation, params })),
        introductionMs: parseDurationUs(config.introduction ?? '10m') / 1000,
      })),
      ...[...hosts, ...gateways].map((self): HostConfig => {
        const isGateway = gateways.includes(self);
        return {
          role: 'host',
          self,
          controllers,
          uplink: uplinkOf(lab, self, underlay),
          forwards: isGateway ? networks.map(({ name, vnid, controller }) => ({ name, vnid, owner: placeOf(controller) })) : [],
          ports: portsOf(config, lab, self.name),
          idleMs: parseDurationUs(config.idle ?? '60s') / 1000,
          holdMs: parseDurationUs(config.hold ?? '10m') / 1000,
          destinations: isGateway ? Number.MAX_SAFE_INTEGER : (config.destinations ?? 4096),
          pull: isGateway ? 'all' : (config.pull ?? 'needed'),
        };
      }),
      ...networks.flatMap((n) =>
        n.endpoints.map((e) => ({
          role: 'endpoint' as const,
          self: { name: e.name, address: e.addresses[0] ?? '' },
          network: n.name,
          controller: placeOf(n.controller),
          leg: legs.find((l) => l.endpoint.name === e.name) ?? null,
          device: deviceOf(lab, e.name)?.name ?? '',
          address: deviceOf(lab, e.name)?.addresses[0] ?? '',
          mac: e.mac,
          devices: Object.fromEntries(cablesOf(lab, e.name).map((c) => [c.host, c.device])),
          ipv6: e.addresses.find((a) => a.includes(':')) ?? null,
          serves: servedBy(n.balancers, e.name),
          mtu: Math.min(mtu, deviceOf(lab, e.name)?.mtu ?? mtu),
          endpoints: all,
        })),
      ),
      ...emulated.agents,
      ...legs.map((leg) => {
        const { prefixes, announced = prefixes } = config.networks[leg.network]!.sites![leg.site.name]!;
        return {
          role: 'site' as const,
          self: { name: leg.site.name, address: leg.site.address },
          leg,
          prefixes,
          announced,
          endpoints: all,
        };
      }),
    ];
    return { agents: agents.map((own): AgentSpec => ({ node: own.self.name, config: own })), problems };
  },
};

export function rolesOf(config: MeshFile, problems: SystemProblem[] = []): Map<string, Role> {
  const roles = new Map<string, Role>();
  const add = (role: Role, path: SystemProblem['path'], names: string | readonly string[]): void => {
    for (const name of expandAll(names)) {
      if (roles.has(name)) problems.push({ path, message: `"${name}" has two roles`, hint: 'a node has one' });
      roles.set(name, role);
    }
  };
  add('controller', ['controllers'], config.controllers);
  add('host', ['hosts'], config.hosts);
  add('host', ['gateways'], config.gateways ?? []);
  if (config.emulated) add('emulator', ['emulated', 'on'], config.emulated.on);
  for (const [network, { endpoints, sites = {} }] of Object.entries(config.networks)) {
    add('endpoint', ['networks', network, 'endpoints'], endpoints);
    add('site', ['networks', network, 'sites'], Object.keys(sites));
  }
  return roles;
}

function placesOf(
  lab: Lab,
  names: readonly string[],
  underlay: number | undefined,
  path: SystemProblem['path'],
  problems: SystemProblem[],
): Place[] {
  return names.flatMap((name) => {
    const address = addressOf(deviceOn(lab, name, underlay));
    if (address !== undefined) return [{ name, address }];
    problems.push({ path, message: `"${name}" has no address on the underlay`, hint: 'that of the first controller' });
    return [];
  });
}

function networkProblems({ networks, controllers }: MeshFile): SystemProblem[] {
  const known = expandAll(controllers);
  const numbers = new Map<number, string>();
  return Object.entries(networks).flatMap(([name, { vnid, controller, prefixes }]): SystemProblem[] => {
    const path = ['networks', name];
    const other = numbers.get(vnid);
    numbers.set(vnid, name);
    return [
      ...(other === undefined ? [] : [{ path: [...path, 'vnid'], message: `${vnid} is the identifier of ${other} already` }]),
      ...(known.includes(controller) ? [] : [{ path: [...path, 'controller'], message: `"${controller}" is no controller` }]),
      ...prefixes.flatMap((prefix, i) =>
        parsePrefix(prefix)
          ? []
          : [{ path: [...path, 'prefixes', i], message: `"${prefix}" is no prefix`, hint: 'for example 10.1.0.0/16' }],
      ),
    ];
  });
}

function uplinkOf(lab: Lab, { name }: Place, underlay: number | undefined): HostConfig['uplink'] {
  const { name: device, mac, addresses, mtu } = deviceOn(lab, name, underlay)!;
  return { device, mac, cidr: addresses[0] as string, mtu };
}
