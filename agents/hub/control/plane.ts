/** The service control plane: typed operations change the metadata, and are done when all nodes follow it (R1 section 5). */
import { Type } from 'typebox';
import { checked } from '../../../src/core/lightjson.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';
import { listen, type Peer } from '../../lib/channel.ts';
import { known, refuse, validated } from '../../lib/params.ts';
import { fatal, log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import { CONTROL_PORT, type AgentConfig, type NodeInfo } from '../config.ts';
import { changeBetween, sharing } from '../changes.ts';
import { EMPTY, type Metadata } from '../model.ts';
import { CONTROL_OPERATIONS } from '../operations.ts';
import type { ControlFunctions, FollowerFunctions } from '../protocol.ts';
import { approve, approveAttachment, attach, detach, propose, rejectAttachment, shareHub, supply } from './attachments.ts';
import { automate, createDomain, createHub, learn, modify, moveVni, setGroup, weigh } from './configuration.ts';
import { networkOf, versioned, type Edit } from './edit.ts';
import { linked, linkHubs, unlinkHubs } from './links.ts';
import { intercept, manage, share } from './names.ts';
import { resize } from './scaling.ts';
import { Scaler } from './scaler.ts';
import { setPolicy } from './policies.ts';
import { overlapsAmong } from './overlap.ts';
import { HubStore } from './store.ts';

/** Nodes that follow, when the agents start; and after a change. */
const START_MS = 170_000;
/** After a restart, nodes connect again within a few times the silence after which they are lost. */
const ABSENT_SILENCES = 5;
/** Those that decide know a mapping before anything is asked under it, and networks have routes to it last. */
const ORDER = ['dmn', 'ain', 'gateway'] as const;

/** Longer than a packet, or a query of one, is on its way. */
const DRAIN_MS = 500;

type Operation = keyof typeof CONTROL_OPERATIONS;

const servingCells = ({ domains }: Metadata): Set<string> => new Set(domains.flatMap((d) => d.cells));

export class ControlPlane {
  readonly #config: AgentConfig;
  readonly #store: HubStore;
  /** By node; gateways are in none. */
  readonly #cells: ReadonlyMap<string, string>;
  readonly #followers = new Map<string, Peer<FollowerFunctions>>();
  /** What each of them has. */
  readonly #held = new WeakMap<Peer<FollowerFunctions>, Metadata>();
  readonly #turns = new SerialQueue();
  readonly #counters = { requests: 0, refused: 0, versions: 0 };
  #server: { close(): void } | undefined;
  readonly #ains: ReadonlySet<string>;
  readonly #scaler: Scaler;
  #stopped = false;
  #setup: number;
  #absence: NodeJS.Timeout | undefined;

  constructor(config: AgentConfig, store: HubStore) {
    this.#config = config;
    this.#store = store;
    this.#cells = new Map([...config.ains, ...config.dmns].map((n) => [n.name, n.cell]));
    this.#ains = new Set(config.ains.map((a) => a.name));
    this.#scaler = new Scaler(config);
    this.#setup = store.metadata.setup;
  }

  get counters(): Readonly<Record<string, number>> {
    const { version, networks, attachments, mappings } = this.#store.metadata;
    const sizes = { networks: networks.length, attachments: attachments.length, mappings: mappings.length };
    return { ...this.#counters, version, followers: this.#followers.size, ...sizes };
  }

  async start(secret: string): Promise<void> {
    const isFirst = this.#store.metadata.version === 0;
    if (isFirst) {
      const { networks, standby } = this.#config;
      await this.#store.put(versioned({ metadata: { ...EMPTY, networks, standby }, concerns: null, answer: null }));
    }
    // Nobody told of what was lost while this process was not there.
    if (!isFirst) this.#absence = setTimeout(() => void this.#noticeAbsent(), ABSENT_SILENCES * this.#config.silenceMs);
    const isExpected = (name: string): boolean => this.#expected().some((n) => n.name === name);
    this.#server = await listen<FollowerFunctions>({
      address: this.#config.self.address,
      port: CONTROL_PORT,
      secret,
      silenceMs: this.#config.silenceMs,
      serve: (name) => (isExpected(name) ? this.#functions(name) : undefined),
      onPeer: (peer) => {
        this.#followers.set(peer.name, peer);
        void peer.closed.then(() => {
          if (this.#followers.get(peer.name) !== peer) return;
          this.#followers.delete(peer.name);
          this.#scaler.forget(peer.name);
          void this.#turns.run(() => this.#notice(peer.name, true)).catch((error: unknown) => this.#complain(peer, error));
        });
        void this.#turns
          .run(async () => {
            await this.#apply(peer, this.#store.metadata);
            await peer.call.settled(this.#store.metadata.version);
            await this.#notice(peer.name, false);
          })
          .catch((error: unknown) => this.#complain(peer, error));
      },
    });
  }

  #functions(name: string): ControlFunctions {
    const { network = null, role } = this.#config.nodes.find((n) => n.name === name) ?? {};
    return {
      learned: async (sent) => {
        const prefixes = checked(Type.Array(Type.String()), sent);
        if (role !== 'gateway' || network === null) refuse('InvalidRequest', `${name} is no gateway`);
        else await this.#turns.run(() => this.#commit(learn(this.#store.metadata, { network, prefixes })));
      },
      load: async (sent) => {
        const cell = this.#cells.get(name) ?? refuse('InvalidRequest', `${name} is in no cell`);
        this.#scaler.heard(name, checked(Type.Number({ minimum: 0 }), sent));
        await this.#turns.run(() => this.#resize(cell));
      },
    };
  }

  async ready(): Promise<void> {
    const absent = (): string[] => {
      const { lost } = this.#store.metadata;
      return this.#expected().flatMap(({ name }) => (this.#followers.has(name) || lost.includes(name) ? [] : [name]));
    };
    if (!(await until(() => absent().length === 0, { withinMs: START_MS })))
      throw new Error(`${absent().join(', ')} do not follow the control plane`);
    await this.#turns.run(() => this.#publish(this.#store.metadata));
    // The owner's operations are done once, however often this process starts.
    for (const [i, { operation, params }] of this.#config.setup.entries()) {
      if (i < this.#store.metadata.setup) continue;
      const answer = await this.request(operation, params, i + 1);
      log('info', 'answer', { operation, answer });
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#absence);
    this.#server?.close();
    await this.#store.remove();
  }

  /** `setup`: how many of the owner's first operations are done with it. */
  async request(name: string, params: unknown, setup?: number): Promise<unknown> {
    this.#counters.requests += 1;
    try {
      const operation = known(CONTROL_OPERATIONS, name);
      const valid = validated(CONTROL_OPERATIONS[operation], params);
      const answer = await this.#turns.run(() => {
        this.#setup = setup ?? this.#setup;
        return this.#perform(operation, valid);
      });
      log('info', 'operation', { operation, version: this.#store.metadata.version });
      return answer;
    } catch (error) {
      if (error instanceof Refusal) this.#counters.refused += 1;
      throw error;
    }
  }

  #perform(operation: Operation, valid: object): unknown {
    const { metadata } = this.#store;
    const now = Date.now();
    // Each was checked against its own schema.
    const params = valid as never;
    switch (operation) {
      case 'CreateVTH':
        return this.#commit(createHub(metadata, params));
      case 'LinkVTHs':
        return this.#commit(linkHubs(metadata, params, now));
      case 'UnlinkVTHs':
        return this.#commit(unlinkHubs(metadata, params));
      case 'CreateVTHRoutingDomain':
        return this.#commit(createDomain(metadata, params, this.#config.cells));
      case 'SetCellWeights':
        return this.#commit(weigh(metadata, params, this.#config.cells));
      case 'AttachIsolatedNetwork':
        return this.#commit(attach(metadata, params, now));
      case 'ShareVTHWithAccounts':
        return this.#commit(shareHub(metadata, params));
      case 'ApproveAttachment':
        return this.#commit(approveAttachment(metadata, params, now));
      case 'RejectAttachment':
        return this.#commit(rejectAttachment(metadata, params));
      case 'MoveVNI': {
        const { network } = valid as { network: string };
        const gateways = this.#config.nodes.filter((n) => n.role === 'gateway' && n.network === network).map((n) => n.name);
        return this.#commit(moveVni(metadata, params, gateways));
      }
      case 'DetachIsolatedNetwork':
        return this.#commit(detach(metadata, params));
      case 'ModifyVTHConfig':
        return this.#commit(modify(metadata, params, now));
      case 'SupplyTranslationMapping':
        return this.#commit(supply(metadata, params, now));
      case 'ProposeTranslationMapping':
        return this.#commit(propose(metadata, params, now));
      case 'ApproveTranslationMapping':
        return this.#commit(approve(metadata, params, now));
      case 'AutomateOverlappingAddressHandling':
        return this.#commit(automate(metadata, params));
      case 'ShareDNSInfo':
        return this.#commit(share(metadata, params));
      case 'InterceptDNSResponsesAtVTH':
        return this.#commit(intercept(metadata, params));
      case 'SetMulticastGroup':
        return this.#commit(setGroup(metadata, params));
      case 'SetSourcePolicy':
        return this.#commit(setPolicy(metadata, params));
      case 'ModifyManagedDNS':
        return this.#commit(manage(metadata, params, this.#config.zones));
      case 'GetVTH-DNS-Settings': {
        const { endpoint = null } = metadata.networks.find((n) => n.endpoint !== null) ?? {};
        return { 'VTH-DNS-EndpointInfo': endpoint ?? refuse('NoEndpoint', 'no network of the hub has a DNS endpoint') };
      }
      case 'DetectAddressOverlaps': {
        const { networks } = valid as { networks?: string[] };
        const among = networks ? networks.map((n) => networkOf(metadata, n)) : metadata.networks;
        return { CurrentOverlappedRanges: overlapsAmong(among) };
      }
      case 'ShowTranslationMappingsInUse':
        return { mappings: metadata.mappings.filter((m) => m.approved) };
      case 'DescribeVTHConfig':
        return this.#describe(metadata);
    }
  }

  /** R1-23. */
  async #resize(cell: string): Promise<void> {
    const size = this.#scaler.due(cell, this.#store.metadata, performance.now());
    if (size && !this.#stopped) await this.#commit(resize(this.#store.metadata, size, [...this.#config.ains, ...this.#config.dmns]));
  }

  async #noticeAbsent(): Promise<void> {
    const ains = this.#config.ains.map((a) => a.name).filter((name) => !this.#followers.has(name));
    for (const name of ains)
      await this.#turns
        .run(() => this.#notice(name, true))
        .catch((error: unknown) => log('error', 'lost', { why: (error as Error).message }));
  }

  /** An AIN that is lost gets nothing any more, from gateways and from other AINs, until it is there again (R1-21). */
  async #notice(name: string, isLost: boolean): Promise<void> {
    const { metadata } = this.#store;
    const isAin = this.#config.nodes.some((n) => n.name === name && n.role === 'ain');
    if (this.#stopped || !isAin || metadata.lost.includes(name) === isLost) return;
    log('warn', isLost ? 'lost' : 'found', { ain: name });
    const lost = isLost ? [...metadata.lost, name] : metadata.lost.filter((other) => other !== name);
    await this.#commit({ metadata: { ...metadata, lost }, concerns: new Set(), answer: null });
    // Others serve in its place, if any wait.
    await this.#resize(this.#cells.get(name) ?? '');
  }

  /** Stored, then followed by all: only then is it done. */
  async #commit<Answer>(edit: Edit<Answer>): Promise<Answer> {
    const old = this.#store.metadata;
    const before = servingCells(old);
    await this.#store.put(sharing(old, { ...versioned(linked(edit, Date.now())), setup: this.#setup }));
    this.#counters.versions += 1;
    const { metadata } = this.#store;
    const leaving = before.difference(servingCells(metadata));
    await this.#publish(metadata, leaving);
    if (leaving.size > 0) {
      // What was on its way to them still finds its action there.
      await sleep(DRAIN_MS);
      await this.#publish(metadata);
    }
    return edit.answer;
  }

  /** `leaving`: cells that serve no domain any more, but still have packets on their way. */
  async #publish(metadata: Metadata, leaving?: ReadonlySet<string>): Promise<void> {
    for (const role of ORDER)
      for (const names of this.#rounds(role, metadata)) await this.#tell(names, (peer) => this.#apply(peer, metadata, leaving));
    // Answers of name servers lead to addresses only that their askers have routes to.
    await this.#tell(this.#namesOf('dmn'), (peer) => peer.call.settled(metadata.version));
  }

  async #apply(peer: Peer<FollowerFunctions>, metadata: Metadata, leaving?: ReadonlySet<string>): Promise<void> {
    const told = this.#told(peer.name, metadata, leaving);
    await peer.call.apply(changeBetween(this.#held.get(peer), told));
    this.#held.set(peer, told);
  }

  /** A cell that serves no domain keeps nothing of any. AINs decide nothing: they are told what rules, and where they have branches. */
  #told(node: string, metadata: Metadata, leaving: ReadonlySet<string> = new Set()): Metadata {
    const { version, networks, domains, lost, standby } = metadata;
    const cell = this.#cells.get(node);
    const serves = cell === undefined || leaving.has(cell) || servingCells(metadata).has(cell);
    if (!serves) return { ...EMPTY, version, lost, standby };
    return this.#ains.has(node) ? { ...EMPTY, version, networks, domains, lost, standby } : metadata;
  }

  #namesOf(role: NodeInfo['role']): string[] {
    return this.#config.nodes.filter((n) => n.role === role).map((n) => n.name);
  }

  /** A client VNI that moves leaves its old place before it comes to its new one: it is never at two. */
  #rounds(role: NodeInfo['role'], { networks }: Metadata): string[][] {
    const holders = new Set(networks.map((n) => n.at));
    const names = this.#namesOf(role);
    return [names.filter((name) => !holders.has(name)), names.filter((name) => holders.has(name))];
  }

  async #tell(names: readonly string[], what: (peer: Peer<FollowerFunctions>) => Promise<unknown>): Promise<void> {
    const peers = names.flatMap((name) => this.#followers.get(name) ?? []);
    await Promise.all(peers.map((peer) => what(peer).catch((error: unknown) => this.#complain(peer, error))));
  }

  /** One that cannot follow is cut off: it comes back, and begins with what rules then. */
  #complain(peer: Peer<FollowerFunctions>, error: unknown): void {
    log('warn', 'does not follow', { node: peer.name, why: (error as Error).message });
    peer.close();
  }

  #expected(): NodeInfo[] {
    return this.#config.nodes.filter((n) => ORDER.some((role) => role === n.role));
  }

  #describe({ standby, ...told }: Metadata): object {
    const layer = (role: NodeInfo['role']) => this.#namesOf(role).filter((name) => this.#followers.has(name) && !standby.includes(name));
    return { ...told, standby, ains: layer('ain'), dmns: layer('dmn'), gateways: layer('gateway') };
  }
}

export async function startControl({ config, secret, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const store = await HubStore.open(workDir, (why) => fatal('database lost', why));
  const plane = new ControlPlane(config, store);
  await plane.start(secret);
  return {
    counters: () => plane.counters,
    ready: () => plane.ready(),
    request: (operation, params) => plane.request(operation, params),
    stop: () => plane.stop(),
  };
}
