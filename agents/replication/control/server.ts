/** Control plane server: takes what clients ask for, chooses hosts, and makes RDNs lead (R0 sections 2, 3.9 and 5). */
import { parseSizeBytes } from '../../../src/core/units.ts';
import { connect, type Peer } from '../../lib/channel.ts';
import { validated } from '../../lib/params.ts';
import { log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentConfig, NodeInfo, Role } from '../config.ts';
import { isOperation, OPERATIONS, QUESTIONS, refuse, type Operation, type Params, type Requirements } from './operations.ts';
import { classesOf, consumerCount, describe, gatewayOf, limitsOf, narrowed, ppnsFor, underPolicy, type Policy, type Svg } from './svg.ts';
import { distance, place } from './placement.ts';
import { GATEWAY_PORT, RDN_PORT, type GatewayFunctions, type NodeId, type RdnControlFunctions } from '../protocol.ts';

const DEFAULT_RATE = 100;
const DEFAULT_SIZE = '200B';
const REACH_MS = 8000;
/** Leaders that may be lost while they take the lead: their first measurements take seconds. */
const MOST_LOST = 3;

/** RDNs that may remember what a predecessor of this process did are waited for. */
const RECALL_MS = 3000;

interface Lpg {
  readonly cell: string;
  readonly policy: Policy;
  readonly owner: string;
  readonly shared: readonly string[];
  /** Virtual network by node. */
  readonly members: Readonly<Record<string, string>>;
}

/** All that must not be forgotten when this process ends. */
interface State {
  readonly svgs: readonly Svg[];
  readonly lpgs: readonly (readonly [string, Lpg])[];
}

export class ControlPlane {
  readonly #config: AgentConfig;
  readonly #byName: ReadonlyMap<string, NodeInfo>;
  readonly #rdns = new Map<string, Peer<RdnControlFunctions>>();
  readonly #links: { close(): void }[] = [];
  readonly #svgs = new Map<string, Svg>();
  readonly #lpgs = new Map<string, Lpg>();
  readonly #counters = { requests: 0, refused: 0, takeovers: 0, migrations: 0 };
  #switch: Peer<GatewayFunctions> | undefined;
  #stopped = false;
  #version = 0;
  #recalled = false;

  constructor(config: AgentConfig) {
    this.#config = config;
    this.#byName = new Map(config.nodes.map((n) => [n.name, n]));
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, svgs: this.#svgs.size, ppns: [...this.#svgs.values()].reduce((n, s) => n + s.ppns.length, 0) };
  }

  start(secret: string): void {
    this.#connectGateway(secret);
    for (const rdn of this.#config.nodes.filter((n) => n.role === 'rdn')) {
      this.#links.push(
        connect<RdnControlFunctions>({
          address: rdn.address,
          port: RDN_PORT,
          secret,
          silenceMs: this.#config.silenceMs,
          self: this.#config.self.name,
          peer: rdn.name,
          local: {},
          onPeer: (peer) => {
            this.#rdns.set(rdn.name, peer);
            this.#found(rdn.name, peer);
            void peer.closed.then(() => this.#lost(rdn.name, peer));
          },
        }),
      );
    }
  }

  #connectGateway(secret: string): void {
    for (const node of this.#config.nodes.filter((n) => n.role === 'gateway')) {
      this.#links.push(
        connect<GatewayFunctions>({
          address: node.bind,
          port: GATEWAY_PORT,
          secret,
          silenceMs: this.#config.silenceMs,
          self: this.#config.self.name,
          peer: node.name,
          local: {},
          onPeer: (peer) => {
            this.#switch = peer;
            void peer.closed.then(() => {
              if (this.#switch === peer) this.#switch = undefined;
            });
          },
        }),
      );
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const link of this.#links) link.close();
  }

