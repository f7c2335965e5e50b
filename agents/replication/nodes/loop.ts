/** The packet loop of a node: agents/replication/native/packetloop.c, commanded and listened to over its pipes. */
import { join } from 'node:path';
import { parsed } from '../../../src/core/lightjson.ts';
import { Helper } from '../../lib/helper.ts';
import { log } from '../../lib/rpc.ts';
import { derivedKey } from '../../lib/secret.ts';
import { loopStatistics, type LoopStatistics } from '../logs.ts';
import { DATA_PORT, type Aim, type Directive, type NodeId } from '../protocol.ts';

export interface LoopEvents {
  /** A flow without a graph: PPNs only. */
  onFlow?(address: string, port: number): void;
  onLatency?(peer: NodeId, latencyNs: number): void;
  /** Records as packetloop.c's struct delivery lays them out. */
  onDeliveries?(records: Buffer): void;
  onStatistics?(statistics: LoopStatistics): void;
}

export interface Stream {
  readonly id: number;
  readonly periodNs: number;
  readonly count: number;
  readonly bytes: number;
  readonly startNs: bigint;
}

/** "2:1 3:2": peers, and the graphs that messages enter there. */
const aimed = (aims: readonly Aim[]): string => aims.map(({ peer, graph }) => `${peer}:${graph}`).join(' ');

export class PacketLoop {
  #helper!: Helper;
  readonly #events: LoopEvents;
  readonly #installing = new Map<string, () => void>();
  #statistics: LoopStatistics | null = null;
  #errors = 0;

  private constructor(events: LoopEvents) {
    this.#events = events;
  }

  static async start(
    kind: 'relay' | 'endpoint',
    self: { id: NodeId; bind: string },
    nativeDir: string,
    secret: string,
    events: LoopEvents,
  ): Promise<PacketLoop> {
    const loop = new PacketLoop(events);
    loop.#helper = await Helper.start({
      name: 'packet loop',
      command: [join(nativeDir, 'packetloop'), kind, String(self.id), self.bind, String(DATA_PORT)],
      onLine: (line) => loop.#hear(line),
    });
    loop.#say(`key ${derivedKey(secret, 'data').toString('hex', 0, 16)}`);
    return loop;
  }

  get statistics(): LoopStatistics | null {
    return this.#statistics;
  }

  get errors(): number {
    return this.#errors;
  }

  peer(id: NodeId, address: string): void {
    this.#say(`peer ${id} ${address}`);
  }

  probe(id: NodeId, intervalUs: number, bytes: number): void {
    this.#say(`probe ${id} ${Math.round(intervalUs)} ${bytes}`);
  }

  /** Resolves when it rules what arrives. */
  async install({ graph, epoch, destinations }: Directive): Promise<void> {
    const words = destinations.map(({ peer, hold, holdNs }) => `${peer} ${hold === 'absolute' ? 'a' : 'r'} ${Math.round(holdNs)}`);
    await new Promise<void>((resolve) => {
      this.#installing.set(`${graph} ${epoch}`, resolve);
      this.#say(`graph ${graph} ${epoch} ${words.join(' ')}`);
    });
  }

  activate(graph: number, epoch: number): void {
    this.#say(`activate ${graph} ${epoch}`);
  }

  flow(address: string, port: number, graph: number): void {
    this.#say(`flow ${address} ${port} ${graph}`);
  }

  /** An injected fault: the node's clock is wrong by this much. */
  clock(errorNs: number): void {
    this.#say(`clock ${Math.round(errorNs)}`);
  }

  /** What is held goes to the kernel, which must have the qdisc fq there. */
  releaseByKernel(): void {
    this.#say('release kernel');
  }

  buffer(bytes: number, overflow: 'drop' | 'early'): void {
    this.#say(`buffer ${bytes} ${overflow}`);
  }

  stream({ id, periodNs, count, bytes, startNs }: Stream, aims: readonly Aim[]): void {
    this.#say(`stream ${id} ${Math.round(periodNs)} ${count} ${bytes} ${startNs} ${aimed(aims)}`);
  }

  aim(id: number, aims: readonly Aim[]): void {
    this.#say(`aim ${id} ${aimed(aims)}`);
  }

  /** The last records come out before it ends. */
  async close(): Promise<void> {
    await this.#helper.close();
  }

  #say(line: string): void {
    this.#helper.say(line);
  }

  #hear(line: string): void {
    const rest = line.slice(2);
    switch (line[0]) {
      case 'P':
        for (const entry of rest.split(' ')) {
          const [peer, ns] = entry.split(':');
          this.#events.onLatency?.(Number(peer), Number(ns));
        }
        return;
      case 'D':
        // Kept as they are: evidence, like a capture.
        log('debug', 'deliveries', { records: rest });
        this.#events.onDeliveries?.(Buffer.from(rest, 'base64'));
        return;
      case 'R':
        log('debug', 'replicas', { records: rest });
        return;
      case 'S':
        this.#statistics = parsed(loopStatistics, rest);
        this.#events.onStatistics?.(this.#statistics);
        return;
      case 'M': {
        const [address = '', port] = rest.split(' ');
        this.#events.onFlow?.(address, Number(port));
        return;
      }
      case 'I':
        this.#installing.get(rest)?.();
        this.#installing.delete(rest);
        return;
      default:
        this.#errors += 1;
        log('error', 'packet loop', { line });
    }
  }
}
