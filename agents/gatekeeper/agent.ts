/** One Gatekeeper instance: egress scheduler, receive controller and feedback of one server (R4 section 2). */
import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { promisify } from 'node:util';
import { BatchChannel } from '../lib/batch.ts';
import { log, type Agent, type AgentSetup, type AgentStatus } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { decodeFeedback, encodeFeedback, ReplayGuard } from './feedback.ts';
import { antiSpoofFlows, NFT_TABLE, removeTree, steeringTable, treeLines } from './htb.ts';
import { createController, type Controller } from './laws/index.ts';
import type { Observation } from './laws/law.ts';
import { Limiters } from './limiters.ts';
import { Meter, type PairRate } from './meter.ts';

const run = promisify(execFile);

export class GatekeeperAgent implements Agent<AgentConfig> {
  #setup: AgentSetup<AgentConfig> | undefined;
  #state: AgentStatus['state'] = 'idle';
  #key = Buffer.alloc(0);
  /** Remote vNIC to its server's address on the provider's network. */
  #serverOf: ReadonlyMap<string, string> = new Map();
  #tc: BatchChannel | undefined;
  #nft: BatchChannel | undefined;
  #limiters: Limiters | undefined;
  #meter: Meter | undefined;
  #socket: Socket | undefined;
  #controller: Controller | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #replay = new ReplayGuard();
  /** Starts at the clock, so that a restarted agent's messages are newer than its predecessor's. */
  #sequence = BigInt(Date.now()) << 20n;
  readonly #counters = { periods: 0, latePeriods: 0, feedbackSent: 0, feedbackReceived: 0, feedbackRejected: 0, feedbackReplayed: 0, controlMicroseconds: 0 };

  async configure(setup: AgentSetup<AgentConfig>): Promise<void> {
    const { config } = setup;
    this.#setup = setup;
    this.#key = Buffer.from(setup.secret, 'hex');
    this.#serverOf = new Map(config.remotes.map((r) => [r.mac, r.server]));
    await this.#clear(config);
    await this.#feed('nft', ['-f', '-'], steeringTable(config.uplink.device, config.vnics, config.counterTimeoutMs));
    await this.#feed('tc', ['-batch', '-'], `${treeLines(config.uplink.device, config.uplink.rateBps, config.vnics).join('\n')}\n`);
    if (setup.ovsDir !== null) {
      const target = `unix:${setup.ovsDir}/${config.bridge}.mgmt`;
      await this.#feed('ovs-ofctl', ['--bundle', 'replace-flows', target, '-'], `${antiSpoofFlows(config.uplink.device, config.vnics).join('\n')}\n`);
    }
    this.#state = 'configured';
  }