  /** What RDNs remember of a predecessor of this process becomes its own. true: there was one. */
  async recall(): Promise<boolean> {
    const rdns = this.#config.nodes.filter((n) => n.role === 'rdn').length;
    const deadline = performance.now() + RECALL_MS;
    while (this.#rdns.size < rdns && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
    const memories = await Promise.all([...this.#rdns.values()].map((rdn) => rdn.call.recall().catch(() => null)));
    const newest = memories.filter((m) => m !== null).sort((a, b) => b.version - a.version)[0];
    if (newest) {
      const { svgs, lpgs } = newest.state as State;
      this.#version = newest.version;
      for (const svg of svgs) this.#svgs.set(svg.name, { ...svg });
      for (const [name, lpg] of lpgs) this.#lpgs.set(name, lpg);
      log('warn', 'recalled', { version: newest.version, svgs: svgs.map((s) => s.name) });
    }
    this.#recalled = true;
    for (const svg of this.#svgs.values())
      await this.#lead(svg).catch((error: unknown) => log('error', 'recalled', { svg: svg.name, why: (error as Error).message }));
    return newest !== undefined;
  }

  async #remember(): Promise<void> {
    this.#version += 1;
    const state: State = { svgs: [...this.#svgs.values()], lpgs: [...this.#lpgs] };
    await Promise.all([...this.#rdns.values()].map((rdn) => rdn.call.remember({ version: this.#version, state }).catch(() => undefined)));
  }

  /** Typed requests; refusals carry their code. */
  async request(operation: string, params: unknown): Promise<unknown> {
    this.#counters.requests += 1;
    if (!isOperation(operation)) return refuse('UnknownOperation', `operations: ${Object.keys(OPERATIONS).join(', ')}`);
    const startedMs = performance.now();
    try {
      while (!this.#recalled) await new Promise((resolve) => setTimeout(resolve, 50));
      const valid = validated(OPERATIONS[operation], params);
      // Also where it fails on the way: terms and hosts may have changed.
      const answer = await Promise.resolve(this.#perform(operation, valid)).finally(() =>
        QUESTIONS.has(operation) ? undefined : this.#remember(),
      );
      log('info', 'operation', { operation, tookMs: Math.round(performance.now() - startedMs) });
      return answer;
    } catch (error) {
      if (error instanceof Refusal) this.#counters.refused += 1;
      throw error;
    }
  }

  #perform(operation: Operation, params: unknown): unknown {
    switch (operation) {
      case 'LatencySensitiveApplicationGroupRequirements':
        return this.#propose(params as Params<'LatencySensitiveApplicationGroupRequirements'>);
      case 'EstablishSVG':
        return this.#establish(params as Params<'EstablishSVG'>);
      case 'ModifyLSAGConfig':
        return this.#modifyConfig(params as Params<'ModifyLSAGConfig'>);
      case 'ModifyLSAGRequirements':
        return this.#modifyRequirements(params as Params<'ModifyLSAGRequirements'>);
      case 'GetLSAGMetrics':
        return this.#metrics(params as Params<'GetLSAGMetrics'>);
      case 'CreateLPGAndPolicy':
        return this.#createLpg(params as Params<'CreateLPGAndPolicy'>);
      case 'ShareLPG':
        return this.#shareLpg(params as Params<'ShareLPG'>);
      case 'LaunchVMsOfVPCInLPG':
        return this.#launch(params as Params<'LaunchVMsOfVPCInLPG'>);
      case 'SVGPacketProcessingRequirements':
        return this.#tasks(params as Params<'SVGPacketProcessingRequirements'>);
      case 'GetSVGPacketProcessingMetrics':
        return this.#processed(params as Params<'GetSVGPacketProcessingMetrics'>);
      case 'ConfigureSVGForLPG':
        return this.#bind(params as Params<'ConfigureSVGForLPG'>);
    }
  }

  #propose(wanted: Requirements) {
    const { consumers, duplicates = [] } = wanted;
    this.#ids(consumers, 'consumer');
    this.#ids(wanted.producers, 'producer');
    const ppns = ppnsFor(this.#config, consumers.length, duplicates.length);
    const hosts = place({ ppns, rdns: this.#rdnCount() }, null, this.#free());
    return {
      ppns,
      rdns: this.#rdnCount(),
      scheme: this.#config.scheme,
      fits: hosts !== undefined,
      clocks: 'hosts with synchronised clocks: holds until an absolute time, and one-way latencies, rest on them',
    };
  }

  async #establish({ svg, ppns, ...wanted }: Params<'EstablishSVG'>) {
    if (this.#svgs.has(svg)) refuse('AlreadyExists', `a gateway "${svg}" exists`);
    const consumers = this.#ids(wanted.consumers, 'consumer');
    const made: Svg = {
      name: svg,
      number: this.#svgs.size,
      account: wanted.account ?? null,
      ppnsWanted: ppns ?? null,
      rate: wanted.rate ?? DEFAULT_RATE,
      messageBytes: parseSizeBytes(wanted.size ?? DEFAULT_SIZE),
      producers: this.#ids(wanted.producers, 'producer'),
      classes: classesOf(consumers, wanted, (names) => this.#ids(names, 'consumer')),
      duplicates: this.#ids(wanted.duplicates ?? [], 'consumer'),
      ppns: [],
      rdns: [],
      cell: null,
      term: 1,
    };
    this.#choose(made);
    this.#svgs.set(svg, made);
    try {
      await this.#lead(made);
    } catch (error) {
      this.#svgs.delete(svg);
      void this.#rdns
        .get(made.rdns[0] ?? '')
        ?.call.lead(null)
        .catch(() => undefined);
      throw error;
    }
    return describe(made);
  }

  async #modifyConfig({ svg, add, remove }: Params<'ModifyLSAGConfig'>) {
    const own = this.#svg(svg);
    const leaving = new Set(this.#ids(remove?.consumers ?? [], 'consumer'));
    const joining = this.#ids(add?.consumers ?? [], 'consumer');
    const gone = new Set(this.#ids(remove?.producers ?? [], 'producer'));
    const [firstClass] = Object.keys(own.classes);
    const next: Svg = {
      ...own,
      classes: Object.fromEntries(
        Object.entries(own.classes).map(([name, c]) => [
          name,
          {
            ...c,
            consumers: [
              ...c.consumers.filter((id) => !leaving.has(id)),
              ...(name === firstClass ? joining.filter((id) => !c.consumers.includes(id)) : []),
            ],
          },
        ]),
      ),
      duplicates: own.duplicates.filter((id) => !leaving.has(id)),
      producers: [...new Set([...own.producers.filter((id) => !gone.has(id)), ...this.#ids(add?.producers ?? [], 'producer')])],
    };
    this.#choose(next, own);
    Object.assign(own, next);
    await this.#lead(own);
    return describe(own);
  }

  async #modifyRequirements({ svg, classes, ...limits }: Params<'ModifyLSAGRequirements'>) {
    const own = this.#svg(svg);
    for (const name of Object.keys(classes ?? {}))
      if (!own.classes[name]) refuse('InvalidRequest', `/classes/${name}: no such class; classes: ${Object.keys(own.classes).join(', ')}`);
    own.classes = narrowed(own.classes, limits, classes);
    await this.#lead(own);
    return { svg, classes: own.classes };
  }

  async #metrics({ svg, consumers }: Params<'GetLSAGMetrics'>) {
    const own = this.#svg(svg);
    if (consumers) this.#ids(consumers, 'consumer');
    const leader = this.#leader(own);
    const [status, members] = await Promise.all([leader.call.status(), leader.call.metrics()]);
    const asked = members.filter((m) => consumers === undefined || consumers.includes(m.consumer));
    const total = (of: 'bytes' | 'missing' | 'messages') => asked.reduce((sum, m) => sum + (m.metrics?.[of] ?? 0), 0);
    return {
      svg,
      ...status,
      leader: own.rdns[0],
      ppns: own.ppns,
      bytes: total('bytes'),
      drops: total('missing'),
      messages: total('messages'),
      consumers: asked,
    };
  }

  #createLpg({ lpg, cell, account, ...limits }: Params<'CreateLPGAndPolicy'>) {
    if (this.#lpgs.has(lpg)) refuse('AlreadyExists', `a placement group "${lpg}" exists`);
    if (!this.#config.nodes.some((n) => n.cell === cell)) refuse('UnknownNode', `no host is in cell "${cell}"`);
    const policy = limitsOf(limits);
    this.#lpgs.set(lpg, { cell, policy, owner: account, shared: [], members: {} });
    return { lpg, cell, policy };
  }

  #shareLpg({ lpg, account, with: other }: Params<'ShareLPG'>) {
    const group = this.#lpg(lpg);
    if (group.owner !== account) refuse('NotShared', `"${lpg}" belongs to another account`);
    const shared = [...new Set([...group.shared, other])];
    this.#lpgs.set(lpg, { ...group, shared });
    return { lpg, shared };
  }

  #launch({ lpg, account, vpc, nodes }: Params<'LaunchVMsOfVPCInLPG'>) {
    const group = this.#lpg(lpg);
    this.#mayUse(group, lpg, account);
    for (const name of nodes) {
      const node = this.#byName.get(name) ?? refuse('UnknownNode', `no node "${name}"`);
      if (node.cell !== group.cell) refuse('NoCapacity', `${name} is in cell ${node.cell ?? 'unknown'}, the group in ${group.cell}`);
    }
    const members = { ...group.members, ...Object.fromEntries(nodes.map((name) => [name, vpc])) };
    this.#lpgs.set(lpg, { ...group, members });
    return { lpg, members };
  }

  /** Tasks by direction between virtual networks; what no task names is refused where the use is exclusive (R0-30, R0-32). */
  async #tasks({ svg, directions, exclusive = false }: Params<'SVGPacketProcessingRequirements'>) {
    this.#svg(svg);
    await (await this.#gateway()).call.settle({ directions, exclusive });
    return { svg, directions, exclusive };
  }

  async #processed({ svg }: Params<'GetSVGPacketProcessingMetrics'>) {
    this.#svg(svg);
    return { svg, directions: await (await this.#gateway()).call.metrics() };
  }

  /** It may be just starting, as the control plane is. */
  async #gateway(): Promise<Peer<GatewayFunctions>> {
    const deadline = performance.now() + REACH_MS;
    while (!this.#switch && this.#config.nodes.some((n) => n.role === 'gateway') && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return this.#switch ?? refuse('Unreachable', 'no gateway between virtual networks answers');
  }

  /** A gateway whose nodes are elsewhere migrates (R0-28). */
  async #bind({ svg, lpg, account }: Params<'ConfigureSVGForLPG'>) {
    const own = this.#svg(svg);
    const group = this.#lpg(lpg);
    this.#mayUse(group, lpg, account ?? own.account ?? '');
    const before = new Set([...own.ppns, own.rdns[0]]);
    const next: Svg = { ...own, cell: group.cell, classes: underPolicy(own.classes, group.policy) };
    this.#choose(next, own);
    Object.assign(own, next);
    const migrated = [...own.ppns, own.rdns[0]].filter((name) => !before.has(name));
    this.#counters.migrations += migrated.length;
    await this.#lead(own);
    return { ...describe(own), classes: own.classes, migrated };
  }

  #mayUse(group: Lpg, lpg: string, account: string): void {
    if (group.owner !== account && !group.shared.includes(account)) refuse('NotShared', `"${lpg}" is not shared with account "${account}"`);
  }

  #svg(name: string): Svg {
    return this.#svgs.get(name) ?? refuse('UnknownSVG', `no gateway "${name}"; there are: ${[...this.#svgs.keys()].join(', ') || 'none'}`);
  }

  #lpg(name: string): Lpg {
    return (
      this.#lpgs.get(name) ??
      refuse('UnknownLPG', `no placement group "${name}"; there are: ${[...this.#lpgs.keys()].join(', ') || 'none'}`)
    );
  }

  #ids(names: readonly string[], role: Role): NodeId[] {
    return names.map((name) => {
      const node = this.#byName.get(name);
      return node?.role === role ? node.id : refuse('UnknownNode', `${name} is no ${role}`);
    });
  }

  #rdnCount(): number {
    return Math.min(2, this.#config.nodes.filter((n) => n.role === 'rdn').length);
  }

  /** Hosts that no other gateway has. */
  #free(except?: Svg) {
    const taken = new Set([...this.#svgs.values()].filter((s) => s !== except).flatMap((s) => [...s.ppns, ...s.rdns]));
    return this.#config.nodes.flatMap((n) =>
      (n.role === 'ppn' || n.role === 'rdn') && !taken.has(n.name) ? [{ name: n.name, cell: n.cell, runs: n.role }] : [],
    );
  }

  /** Hosts for what a gateway is to be; refuses before anything changes. `as`: what it is now. */
  #choose(svg: Svg, as: Svg = svg): void {
    const ppns = svg.ppnsWanted ?? ppnsFor(this.#config, consumerCount(svg), svg.duplicates.length);
    const free = this.#free(as);
    const count = (runs: 'ppn' | 'rdn') => free.filter((n) => n.runs === runs).length;
    const found =
      place({ ppns, rdns: this.#rdnCount() }, svg.cell, free, new Set([...svg.ppns, ...svg.rdns])) ??
      refuse('NoCapacity', `${ppns} PPNs and an RDN are needed for "${svg.name}"; free are ${count('ppn')} PPNs and ${count('rdn')} RDNs`);
    svg.ppns = [...found.ppns];
    // The leader stays, unless another RDN is nearer.
    const [leader] = svg.rdns;
    const far = (name: string | undefined) => distance(this.#byName.get(name ?? '')?.cell ?? null, svg.cell);
    const stays = leader !== undefined && found.rdns.includes(leader) && far(leader) === far(found.rdns[0]);
    svg.rdns = stays ? [leader, ...found.rdns.filter((r) => r !== leader)] : [...found.rdns];
    if (leader !== undefined && leader !== svg.rdns[0]) this.#handOver(svg, leader);
  }

  #handOver(svg: Svg, from: string): void {
    svg.term += 1;
    void this.#rdns
      .get(from)
      ?.call.lead(null)
      .catch(() => undefined);
  }

  #leader(svg: Svg): Peer<RdnControlFunctions> {
    return this.#rdns.get(svg.rdns[0] ?? '') ?? refuse('Unreachable', `${svg.rdns[0]} does not answer`);
  }

  /** The leading RDN learns what it has to do; another one takes over where it cannot be reached, or is lost meanwhile. */
  async #lead(svg: Svg): Promise<void> {
    for (let lost = 0; ; lost++) {
      const deadline = performance.now() + REACH_MS;
      while (!svg.rdns.some((name) => this.#rdns.has(name))) {
        if (performance.now() > deadline) refuse('Unreachable', `none of ${svg.rdns.join(', ')} answers`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      if (!this.#rdns.has(svg.rdns[0] as string)) {
        this.#rotate(svg);
        await this.#remember();
      }
      const leader = this.#leader(svg);
      try {
        await leader.call.lead(gatewayOf(svg, this.#config));
        return;
      } catch (error) {
        await new Promise(setImmediate);
        const isLost = this.#rdns.get(leader.name) !== leader;
        if (!isLost || lost >= MOST_LOST) throw error;
      }
    }
  }

  /** The next one that answers comes first. */
  #rotate(svg: Svg): void {
    const next = svg.rdns.find((name) => this.#rdns.has(name));
    if (next === undefined) return;
    svg.rdns = [next, ...svg.rdns.filter((name) => name !== next)];
    svg.term += 1;
  }

  /** One that comes back leads nothing: it may have been replaced. Where nobody could replace it, it leads again. */
  #found(name: string, peer: Peer<RdnControlFunctions>): void {
    // Whoever leads goes on leading until it is known what it leads.
    if (!this.#recalled) return;
    void this.#remember();
    for (const svg of this.#svgs.values()) {
      const [leader] = svg.rdns;
      if (!svg.rdns.includes(name) || (leader !== name && leader !== undefined && this.#rdns.has(leader))) continue;
      svg.rdns = [name, ...svg.rdns.filter((other) => other !== name)];
      svg.term += 1;
      this.#counters.takeovers += 1;
      log('warn', 'takeover', { svg: svg.name, from: leader, to: name, term: svg.term });
      void this.#remember();
      void this.#lead(svg).catch((error: unknown) => log('error', 'takeover', { why: (error as Error).message }));
      return;
    }
    void peer.call.lead(null).catch(() => undefined);
  }

  #lost(name: string, peer: Peer<RdnControlFunctions>): void {
    if (this.#rdns.get(name) === peer) this.#rdns.delete(name);
    if (this.#stopped || !this.#recalled) return;
    for (const svg of this.#svgs.values()) {
      if (svg.rdns[0] !== name) continue;
      this.#rotate(svg);
      if (svg.rdns[0] === name) continue;
      this.#counters.takeovers += 1;
      log('warn', 'takeover', { svg: svg.name, from: name, to: svg.rdns[0], term: svg.term });
      void this.#remember();
      void this.#lead(svg).catch((error: unknown) => log('error', 'takeover', { why: (error as Error).message }));
    }
  }
}

export async function startControl({ config, secret }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const control = new ControlPlane(config);
  control.start(secret);
  return {
    counters: () => control.counters,
    stop: () => control.stop(),
    request: (operation, params) => control.request(operation, params),
    // What the topology's client asks for before traffic starts: once, however often this process does.
    ready: async () => {
      if (await control.recall()) return;
      for (const { operation, params } of config.requests) {
        const answer = await control.request(operation, params);
        log('info', 'answer', { operation, answer });
      }
    },
  };
}
