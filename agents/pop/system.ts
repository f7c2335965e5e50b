/** The PoP system as the testbed sees it: schema, admission, and what each node's agent is told. Pure. */
import { isIPv4 } from 'node:net';
import { parseDurationUs, parseFraction, parseSizeBytes } from '../../src/core/units.ts';
import type { AgentSpec, SystemDefinition, SystemProblem } from '../../src/systems/definition.ts';
import type { Lab, LabNode } from '../../src/topology/model.ts';
import { requestProblems } from '../../src/systems/operations.ts';
import { expandAll } from '../../src/core/config/ranges.ts';
import { OPERATIONS } from './operations.ts';
import {
  popSchema,
  type AgentConfig,
  type BgpSpeaker,
  type LawConfig,
  type NodeInfo,
  type Pop,
  type PopFile,
  type Role,
  type RuleConfig,
  type Service,
} from './config.ts';

/** native/forward.h */
const MOST_SERVICES = 16;

export const system: SystemDefinition<PopFile> = {
  name: 'pop',
  configSchema: popSchema,
  entry: new URL('./main.ts', import.meta.url),
  page: new URL('./results/page.ts', import.meta.url),
  checks: new URL('./results/check.ts', import.meta.url),
  fixed: Object.keys(popSchema.properties),
  realtime: false,
  requests(config, lab, on, node, operation, params) {
    const role = nodesOf(config, lab, on).find((n) => n.name === node)?.role;
    const found = requestProblems(role === undefined ? {} : (OPERATIONS[role] ?? {}), operation, params);
    if (found.length > 0) return found;
    const service = params['service'];
    const known = Object.keys(config.services);
    if (typeof service === 'string' && !known.includes(service))
      return [{ path: ['params', 'service'], message: `no service "${service}"`, hint: `services: ${known.join(', ')}` }];
    const pops = Object.keys(config.pops);
    return ((params['policies'] ?? []) as { from: string; to: string }[]).flatMap((policy, i) =>
      (['from', 'to'] as const).flatMap((key) =>
        pops.includes(policy[key])
          ? []
          : [{ path: ['params', 'policies', i, key], message: `no PoP "${policy[key]}"`, hint: `PoPs: ${pops.join(', ')}` }],
      ),
    );
  },
  plan(config, lab, on) {
    const problems: SystemProblem[] = [];
    const nodes = nodesOf(config, lab, on, problems);
    const pops = popsOf(config);
    const services = servicesOf(config, problems);
    if (services.length > MOST_SERVICES)
      problems.push({
        path: ['services'],
        message: `${services.length} services, of at most ${MOST_SERVICES}`,
        hint: 'each has a forwarding table of its own',
      });
    const slots = config.slots ?? 1024;
    if ((slots & (slots - 1)) !== 0)
      problems.push({
        path: ['slots'],
        message: `${slots} is no power of two`,
        hint: "the packet id's last bits choose a slot: 256, 1024, …",
      });
    for (const [i, { from, to, service }] of (config.policies ?? []).entries()) {
      for (const [key, name] of [
        ['from', from],
        ['to', to],
      ] as const)
        if (!pops.some((p) => p.name === name))
          problems.push({ path: ['policies', i, key], message: `no PoP "${name}"`, hint: `PoPs: ${pops.map((p) => p.name).join(', ')}` });
      if (service !== undefined && !services.some((s) => s.name === service))
        problems.push({
          path: ['policies', i, 'service'],
          message: `no service "${service}"`,
          hint: `services: ${services.map((s) => s.name).join(', ')}`,
        });
    }
    for (const [i, prefix] of (config.threats ?? []).entries()) {
      const [address = '', length = ''] = prefix.split('/');
      if (!isIPv4(address) || !/^[0-9]{1,2}$/.test(length) || Number(length) > 32 || prefix.split('/').length !== 2)
        problems.push({ path: ['threats', i], message: `"${prefix}" is no prefix`, hint: 'for example 198.51.100.0/24' });
    }
    if (problems.length > 0) return { agents: [], problems };
    const net = new Net(lab, nodes, pops);
    for (const pop of pops)
      for (const server of pop.servers)
        if (!net.sharesSegment(server, pop.edge))
          problems.push({
            path: ['pops', pop.name, 'servers'],
            message: `"${server}" is on no network with the edge "${pop.edge}"`,
            hint: 'servers and their edge hang off one switch',
          });
    if (problems.length > 0) return { agents: [], problems };
    return {
      agents: nodes.map((self): AgentSpec => ({ node: self.name, config: agentConfig(config, self, nodes, pops, services, net) })),
      problems,
    };
  },
};

