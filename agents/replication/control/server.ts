/** Control plane server: takes what clients ask for, chooses hosts, and makes RDNs lead (R0 sections 2, 3.9 and 5). */
import { parseSizeBytes } from '../../../src/core/units.ts';
import { until } from '../../../src/core/until.ts';
import { connect, type Peer } from '../../lib/channel.ts';
import { validated } from '../../lib/params.ts';
import { log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentConfig, NodeInfo, Role } from '../config.ts';
import { isOperation, OPERATIONS, QUESTIONS, refuse, type Operation, type Params, type Requirements } from './operations.ts';
import { PlacementGroups, type SavedGroups } from './groups.ts';
import { Leaders } from './leaders.ts';
import { classesOf, consumerCount, describe, narrowed, ppnsFor, underPolicy, type Svg } from './svg.ts';
import { distance, place } from './placement.ts';
import { GATEWAY_PORT, type GatewayFunctions, type NodeId } from '../protocol.ts';

const DEFAULT_RATE = 100;
const DEFAULT_SIZE = '200B';
const REACH_MS = 8000;
/** RDNs that may remember what a predecessor of this process did are waited for. */
const RECALL_MS = 3000;

/** All that must not be forgotten when this process ends. */
interface State {
  readonly svgs: readonly Svg[];
  readonly groups: SavedGroups;
}

export class ControlPlane {
  readonly #config: AgentConfig;
  readonly #byName: ReadonlyMap<string, NodeInfo>;
  readonly #leaders: Leaders;
  readonly #links: { close(): void }[] = [];
  readonly #svgs = new Map<string, Svg>();
  readonly #groups: PlacementGroups;
  readonly #counters = { requests: 0, refused: 0, migrations: 0 };
  #switch: Peer<GatewayFunctions> | undefined;
  #version = 0;

  constructor(config: AgentConfig) {
    this.#config = config;
    this.#byName = new Map(config.nodes.map((n) => [n.name, n]));
    this.#groups = new PlacementGroups(config.nodes);
    this.#leaders = new Leaders({ config, svgs: this.#svgs, changed: () => this.#remember() });
  }

  get counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counters,
      takeovers: this.#leaders.takeovers,
      svgs: this.#svgs.size,
      ppns: [...this.#svgs.values()].reduce((n, s) => n + s.ppns.length, 0),
    };
  }

  start(secret: string): void {
    this.#connectGateway(secret);
    this.#leaders.connect(secret);
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
    this.#leaders.stop();
    for (const link of this.#links) link.close();
  }

  /** What RDNs remember of a predecessor of this process becomes its own. true: there was one. */
  async recall(): Promise<boolean> {
    const rdns = this.#config.nodes.filter((n) => n.role === 'rdn').length;
    await until(() => this.#leaders.peers.size >= rdns, { withinMs: RECALL_MS });
    const memories = await Promise.all([...this.#leaders.peers.values()].map((rdn) => rdn.call.recall().catch(() => null)));
    const newest = memories.filter((m) => m !== null).sort((a, b) => b.version - a.version)[0];
    if (newest) {
      const { svgs, groups } = newest.state as State;
      this.#version = newest.version;
      for (const svg of svgs) this.#svgs.set(svg.name, { ...svg });
      this.#groups.restore(groups);
      log('warn', 'recalled', { version: newest.version, svgs: svgs.map((s) => s.name) });
    }
    this.#leaders.decides = true;
    for (const svg of this.#svgs.values())
      await this.#leaders.lead(svg).catch((error: unknown) => log('error', 'recalled', { svg: svg.name, why: (error as Error).message }));
    return newest !== undefined;
  }

  async #remember(): Promise<void> {
    this.#version += 1;
    const state: State = { svgs: [...this.#svgs.values()], groups: this.#groups.save() };
    await Promise.all(
      [...this.#leaders.peers.values()].map((rdn) => rdn.call.remember({ version: this.#version, state }).catch(() => undefined)),
    );
  }

  /** Typed requests; refusals carry their code. */
  async request(operation: string, params: unknown): Promise<unknown> {
    this.#counters.requests += 1;
    if (!isOperation(operation)) return refuse('UnknownOperation', `operations: ${Object.keys(OPERATIONS).join(', ')}`);
    const startedMs = performance.now();
    try {
      await until(() => this.#leaders.decides, { withinMs: Infinity });
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
        return this.#groups.create(params as Params<'CreateLPGAndPolicy'>);
      case 'ShareLPG':
        return this.#groups.share(params as Params<'ShareLPG'>);
      case 'LaunchVMsOfVPCInLPG':
        return this.#groups.launch(params as Params<'LaunchVMsOfVPCInLPG'>);
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
      await this.#leaders.lead(made);
    } catch (error) {
      this.#svgs.delete(svg);
      this.#leaders.dismiss(made.rdns[0]);
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
    await this.#leaders.lead(own);
    return describe(own);
  }

  async #modifyRequirements({ svg, classes, ...limits }: Params<'ModifyLSAGRequirements'>) {
    const own = this.#svg(svg);
    for (const name of Object.keys(classes ?? {}))
      if (!own.classes[name]) refuse('InvalidRequest', `/classes/${name}: no such class; classes: ${Object.keys(own.classes).join(', ')}`);
    own.classes = narrowed(own.classes, limits, classes);
    await this.#leaders.lead(own);
    return { svg, classes: own.classes };
  }

  async #metrics({ svg, consumers }: Params<'GetLSAGMetrics'>) {
    const own = this.#svg(svg);
    if (consumers) this.#ids(consumers, 'consumer');
    const leader = this.#leaders.leaderOf(own);
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
    const isPlanned = this.#config.nodes.some((n) => n.role === 'gateway');
    if (isPlanned) await until(() => this.#switch !== undefined, { withinMs: REACH_MS });
    return this.#switch ?? refuse('Unreachable', 'no gateway between virtual networks answers');
  }

  /** A gateway whose nodes are elsewhere migrates (R0-28). */
  async #bind({ svg, lpg, account }: Params<'ConfigureSVGForLPG'>) {
    const own = this.#svg(svg);
    const group = this.#groups.usable(lpg, account ?? own.account ?? '');
    const before = new Set([...own.ppns, own.rdns[0]]);
    const next: Svg = { ...own, cell: group.cell, classes: underPolicy(own.classes, group.policy) };
    this.#choose(next, own);
    Object.assign(own, next);
    const migrated = [...own.ppns, own.rdns[0]].filter((name) => !before.has(name));
    this.#counters.migrations += migrated.length;
    await this.#leaders.lead(own);
    return { ...describe(own), classes: own.classes, migrated };
  }

  #svg(name: string): Svg {
    return this.#svgs.get(name) ?? refuse('UnknownSVG', `no gateway "${name}"; there are: ${[...this.#svgs.keys()].join(', ') || 'none'}`);
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
    if (leader !== undefined && leader !== svg.rdns[0]) this.#leaders.handOver(svg, leader);
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
