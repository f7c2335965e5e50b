/** The replication system as the testbed sees it: schema, admission, and what each node's agent is told. Pure. */
import { parseDurationUs, parseFraction, parseSizeBytes } from '../../src/core/units.ts';
import type { AgentSpec, SystemDefinition, SystemProblem } from '../../src/systems/definition.ts';
import type { Lab } from '../../src/topology/model.ts';
import { expandAll } from '../../src/topology/ranges.ts';
import { replicationSchema, type AgentConfig, type NodeInfo, type ReplicationFile, type Role } from './config.ts';

export const system: SystemDefinition<ReplicationFile> = {
  name: 'replication',
  configSchema: replicationSchema,
  entry: new URL('./main.ts', import.meta.url),
  page: new URL('./results/page.ts', import.meta.url),
  checks: new URL('./results/check.ts', import.meta.url),
  fixed: ['control', 'rdns', 'ppns', 'producers', 'consumers', 'scheme', 'period', 'quantile', 'fan-out', 'buffer', 'overflow', 'probe-rate', 'margin', 'clock-criterion', 'clock-errors', 'cells', 'requests'],
  realtime: false,
  plan(config, lab, on) {
    const problems: SystemProblem[] = [];
    const nodes = nodesOf(config, lab, on, problems);
    for (const name of Object.keys(config['clock-errors'] ?? {})) if (!nodes.some((n) => n.name === name)) problems.push({ path: ['clock-errors', name], message: `no node "${name}"` });
    if (parseDurationUs(config.period ?? '1s') < 200_000) problems.push({ path: ['period'], message: 'a period is at least 200ms' });
    if (problems.length > 0) return { agents: [], problems };
    return { agents: nodes.map((self) => agentSpec(config, self, nodes)), problems };
  },
};

/** Numbered in the order of their roles and names: the same topology, the same numbers. */
export function nodesOf(config: ReplicationFile, lab: Lab, on: readonly string[], problems: SystemProblem[] = []): NodeInfo[] {
  const roles: readonly [Role, keyof ReplicationFile, string | string[]][] = [
    ['control', 'control', config.control], ['rdn', 'rdns', config.rdns], ['ppn', 'ppns', config.ppns], ['producer', 'producers', config.producers], ['consumer', 'consumers', config.consumers],
  ];
  const nodes: NodeInfo[] = [];
  for (const [role, key, list] of roles) {
    for (const name of expandAll(list)) {
      const node = lab.fabric.nodes.find((n) => n.name === name);
      const address = node?.interfaces.flatMap((i) => i.addresses)[0]?.split('/')[0];
      if (!on.includes(name)) problems.push({ path: [key], message: `no agent runs on "${name}"`, hint: 'name it in systems.replication.on' });
      else if (nodes.some((n) => n.name === name)) problems.push({ path: [key], message: `"${name}" has two roles`, hint: 'a node has one' });
      else if (!node || address === undefined) problems.push({ path: [key], message: `"${name}" has no address` });
      else nodes.push({ id: nodes.length + 1, name, role, address, cell: node.labels[config.cells ?? 'cell'] ?? null });
    }
  }
  return nodes;
}

function agentSpec(config: ReplicationFile, self: NodeInfo, nodes: readonly NodeInfo[]): AgentSpec {
  const agentConfig: AgentConfig = {
    self, nodes,
    scheme: config.scheme ?? 'relative',
    periodMs: parseDurationUs(config.period ?? '1s') / 1000,
    quantile: parseFraction(config.quantile ?? '50%'),
    fanOut: config['fan-out'] ?? 2,
    buffer: { bytes: parseSizeBytes(config.buffer ?? '4MB'), overflow: config.overflow ?? 'drop' },
    probesPerSecond: config['probe-rate'] ?? 1000,
    marginUs: parseDurationUs(config.margin ?? '500us'),
    clockCriterionUs: parseDurationUs(config['clock-criterion'] ?? '1ms'),
    clockErrorUs: parseDurationUs(config['clock-errors']?.[self.name] ?? '0s'),
    requests: self.role === 'control' ? (config.requests ?? []).map(({ operation, params }) => ({ operation, params: params ?? {} })) : [],
  };
  return { node: self.name, config: agentConfig };
}