export const popsOf = ({ pops }: PopFile): Pop[] =>
  Object.entries(pops).map(([name, p]) => ({
    name,
    manager: p.manager,
    edge: p.edge,
    servers: expandAll(p.servers),
    strict: p.strict ?? false,
  }));

export function servicesOf({ services, pops }: PopFile, problems: SystemProblem[] = []): Service[] {
  const all = Object.values(pops).flatMap((p) => expandAll(p.servers));
  return Object.entries(services).map(([name, { address, servers }], table) => {
    if (!isIPv4(address)) problems.push({ path: ['services', name, 'address'], message: `"${address}" is no IPv4 address` });
    const own = servers === undefined ? all : expandAll(servers);
    for (const s of own)
      if (!all.includes(s)) problems.push({ path: ['services', name, 'servers'], message: `"${s}" is no server of a PoP` });
    return { name, address, table, servers: own };
  });
}

/** Every node with its role, and where others reach it. */
export function nodesOf(config: PopFile, lab: Lab, on: readonly string[], problems: SystemProblem[] = []): NodeInfo[] {
  const roles: readonly [Role, (string | number)[], readonly string[], string | null][] = [
    ['controller', ['controller'], [config.controller], null],
    ...Object.entries(config.pops).flatMap(([pop, p]): [Role, (string | number)[], string[], string | null][] => [
      ['manager', ['pops', pop, 'manager'], [p.manager], pop],
      ['edge', ['pops', pop, 'edge'], [p.edge], pop],
      ['server', ['pops', pop, 'servers'], expandAll(p.servers), pop],
    ]),
    ['router', ['routers'], Object.keys(config.routers ?? {}), null],
    ['origin', ['origin'], config.origin === undefined ? [] : [config.origin], null],
    ['client', ['clients'], expandAll(config.clients), null],
  ];
  const nodes: NodeInfo[] = [];
  for (const [role, path, names, pop] of roles) {
    for (const name of names) {
      const node = lab.fabric.nodes.find((n) => n.name === name);
      // Servers' and edges' addresses are those on their PoP's own network.
      const edge = pop === null ? undefined : config.pops[pop]?.edge;
      const inside =
        role === 'edge'
          ? segmentOf(lab.fabric.nodes.find((n) => n.name === expandAll(config.pops[pop!]!.servers)[0]))
          : edge === undefined
            ? undefined
            : segmentOf(node);
      const itf = node?.interfaces.find((i) => i.addresses.length > 0 && (inside === undefined || i.segment === inside));
      const address = itf?.addresses[0]?.split('/')[0];
      if (!on.includes(name)) problems.push({ path, message: `no agent runs on "${name}"`, hint: 'name it in systems.pop.on' });
      else if (nodes.some((n) => n.name === name)) problems.push({ path, message: `"${name}" has two roles`, hint: 'a node has one' });
      else if (address === undefined)
        problems.push({ path, message: role === 'edge' ? `"${name}" is on no network with its servers` : `"${name}" has no address` });
      else nodes.push({ name, role, address, pop });
    }
  }
  return nodes;
}

const segmentOf = (node: LabNode | undefined): number | undefined => node?.interfaces.find((i) => i.addresses.length > 0)?.segment;

/** Who shares a link or a switch with whom. */
class Net {
  readonly #lab: Lab;
  readonly #nodes: readonly NodeInfo[];
  readonly #pops: readonly Pop[];

  constructor(lab: Lab, nodes: readonly NodeInfo[], pops: readonly Pop[]) {
    this.#lab = lab;
    this.#nodes = nodes;
    this.#pops = pops;
  }

