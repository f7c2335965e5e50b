/** The data path of a forwarding unit: native/forwarder.c, which loads the kernel's programs and fills their tables. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Helper } from '../../lib/helper.ts';
import { LONGEST_BYTES, type AgentConfig } from '../config.ts';
import type { WireSlot } from '../protocol.ts';

export type Program = 'edge_in' | 'server_in' | 'server_out';

/** native/forward.h */
const FLAGS = { away: 1, keep: 2 } as const;

export class Forwarder {
  #helper!: Helper;
  readonly #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];

  static async start(
    nativeDir: string,
    { self, preserving, memory, encapsulation, pair, slots, returnByTunnel, services, pops, nodes }: AgentConfig,
    seed: number,
  ): Promise<Forwarder> {
    const file = join(nativeDir, 'forwarder');
    if (!existsSync(file)) throw new Error('the forwarding unit is not built: lab/setup.sh --with-pop');
    const forwarder = new Forwarder();
    forwarder.#helper = await Helper.start({ name: 'forwarding unit', command: [file], onLine: (line) => forwarder.#hear(line) });
    const edge = pops.find((p) => p.name === self.pop)!.edge;
    const tunnelEnd = nodes.find((n) => n.name === edge)!.address;
    const flag = (on: boolean): number => (on ? 1 : 0);
    await forwarder.#ask(
      `settings ${self.address} ${tunnelEnd} ${seed} ${slots} ${encapsulation} ${flag(preserving)} ${flag(pair)} ${flag(memory)} ${flag(returnByTunnel)} ${LONGEST_BYTES}`,
    );
    for (const { address, table } of services) await forwarder.#ask(`table ${address}/32 ${table}`);
    return forwarder;
  }

  async attach(device: string, program: Program): Promise<void> {
    await this.#ask(`attach ${device} ${program}`);
  }

  /** Who may send by tunnel, or by first hop. */
  async trust(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) await this.#ask(`peer ${address} on`);
  }

  /** Servers of this PoP: nobody outside is one of them, or speaks to them in first hops. */
  async own(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) await this.#ask(`own ${address} on`);
  }

  /** Where the entries of a table point that rule in the kernel; "0.0.0.0": here. */
  async dump(table: number): Promise<string[]> {
    return (await this.#ask(`dump ${table}`)).slice('ok '.length).split(',');
  }

  async setThreat(prefix: string, on: boolean): Promise<void> {
    await this.#ask(`threat ${prefix} ${on ? 'on' : 'off'}`);
  }

  /** All slots that are given, then the version rules: no packet meets half of it. */
  async program(version: number, slots: readonly WireSlot[]): Promise<void> {
    for (const { table, index, server, target, previousPops, handoff, away, keep } of slots) {
      this.#helper.say(
        `slot ${table} ${index} ${server} ${target} ${previousPops[0]} ${previousPops[1]} ${handoff} ${(away ? FLAGS.away : 0) | (keep ? FLAGS.keep : 0)}`,
      );
    }
    await this.#ask(`commit ${version}`);
  }

  /** Runs a program on a frame, without a wire: what the kernel would do with it, how long it takes, and what it makes of it. */
  async run(program: Program, frame: Buffer, count = 1): Promise<{ action: number; ns: number; frame: Buffer }> {
    const [, action, ns, hex = ''] = (await this.#ask(`run ${program} ${count} ${frame.toString('hex')}`)).split(' ');
    return { action: Number(action), ns: Number(ns), frame: Buffer.from(hex, 'hex') };
  }

  async counters(): Promise<Record<string, number>> {
    return JSON.parse(await this.#ask('counters')) as Record<string, number>;
  }

  /** Takes the programs out of the kernel. */
  async stop(): Promise<void> {
    await this.#ask('detach').catch(() => undefined);
    await this.#helper.close();
  }

  #ask(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#helper.say(line);
    });
  }

  #hear(line: string): void {
    const waiting = this.#waiting.shift();
    if (line.startsWith('E ')) waiting?.reject(new Error(`forwarding unit: ${line.slice(2)}`));
    else waiting?.resolve(line);
  }
}
