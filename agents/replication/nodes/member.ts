/** What producers, PPNs and consumers have in common: a packet loop, and connections to every RDN, the leading one's commands obeyed. */
import { connect, type Peer } from '../../lib/channel.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { injectClockFault } from './clockfault.ts';
import { PacketLoop, type LoopEvents } from './loop.ts';
import {
  type Aim,
  RDN_PORT,
  type Activation,
  type ConsumerMetrics,
  type MemberFunctions,
  type MemberSettings,
  type NodeId,
  type RdnFunctions,
  type Sample,
  type Term,
} from '../protocol.ts';

const REPORT_MS = 200;

/** What a role does beside. */
export interface MemberRole {
  readonly events?: LoopEvents;
  readonly onActivate?: (at: Activation) => void;
  readonly onAim?: (aims: readonly Aim[]) => void;
  readonly onSettle?: (settings: MemberSettings) => void;
  readonly metrics?: () => ConsumerMetrics;
  /** Samples of the application's latency since the last report. */
  readonly takeSamples?: () => readonly Sample[];
}

export class Member {
  readonly loop: PacketLoop;
  readonly #links: { close(): void }[] = [];
  readonly #rdns = new Map<string, Peer<RdnFunctions>>();
  readonly #latencies = new Map<NodeId, number[]>();
  readonly #role: MemberRole;
  readonly #timer: NodeJS.Timeout;
  readonly #fault: { stop(): void };
  /** Of each gateway: the last term that was heard of, and who leads in it. */
  readonly #terms = new Map<string, { term: number; leader: string }>();
  #refused = 0;
  readonly #settings = new Map<string, MemberSettings>();

  private constructor(loop: PacketLoop, role: MemberRole, latencies: Map<NodeId, number[]>, fault: { stop(): void }) {
    this.loop = loop;
    this.#fault = fault;
    this.#role = role;
    this.#latencies = latencies;
    this.#timer = setInterval(() => this.#report(), REPORT_MS);
  }

  static async start(
    kind: 'relay' | 'endpoint',
    { config, secret, nativeDir }: AgentSetup<AgentConfig>,
    role: MemberRole = {},
  ): Promise<Member> {
    const latencies = new Map<NodeId, number[]>();
    const loop = await PacketLoop.start(kind, config.self, nativeDir, secret, {
      ...role.events,
      onLatency: (peer, ns) => {
        const values = latencies.get(peer);
        if (values) values.push(ns);
        else latencies.set(peer, [ns]);
      },
    });
    for (const node of config.nodes) loop.peer(node.id, node.address);
    loop.buffer(config.buffer.bytes, config.buffer.overflow);
    const member = new Member(loop, role, latencies, injectClockFault(loop, config.clockFault));
    for (const rdn of config.nodes.filter((n) => n.role === 'rdn')) {
      member.#links.push(
        connect<RdnFunctions>({
          address: rdn.address,
          port: RDN_PORT,
          secret,
          silenceMs: config.silenceMs,
          self: config.self.name,
          peer: rdn.name,
          local: member.#commandedBy(rdn.name),
          onPeer: (peer) => {
            member.#rdns.set(rdn.name, peer);
            void peer.closed.then(() => {
              if (member.#rdns.get(rdn.name) === peer) member.#rdns.delete(rdn.name);
            });
          },
        }),
      );
    }
    return member;
  }

  /** RDNs that lead the gateways of this node, as far as they can be reached now. */
  get leaders(): Peer<RdnFunctions>[] {
    return [...new Set([...this.#terms.values()].map((t) => t.leader))].flatMap((name) => this.#rdns.get(name) ?? []);
  }

  get counters(): Readonly<Record<string, number>> {
    const { releaseErrorUs, ...numbers } = this.loop.statistics ?? { releaseErrorUs: [] };
    return {
      ...numbers,
      ...Object.fromEntries(releaseErrorUs.map((n, i) => [`releaseErrorUs${2 ** i}`, n])),
      rdns: this.#rdns.size,
      commandsRefused: this.#refused,
    };
  }

  /** What makes this node's records worth nothing; undefined: they are whole. */
  get problem(): string | undefined {
    if (this.loop.errors > 0) return `its packet loop reported ${this.loop.errors} errors`;
    const lost = this.loop.statistics?.untraced ?? 0;
    return lost > 0 ? `${lost} records of its packet loop were lost` : undefined;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#fault.stop();
    for (const link of this.#links) link.close();
    await this.loop.close();
  }

  #commandedBy(rdn: string): MemberFunctions {
    const checked = (term: Term) => this.#check(term, rdn);
    return {
      settle: (settings) => {
        checked(settings);
        this.#settle(settings);
      },
      install: async (directive) => {
        checked(directive);
        await this.loop.install(directive);
      },
      activate: async (graph) => {
        checked(graph);
        this.loop.activate(graph.graph, graph.epoch);
        this.#role.onActivate?.(graph);
      },
      aim: async (at) => {
        checked(at);
        this.#role.onAim?.(at.peers);
      },
      metrics: () => {
        if (!this.#role.metrics) throw new Error('only consumers have metrics');
        return this.#role.metrics();
      },
    };
  }

  /** A predecessor that wakes up changes nothing; nor does somebody else in the same term. */
  #check({ svg, term }: Term, rdn: string): void {
    const last = this.#terms.get(svg);
    if (last && (term < last.term || (term === last.term && rdn !== last.leader))) {
      this.#refused += 1;
      throw new Error(`${last.leader} leads ${svg} in term ${last.term}, not ${rdn} in term ${term}`);
    }
    if (last?.leader !== rdn) log('info', 'led by', { svg, rdn, term });
    this.#terms.set(svg, { term, leader: rdn });
  }

  /** Probes are what all gateways of this node want; of a path, as often as the most demanding one. */
  #settle(settings: MemberSettings): void {
    const before = new Set([...this.#settings.values()].flatMap((s) => s.probes.map((p) => p.peer)));
    this.#settings.set(settings.svg, settings);
    const wanted = new Map<NodeId, { intervalUs: number; bytes: number }>();
    for (const { probes, probeBytes } of this.#settings.values()) {
      for (const { peer, intervalUs } of probes)
        if (intervalUs < (wanted.get(peer)?.intervalUs ?? Infinity)) wanted.set(peer, { intervalUs, bytes: probeBytes });
    }
    for (const [peer, { intervalUs, bytes }] of wanted) {
      before.delete(peer);
      this.loop.probe(peer, intervalUs, bytes);
    }
    for (const peer of before) this.loop.probe(peer, 0, 0);
    this.loop.buffer(settings.buffer.bytes, settings.buffer.overflow);
    this.#role.onSettle?.(settings);
  }

  /** To all RDNs: a successor knows what its predecessor knew. */
  #report(): void {
    const latencies = Object.fromEntries(this.#latencies);
    this.#latencies.clear();
    const application = this.#role.takeSamples?.() ?? [];
    for (const rdn of this.#rdns.values())
      void rdn.call.report.asEvent({ latencies, application, statistics: this.loop.statistics }).catch(() => undefined);
  }
}