  #node(name: string): LabNode {
    return this.#lab.fabric.nodes.find((n) => n.name === name)!;
  }

  sharesSegment(a: string, b: string): boolean {
    return this.#node(a).interfaces.some((i) => this.#node(b).interfaces.some((j) => j.segment === i.segment));
  }

  /** The first router or edge on a network with it. */
  gateway(name: string): string | null {
    for (const itf of this.#node(name).interfaces) {
      for (const other of this.#nodes.filter((n) => n.name !== name && (n.role === 'router' || n.role === 'edge'))) {
        const near = this.#node(other.name).interfaces.find((j) => j.segment === itf.segment && j.addresses.length > 0);
        if (near) return near.addresses[0]!.split('/')[0]!;
      }
    }
    return null;
  }

  /** Edge: those that are not its PoP's own network. Others: all. */
  devices({ name, role, pop }: NodeInfo): string[] {
    const own = this.#pops.find((p) => p.name === pop)?.servers[0];
    const inside = role === 'edge' && own !== undefined ? segmentOf(this.#node(own)) : undefined;
    return this.#node(name)
      .interfaces.filter((i) => i.addresses.length > 0 && i.segment !== inside)
      .map((i) => i.name);
  }

  speaker({ name, pop }: NodeInfo, asOf: (name: string) => number | undefined, anycast: readonly string[]): BgpSpeaker | null {
    const as = asOf(name);
    if (as === undefined) return null;
    const neighbours = this.#node(name).interfaces.flatMap((itf) =>
      this.#nodes.flatMap((other) => {
        const theirs = asOf(other.name);
        const near =
          other.name === name
            ? undefined
            : this.#node(other.name).interfaces.find((j) => j.segment === itf.segment && j.addresses.length > 0);
        return theirs === undefined || !near ? [] : [{ name: other.name, address: near.addresses[0]!.split('/')[0]!, as: theirs }];
      }),
    );
    return { as, neighbours, anycast: pop === null ? [] : anycast };
  }
}

function ruleOf(rule: { load?: string; when?: RuleConfig['when']; servers?: number | string } | undefined, load: string): RuleConfig {
  const servers = rule?.servers ?? 1;
  return {
    load: parseFraction(rule?.load ?? load),
    when: rule?.when ?? 'combined',
    servers: typeof servers === 'number' ? { count: servers } : { part: parseFraction(servers) },
  };
}

export function lawOf(law: PopFile['law']): LawConfig | null {
  if (law === undefined || law === 'off') return null;
  const [donor, receiver] = [ruleOf(law.donor, '80%'), ruleOf(law.receiver, '60%')];
  return {
    donor,
    receiver,
    latencyMs: law.latency === undefined ? null : parseDurationUs(law.latency) / 1000,
    goal: law.goal === undefined ? (donor.load + receiver.load) / 2 : parseFraction(law.goal),
    step: parseFraction(law.step ?? '25%'),
  };
}

export const feedbackUsOf = ({ feedback }: PopFile): number => parseDurationUs(feedback ?? '500ms');
export const intervalUsOf = (config: PopFile): number =>
  config.interval === undefined ? 2 * feedbackUsOf(config) : parseDurationUs(config.interval);

function agentConfig(
  config: PopFile,
  self: NodeInfo,
  nodes: readonly NodeInfo[],
  pops: readonly Pop[],
  services: readonly Service[],
  net: Net,
): AgentConfig {
  const asOf = (name: string): number | undefined => config.routers?.[name] ?? Object.values(config.pops).find((p) => p.edge === name)?.as;
  const own = pops.find((p) => p.name === self.pop);
  const anycast = services.filter((s) => own?.servers.some((name) => s.servers.includes(name))).map((s) => s.address);
  return {
    self,
    nodes,
    pops,
    services,
    gateway: self.role === 'edge' || self.role === 'router' ? null : net.gateway(self.name),
    devices: net.devices(self),
    bgp: self.role === 'edge' || self.role === 'router' ? net.speaker(self, asOf, anycast) : null,
    preserving: (config.mode ?? 'preserving') === 'preserving',
    memory: config.memory ?? true,
    encapsulation: config.encapsulation ?? 'gre',
    pair: config['packet-id'] === 'pair',
    slots: config.slots ?? 1024,
    returnByTunnel: config.return === 'tunnel',
    drainMs: config.drain === undefined ? null : parseDurationUs(config.drain) / 1000,
    capacity: parseFraction(config.capacity ?? '100%'),
    workBytes: parseSizeBytes(config.work ?? '20kB'),
    feedbackMs: feedbackUsOf(config) / 1000,
    intervalMs: intervalUsOf(config) / 1000,
    law: lawOf(config.law),
    threats: config.threats ?? [],
    policies:
      self.role === 'controller'
        ? (config.policies ?? []).map(({ from, to, service, amount }) => ({
            from,
            to,
            service: service ?? null,
            amount: parseFraction(amount),
          }))
        : [],
  };
}