  async start(): Promise<void> {
    const { config } = this.#required();
    this.#tc = new BatchChannel(['tc', '-force', '-batch', '-']);
    this.#nft = new BatchChannel(['nft', '-i']);
    this.#limiters = new Limiters(config, this.#tc, this.#nft);
    this.#meter = new Meter();
    this.#controller = createController(config.law);
    const socket = createSocket('udp4');
    this.#socket = socket;
    socket.on('message', (datagram) => this.#receive(datagram));
    socket.on('error', (error) => log('error', 'feedback socket', { message: error.message }));
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(config.provider.port, config.provider.address, () => { socket.off('error', reject); resolve(); });
    });
    this.#state = 'running';
    this.#schedule(performance.now() + config.periodMs);
  }

  status(): AgentStatus {
    const errors = (this.#tc?.errors ?? 0) + (this.#nft?.errors ?? 0);
    return { state: this.#state, ...(errors > 0 ? { problem: `${errors} tc/nft errors, last: ${this.#tc?.lastError || this.#nft?.lastError}` } : {}) };
  }

  counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counters, limiters: this.#limiters?.size ?? 0, limitersCreated: this.#limiters?.created ?? 0, limitersRemoved: this.#limiters?.removed ?? 0,
      pairs: this.#meter?.pairs ?? 0, channelErrors: (this.#tc?.errors ?? 0) + (this.#nft?.errors ?? 0),
    };
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'idle') return;
    this.#state = 'stopped';
    clearTimeout(this.#timer);
    this.#socket?.close();
    await Promise.all([this.#tc?.close(), this.#nft?.close()]);
    this.#meter?.close();
    const setup = this.#required();
    await this.#clear(setup.config);
    if (setup.ovsDir !== null) {
      await this.#feed('ovs-ofctl', ['--bundle', 'replace-flows', `unix:${setup.ovsDir}/${setup.config.bridge}.mgmt`, '-'], 'priority=0,actions=NORMAL\n');
    }
  }

  #required(): AgentSetup<AgentConfig> {
    if (!this.#setup) throw new Error('configure first');
    return this.#setup;
  }

  /** Removes the tree and table of this agent, or of a predecessor that was killed (R4-16). */
  async #clear(config: AgentConfig): Promise<void> {
    await run('tc', removeTree(config.uplink.device).split(' ')).catch(() => undefined);
    await run('nft', ['delete', 'table', 'netdev', NFT_TABLE]).catch(() => undefined);
  }

  async #feed(program: string, args: readonly string[], input: string): Promise<void> {
    const child = run(program, [...args]);
    child.child.stdin?.end(input);
    await child;
  }

  #schedule(dueMs: number): void {
    this.#timer = setTimeout(() => {
      const startedMs = performance.now();
      const { periodMs } = this.#required().config;
      if (startedMs - dueMs > periodMs) this.#counters.latePeriods += 1;
      this.#period(startedMs);
      this.#counters.controlMicroseconds += Math.round((performance.now() - startedMs) * 1000);
      // Missed periods are not caught up: the next one measures the whole gap.
      this.#schedule(Math.max(dueMs + periodMs, startedMs + periodMs / 2));
    }, dueMs - performance.now());
  }

  #period(nowMs: number): void {
    const { config } = this.#required();
    this.#counters.periods += 1;
    this.#limiters?.tick(nowMs);
    const pairs = this.#meter?.read() ?? [];
    const observation = observe(config, pairs);
    const allocations = this.#controller?.(observation, { threshold: config.threshold, active: config.active }) ?? [];
    for (const allocation of allocations) {
      const server = this.#serverOf.get(allocation.sender);
      if (server === undefined) continue;
      const message = encodeFeedback({ server: config.server, sequence: ++this.#sequence, receiver: allocation.vnic, sender: allocation.sender, rateBps: allocation.rateBps, senders: allocation.senders }, this.#key);
      this.#socket?.send(message, config.provider.port, server);
      this.#counters.feedbackSent += 1;
    }
    if (pairs.some((p) => p.rateBps > 0) || (this.#limiters?.size ?? 0) > 0) {
      log('debug', 'period', {
        rates: Object.fromEntries(observation.vnics.map((v) => [v.mac, Math.round(v.senders.reduce((sum, s) => sum + s.rateBps, 0))])),
        feedback: allocations.length, limiters: this.#limiters?.rates() ?? {},
      });
    }
  }

  #receive(datagram: Buffer): void {
    const feedback = decodeFeedback(datagram, this.#key);
    if (!feedback) {
      this.#counters.feedbackRejected += 1;
      return;
    }
    if (!this.#replay.accept(feedback)) {
      this.#counters.feedbackReplayed += 1;
      return;
    }
    this.#counters.feedbackReceived += 1;
    this.#limiters?.apply(feedback);
  }
}

/** Only pairs of local vNICs count: what merely passes by (flooding) is not received. */
function observe(config: AgentConfig, pairs: readonly PairRate[]): Observation {
  const byReceiver = Map.groupBy(pairs, (p) => p.receiver);
  return {
    capacityBps: config.uplink.rateBps,
    vnics: config.vnics.map((vnic) => ({
      mac: vnic.mac, minBps: vnic.minBps, maxBps: vnic.maxBps,
      senders: (byReceiver.get(vnic.mac) ?? []).map((p) => ({ mac: p.sender, rateBps: p.rateBps })),
    })),
  };
}
