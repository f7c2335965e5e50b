/** The replication system as the testbed sees it: schema, admission, and what each node's agent is told. Pure. */
import { parseDurationUs, parseFraction, parseSizeBytes } from '../../src/core/units.ts';
import { ipToText } from '../../src/capture/headers.ts';
import type { AgentSpec, SystemDefinition, SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import { suggest } from '../../src/core/config/validate.ts';
import { requestProblems } from '../../src/systems/operations.ts';
import { OPERATIONS, PRODUCER_OPERATIONS } from './control/operations.ts';
import { expandAll } from '../../src/core/config/ranges.ts';
import type { Fabric } from './gateway/flows.ts';
import { replicationSchema, type AgentConfig, type NodeInfo, type ReplicationFile, type Role } from './config.ts';

export const system: SystemDefinition<ReplicationFile> = {
  name: 'replication',
  configSchema: replicationSchema,
  entry: new URL('./main.ts', import.meta.url),
  page: new URL('./results/page.ts', import.meta.url),
  checks: new URL('./results/check.ts', import.meta.url),
  fixed: [
    'control',
    'rdns',
    'ppns',
    'producers',
    'consumers',
    'scheme',
    'period',
    'quantile',
    'fan-out',
    'buffer',
    'overflow',
    'silence',
    'release',
    'probe-rate',
    'margin',
    'clock-criterion',
    'clock-errors',
    'clock-drifts',
    'cells',
    'gateway',
    'requests',
  ],
  realtime: false,
  requests(config, lab, on, node, operation, params) {
    const nodes = nodesOf(config, lab, on);
    const role = nodes.find((n) => n.name === node)?.role;
    if (role === 'control') return controlProblems(operation, params, nodes);
    return requestProblems(role === 'producer' ? PRODUCER_OPERATIONS : {}, operation, params);
  },
  plan(config, lab, on) {
    const problems: SystemProblem[] = [];
    const nodes = nodesOf(config, lab, on, problems);
    for (const key of ['clock-errors', 'clock-drifts'] as const) {
      for (const name of Object.keys(config[key] ?? {}))
        if (!nodes.some((n) => n.name === name)) problems.push({ path: [key, name], message: `no node "${name}"` });
    }
    if (parseDurationUs(config.period ?? '1s') < 200_000) problems.push({ path: ['period'], message: 'a period is at least 200ms' });
    for (const [i, { operation, params = {} }] of (config.requests ?? []).entries())
      problems.push(...controlProblems(operation, params, nodes).map((p) => ({ ...p, path: ['requests', i, ...p.path] })));
    const fabric = fabricOf(config, lab, problems);
    if (problems.length > 0) return { agents: [], problems };
    return { agents: nodes.map((self) => agentSpec(config, self, nodes, fabric)), problems };
  },
};

/** What is wrong with a request to the control plane server, as far as the file can tell. */
function controlProblems(operation: string, params: Readonly<Record<string, unknown>>, nodes: readonly NodeInfo[]): SystemProblem[] {
  const found = requestProblems(OPERATIONS, operation, params);
  return found.length > 0 ? found : unknownNodes(params, nodes, ['params']);
}

const LISTS: Readonly<Record<string, Role>> = { producers: 'producer', consumers: 'consumer', duplicates: 'consumer' };

/** Names in lists of producers and consumers, wherever they are in the parameters. */
function unknownNodes(params: Readonly<Record<string, unknown>>, nodes: readonly NodeInfo[], path: readonly string[]): SystemProblem[] {
  return Object.entries(params).flatMap(([key, value]): SystemProblem[] => {
    const role = LISTS[key];
    if (role !== undefined && Array.isArray(value)) {
      const known = nodes.filter((n) => n.role === role).map((n) => n.name);
      return (value as string[]).flatMap((name, i): SystemProblem[] => {
        if (known.includes(name)) return [];
        const near = suggest(name, known);
        return [
          {
            path: [...path, key, String(i)],
            message: `"${name}" is no ${role}`,
            hint: name.includes('{')
              ? 'requests name every node; ranges are of topologies'
              : near
                ? `did you mean "${near}"?`
                : `there are: ${known.join(', ')}`,
          },
        ];
      });
    }
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? unknownNodes(value as Record<string, unknown>, nodes, [...path, key])
      : [];
  });
}

/** Numbered in the order of their roles and names: the same topology, the same numbers. */
export function nodesOf(config: ReplicationFile, lab: Lab, on: readonly string[], problems: SystemProblem[] = []): NodeInfo[] {
  const roles: readonly [Role, keyof ReplicationFile, string | string[]][] = [
    ['control', 'control', config.control],
    ['rdn', 'rdns', config.rdns],
    ['ppn', 'ppns', config.ppns],
    ['producer', 'producers', config.producers],
    ['consumer', 'consumers', config.consumers],
    ...(config.gateway ? [['gateway', 'gateway', config.gateway.node] as const] : []),
  ] as [Role, keyof ReplicationFile, string | string[]][];
  const translated = new Map(fabricOf(config, lab)?.networks.flatMap((n) => n.hosts.map((h) => [h.name, h.translated] as const)));
  const nodes: NodeInfo[] = [];
  for (const [role, key, list] of roles) {
    for (const name of expandAll(list)) {
      const node = lab.fabric.nodes.find((n) => n.name === name);
      const bind = node?.interfaces.flatMap((i) => i.addresses)[0]?.split('/')[0];
      if (!on.includes(name))
        problems.push({ path: [key], message: `no agent runs on "${name}"`, hint: 'name it in systems.replication.on' });
      else if (nodes.some((n) => n.name === name))
        problems.push({ path: [key], message: `"${name}" has two roles`, hint: 'a node has one' });
      else if (!node || bind === undefined) problems.push({ path: [key], message: `"${name}" has no address` });
      else
        nodes.push({
          id: nodes.length + 1,
          name,
          role,
          address: translated.get(name) ?? bind,
          bind,
          cell: node.labels[config.cells ?? 'cell'] ?? null,
        });
    }
  }
  return nodes;
}

/** The virtual networks that meet at the gateway, and the provider's network there; null: there is no gateway. */
function fabricOf({ gateway }: ReplicationFile, { fabric }: Lab, problems: SystemProblem[] = []): Fabric | null {
  if (!gateway) return null;
  const node = fabric.nodes.find((n) => n.name === gateway.node);
  const port = (name: string) => node?.interfaces.find((i) => i.name === name && i.port);
  if (!node || node.kind !== 'ovs-bridge' || !node.separate)
    problems.push({
      path: ['gateway', 'node'],
      message: `"${gateway.node}" must be of kind ovs-bridge, with separate: true`,
      hint: 'addresses of virtual networks may overlap: their ports must not be one segment',
    });
  for (const name of [gateway.network, ...Object.values(gateway.networks)])
    if (!port(name)) problems.push({ path: ['gateway'], message: `"${gateway.node}" has no port "${name}"` });
  let next = addressNumber(gateway['translate-from']);
  const hosts = (segment: number | undefined) =>
    fabric.nodes.flatMap((n) =>
      n.interfaces.flatMap((i) =>
        i.segment === segment && i.addresses[0] !== undefined
          ? [{ name: n.name, mac: i.mac, own: i.addresses[0].split('/')[0] as string, node: n }]
          : [],
      ),
    );
  const networks = Object.entries(gateway.networks).map(([name, portName]) => {
    const own = hosts(port(portName)?.segment)
      .filter((h) => h.node.labels['vpc'] === name)
      .map(({ name: host, mac, own: address }) => ({ name: host, mac, own: address, translated: ipToText(next++) }));
    if (own.length === 0)
      problems.push({ path: ['gateway', 'networks', name], message: `no host with the label vpc=${name} is at port "${portName}"` });
    return {
      name,
      port: portName,
      router: own[0] ? ipToText(Math.floor(addressNumber(own[0].own) / 256) * 256 + 1) : '0.0.0.0',
      hosts: own,
    };
  });
  return {
    mac: port(gateway.network)?.mac ?? '',
    provider: { port: gateway.network, hosts: hosts(port(gateway.network)?.segment).map(({ own, mac }) => ({ address: own, mac })) },
    networks,
  };
}

const addressNumber = (text: string): number => text.split('.').reduce((n, octet) => n * 256 + Number(octet), 0);

function agentSpec(config: ReplicationFile, self: NodeInfo, nodes: readonly NodeInfo[], fabric: Fabric | null): AgentSpec {
  const agentConfig: AgentConfig = {
    self,
    nodes,
    scheme: config.scheme ?? 'relative',
    periodMs: parseDurationUs(config.period ?? '1s') / 1000,
    quantile: parseFraction(config.quantile ?? '50%'),
    fanOut: config['fan-out'] ?? 2,
    buffer: { bytes: parseSizeBytes(config.buffer ?? '4MB'), overflow: config.overflow ?? 'drop' },
    silenceMs: parseDurationUs(config.silence ?? '1s') / 1000,
    release: config.release ?? 'loop',
    probesPerSecond: config['probe-rate'] ?? 1000,
    marginUs: parseDurationUs(config.margin ?? '500us'),
    clockCriterionUs: parseDurationUs(config['clock-criterion'] ?? '1ms'),
    clockFault: {
      errorUs: parseDurationUs(config['clock-errors']?.[self.name] ?? '0s'),
      driftUs: parseDurationUs(config['clock-drifts']?.[self.name] ?? '0s'),
    },
    fabric: self.role === 'gateway' ? fabric : null,
    requests: self.role === 'control' ? (config.requests ?? []).map(({ operation, params }) => ({ operation, params: params ?? {} })) : [],
  };
  return { node: self.name, config: agentConfig };
}
