/** RDNs that lead gateways: who does, who takes over, and what they are told (R0 section 3.9). */
import { until } from '../../../src/core/until.ts';
import { connect, type Peer } from '../../lib/channel.ts';
import { log } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { RDN_PORT, type RdnControlFunctions } from '../protocol.ts';
import { refuse } from './operations.ts';
import { gatewayOf, type Svg } from './svg.ts';

const REACH_MS = 8000;
/** Leaders that may be lost while they take the lead: their first measurements take seconds. */
const MOST_LOST = 3;

export interface LeadersInput {
  readonly config: AgentConfig;
  /** Gateways by name. */
  readonly svgs: ReadonlyMap<string, Svg>;
  /** Somebody else leads: it must not be forgotten. */
  readonly changed: () => Promise<void>;
}

export class Leaders {
  /** RDNs that can be reached, by name. */
  readonly peers = new Map<string, Peer<RdnControlFunctions>>();
  takeovers = 0;
  /** Not before it is known what a predecessor of this process did: whoever leads goes on leading until then. */
  decides = false;
  readonly #config: AgentConfig;
  readonly #svgs: ReadonlyMap<string, Svg>;
  readonly #changed: () => Promise<void>;
  readonly #links: { close(): void }[] = [];
  #stopped = false;

  constructor({ config, svgs, changed }: LeadersInput) {
    this.#config = config;
    this.#svgs = svgs;
    this.#changed = changed;
  }

  connect(secret: string): void {
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
            this.peers.set(rdn.name, peer);
            this.#found(rdn.name, peer);
            void peer.closed.then(() => this.#lost(rdn.name, peer));
          },
        }),
      );
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const link of this.#links) link.close();
  }

  /** It leads nothing any more, if it can be reached. */
  dismiss(name: string | undefined): void {
    void this.peers
      .get(name ?? '')
      ?.call.lead(null)
      .catch(() => undefined);
  }

  handOver(svg: Svg, from: string): void {
    svg.term += 1;
    this.dismiss(from);
  }

  leaderOf(svg: Svg): Peer<RdnControlFunctions> {
    return this.peers.get(svg.rdns[0] ?? '') ?? refuse('Unreachable', `${svg.rdns[0]} does not answer`);
  }

  /** The leading RDN learns what it has to do; another one takes over where it cannot be reached, or is lost meanwhile. */
  async lead(svg: Svg): Promise<void> {
    for (let lost = 0; ; lost++) {
      const answers = await until(() => svg.rdns.some((name) => this.peers.has(name)), { withinMs: REACH_MS });
      if (!answers) refuse('Unreachable', `none of ${svg.rdns.join(', ')} answers`);
      if (!this.peers.has(svg.rdns[0] as string)) {
        this.#rotate(svg);
        await this.#changed();
      }
      const leader = this.leaderOf(svg);
      try {
        await leader.call.lead(gatewayOf(svg, this.#config));
        return;
      } catch (error) {
        await new Promise(setImmediate);
        const isLost = this.peers.get(leader.name) !== leader;
        if (!isLost || lost >= MOST_LOST) throw error;
      }
    }
  }

  /** The next one that answers comes first. */
  #rotate(svg: Svg): void {
    const next = svg.rdns.find((name) => this.peers.has(name));
    if (next === undefined) return;
    svg.rdns = [next, ...svg.rdns.filter((name) => name !== next)];
    svg.term += 1;
  }

  /** One that comes back leads nothing: it may have been replaced. Where nobody could replace it, it leads again. */
  #found(name: string, peer: Peer<RdnControlFunctions>): void {
    if (!this.decides) return;
    void this.#changed();
    for (const svg of this.#svgs.values()) {
      const [leader] = svg.rdns;
      if (!svg.rdns.includes(name) || (leader !== name && leader !== undefined && this.peers.has(leader))) continue;
      svg.rdns = [name, ...svg.rdns.filter((other) => other !== name)];
      svg.term += 1;
      this.takeovers += 1;
      log('warn', 'takeover', { svg: svg.name, from: leader, to: name, term: svg.term });
      void this.#changed();
      void this.lead(svg).catch((error: unknown) => log('error', 'takeover', { why: (error as Error).message }));
      return;
    }
    void peer.call.lead(null).catch(() => undefined);
  }

  #lost(name: string, peer: Peer<RdnControlFunctions>): void {
    if (this.peers.get(name) === peer) this.peers.delete(name);
    if (this.#stopped || !this.decides) return;
    for (const svg of this.#svgs.values()) {
      if (svg.rdns[0] !== name) continue;
      this.#rotate(svg);
      if (svg.rdns[0] === name) continue;
      this.takeovers += 1;
      log('warn', 'takeover', { svg: svg.name, from: name, to: svg.rdns[0], term: svg.term });
      void this.#changed();
      void this.lead(svg).catch((error: unknown) => log('error', 'takeover', { why: (error as Error).message }));
    }
  }
}
