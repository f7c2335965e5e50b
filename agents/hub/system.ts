/** The traffic hub as the testbed sees it: schema, admission, and what each node's agent is told. Pure. */
import { expandAll } from '../../src/core/config/ranges.ts';
import { parseDurationUs } from '../../src/core/units.ts';
import type { AgentSpec, SystemDefinition, SystemProblem } from '../../src/systems/definition.ts';
import { requestProblems } from '../../src/systems/operations.ts';
import type { Lab } from '../../src/topology/model.ts';
import { parsePrefix } from '../lib/prefix.ts';
import { cellsOf, shardsOf, type Cells } from './cells.ts';
import { hubSchema, type AgentConfig, type Dmn, type HubFile, type NodeInfo, type Role } from './config.ts';
import { vniMac, type Ain, type Network } from './model.ts';
import { addressOf, deviceOn, isOf, nodeOf, segmentOf } from '../lib/lab.ts';
import { scaleOf } from './scale.ts';
import { linksOf } from './links.ts';
import { vnisOf } from './vnis.ts';
import { sitesOf, sourceOf } from './sites.ts';
import { CONTROL_OPERATIONS, OPERATIONS } from './operations.ts';
import { endpointProblems, nameServerOf, zoneProblems, zonesOf } from './zones.ts';

/** A branch's address has a byte for its AIN. */
const MOST_AINS = 255;
const DEFAULT_ACTIONS = 131_072;

export const system: SystemDefinition<HubFile> = {
  name: 'hub',
  configSchema: hubSchema,
  entry: new URL('./main.ts', import.meta.url),
  page: new URL('./results/page.ts', import.meta.url),
  checks: new URL('./results/check.ts', import.meta.url),
  fixed: Object.keys(hubSchema.properties),
  realtime: false,
  requests(config, lab, on, node, operation, params) {
    const role = nodesOf(config, lab, on).find((n) => n.name === node)?.role;
    return requestProblems(role === undefined ? {} : (OPERATIONS[role] ?? {}), operation, params);
  },
  plan(config, lab, on) {
    const problems: SystemProblem[] = [];
    const nodes = nodesOf(config, lab, on, problems);
    if (problems.length > 0) return { agents: [], problems };
    const hub = segmentOf(lab, config.control);
    for (const { name, role } of nodes)
      if (!isInNetwork(role) && deviceOn(lab, name, hub) === undefined)
        problems.push({
          path: pathOf(config, name),
          message: `"${name}" is not on the network of the hub`,
          hint: `that of ${config.control}`,
        });
    const cells = cellsOf(config, problems);
    const ains = ainsOf(config, lab, hub, cells);
    if (ains.length > MOST_AINS) problems.push({ path: ['ains'], message: `${ains.length} AINs, of at most ${MOST_AINS}` });
    for (const [name, { prefixes }] of Object.entries(config.networks))
      prefixes.forEach((prefix, i) => {
        if (!parsePrefix(prefix))
          problems.push({
            path: ['networks', name, 'prefixes', i],
            message: `"${prefix}" is no prefix`,
            hint: 'for example 192.168.1.0/24',
          });
      });
    // What follows computes with prefixes.
    if (problems.length > 0) return { agents: [], problems };
    for (const { name, role, address, network } of nodes)
      if (role === 'host' && !isOf(config.networks[network ?? '']?.prefixes ?? [], address))
        problems.push({
          path: ['networks', network ?? '', 'hosts'],
          message: `"${name}" has the address ${address}, which is in none of its network's prefixes`,
          hint: `they are ${config.networks[network ?? '']?.prefixes.join(', ') ?? ''}`,
        });
    for (const [name, { names, hosts }] of Object.entries(config.networks))
      if (names && !expandAll(hosts ?? []).includes(names.server))
        problems.push({ path: ['networks', name, 'names', 'server'], message: `"${names.server}" is no host of ${name}` });
    problems.push(...endpointProblems(config), ...zoneProblems(config));
    const sites = sitesOf(config, lab, hub, problems);
    const links = linksOf(config, lab, hub, problems);
    const vnis = vnisOf(config, lab, hub, problems);
    const dmns = nodes
      .filter((n) => n.role === 'dmn')
      .map(({ name, address }, i): Dmn => ({ name, address, number: i + 1, cell: cells.of.get(name) ?? '' }));
    const scale = scaleOf(config, cells, ains, dmns, problems);
    const standby = cells.names.flatMap((cell) => scale?.sizes.find((s) => s.cell === cell)?.standby ?? []);
    const serving = ains.filter((a) => !standby.includes(a.name));
    const networks = networksOf(config, lab, hub, cells.names, serving, problems);
    for (const [i, { operation, params }] of (config.setup ?? []).entries())
      problems.push(...requestProblems(CONTROL_OPERATIONS, operation, params ?? {}).map((p) => ({ ...p, path: ['setup', i, ...p.path] })));
    if (problems.length > 0) return { agents: [], problems };
    const common = {
      nodes,
      ains,
      dmns,
      cells: cells.names,
      zones: zonesOf(config, nodes),
      networks,
      scale,
      standby,
      actions: config.actions ?? DEFAULT_ACTIONS,
      idleMs: parseDurationUs(config.idle ?? '60s') / 1000,
      verifyMs: parseDurationUs(config.verify ?? '60s') / 1000,
      silenceMs: parseDurationUs(config.silence ?? '600ms') / 1000,
      missRate: config['miss-rate'] ?? 20_000,
      segmentBytes: config.segment ?? 1024,
    };
    const agents = nodes.map((self): AgentSpec => {
      const own: AgentConfig = {
        ...common,
        self,
        device: isInNetwork(self.role) ? null : (deviceOn(lab, self.name, hub)?.name ?? null),
        gateway: self.role === 'host' ? gatewayOf(config, lab, self) : null,
        nameServer: self.role === 'host' ? nameServerOf(config, self) : null,
        site: self.role === 'gateway' || self.role === 'router' ? (sites.get(self.network ?? '') ?? null) : null,
        vni: self.role === 'gateway' ? (vnis.get(self.name) ?? null) : null,
        security: self.role === 'gateway' ? (config.networks[self.network ?? '']?.security ?? null) : null,
        link: self.role === 'gateway' ? (links.get(self.network ?? '') ?? null) : null,
        source: self.role === 'gateway' ? sourceOf(config, lab, self) : null,
        endpoint: self.role === 'gateway' ? (config.networks[self.network ?? '']?.endpoint ?? null) : null,
        setup: self.role === 'control' ? (config.setup ?? []).map(({ operation, params = {} }) => ({ operation, params })) : [],
      };
      return { node: self.name, config: own };
    });
    return { agents, problems };
  },
};

/** Of a network's own nodes; its gateway is on the hub's network. */
const isInNetwork = (role: Role): boolean => role === 'host' || role === 'router';

const pathOf = (config: HubFile, name: string): (string | number)[] => {
  const network = Object.entries(config.networks).find(([, n]) => n.gateway === name)?.[0];
  if (network !== undefined) return ['networks', network, 'gateway'];
  return name in config.ains ? ['ains', name] : ['dmns'];
};

/** Every node with its role, and where others reach it. */
export function nodesOf(config: HubFile, lab: Lab, on: readonly string[], problems: SystemProblem[] = []): NodeInfo[] {
  const hub = segmentOf(lab, config.control);
  const roles: readonly [Role, (string | number)[], readonly string[], string | null][] = [
    ['control', ['control'], [config.control], null],
    ['dmn', ['dmns'], expandAll(config.dmns), null],
    ['ain', ['ains'], Object.keys(config.ains), null],
    ...Object.entries(config.networks).flatMap(([network, n]): [Role, (string | number)[], readonly string[], string][] => [
      ['gateway', ['networks', network, 'gateway'], [n.gateway, ...expandAll(n.vni?.standby ?? [])], network],
      ['router', ['networks', network, 'site', 'router'], n.site ? [n.site.router] : [], network],
      ['host', ['networks', network, 'hosts'], expandAll(n.hosts ?? []), network],
    ]),
  ];
  const nodes: NodeInfo[] = [];
  for (const [role, path, names, network] of roles) {
    for (const name of names) {
      const itf = isInNetwork(role) ? nodeOf(lab, name)?.interfaces.find((i) => i.addresses.length > 0) : deviceOn(lab, name, hub);
      const address = addressOf(itf);
      if (!on.includes(name)) problems.push({ path, message: `no agent runs on "${name}"`, hint: 'name it in systems.hub.on' });
      else if (nodes.some((n) => n.name === name)) problems.push({ path, message: `"${name}" has two roles`, hint: 'a node has one' });
      else if (address === undefined)
        problems.push({ path, message: `"${name}" has no address${isInNetwork(role) ? '' : ' on the network of the hub'}` });
      else nodes.push({ name, role, address, network });
    }
  }
  return nodes;
}

const ainsOf = ({ ains }: HubFile, lab: Lab, hub: number | undefined, cells: Cells): Ain[] =>
  Object.entries(ains).map(([name, { zone = 'zone' }], i): Ain => ({
    name,
    number: i + 1,
    zone,
    cell: cells.of.get(name) ?? '',
    mac: deviceOn(lab, name, hub)?.mac ?? '',
  }));

function networksOf(
  config: HubFile,
  lab: Lab,
  hub: number | undefined,
  cells: readonly string[],
  ains: readonly Ain[],
  problems: SystemProblem[],
): Network[] {
  const shards = shardsOf(config, cells, ains, problems);
  return Object.entries(config.networks).map(
    ([name, { gateway, prefixes, kind = 'ivn', account = null, site, endpoint = null, link, vni }], i): Network => {
      return {
        name,
        number: i + 1,
        kind: link ? 'link' : kind,
        link: link ? { hub: link.hub, other: link.to, transit: prefixes[0] ?? '' } : null,
        account,
        prefixes,
        gateway: vni ? vniMac(i + 1) : (deviceOn(lab, gateway, hub)?.mac ?? ''),
        at: vni ? gateway : null,
        shard: shards.get(name) ?? [],
        learned: link ? prefixes : site ? [] : null,
        endpoint,
      };
    },
  );
}

/** Its network's gateway, or its own router, as the host reaches it. */
function gatewayOf(config: HubFile, lab: Lab, { name, network }: NodeInfo): string | null {
  const own = config.networks[network ?? ''];
  if (own?.vni) return own.vni.address;
  const gateway = own?.site?.router ?? own?.gateway;
  const segment = segmentOf(lab, name);
  return (gateway === undefined ? undefined : addressOf(deviceOn(lab, gateway, segment))) ?? null;
}
