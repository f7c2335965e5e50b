/** The data path of a forwarding unit: native/forwarder.c, which loads the kernel's programs and fills their tables. */
import { join } from 'node:path';
import { CommandHelper, type TestRun } from '../../lib/commandhelper.ts';
import { LONGEST_BYTES, type AgentConfig } from '../config.ts';
import type { WireSlot } from '../protocol.ts';

export type Program = 'edge_in' | 'server_in' | 'server_out';

/** native/forward.h */
const FLAGS = { away: 1, keep: 2 } as const;

export class Forwarder {
  readonly #helper: CommandHelper;

  private constructor(helper: CommandHelper) {
    this.#helper = helper;
  }

  static async start(
    nativeDir: string,
    { self, preserving, memory, encapsulation, pair, slots, returnByTunnel, services, pops, nodes }: AgentConfig,
    seed: number,
  ): Promise<Forwarder> {
    const file = join(nativeDir, 'forwarder');
    const forwarder = new Forwarder(await CommandHelper.start({ name: 'forwarding unit', file, system: 'pop' }));
    const edge = pops.find((p) => p.name === self.pop)!.edge;
    const tunnelEnd = nodes.find((n) => n.name === edge)!.address;
    const flag = (on: boolean): number => (on ? 1 : 0);
    await forwarder.#helper.ask(
      `settings ${self.address} ${tunnelEnd} ${seed} ${slots} ${encapsulation} ${flag(preserving)} ${flag(pair)} ${flag(memory)} ${flag(returnByTunnel)} ${LONGEST_BYTES}`,
    );
    for (const { address, table } of services) await forwarder.#helper.ask(`table ${address}/32 ${table}`);
    return forwarder;
  }

  async attach(device: string, program: Program): Promise<void> {
    await this.#helper.ask(`attach ${device} ${program}`);
  }

  /** Who may send by tunnel, or by first hop. */
  async trust(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) await this.#helper.ask(`peer ${address} on`);
  }

  /** Servers of this PoP: nobody outside is one of them, or speaks to them in first hops. */
  async own(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) await this.#helper.ask(`own ${address} on`);
  }

  /** Where the entries of a table point that rule in the kernel; "0.0.0.0": here. */
  async dump(table: number): Promise<string[]> {
    return (await this.#helper.ask(`dump ${table}`)).slice('ok '.length).split(',');
  }

  async setThreat(prefix: string, on: boolean): Promise<void> {
    await this.#helper.ask(`threat ${prefix} ${on ? 'on' : 'off'}`);
  }

  /** All slots that are given, then the version rules: no packet meets half of it. */
  async program(version: number, slots: readonly WireSlot[]): Promise<void> {
    for (const { table, index, server, target, previousPops, handoff, away, keep } of slots) {
      this.#helper.tell(
        `slot ${table} ${index} ${server} ${target} ${previousPops[0]} ${previousPops[1]} ${handoff} ${(away ? FLAGS.away : 0) | (keep ? FLAGS.keep : 0)}`,
      );
    }
    await this.#helper.ask(`commit ${version}`);
  }

  /** Runs a program on a frame, without a wire: what the kernel would do with it, how long it takes, and what it makes of it. */
  async run(program: Program, frame: Buffer, count = 1): Promise<TestRun> {
    return this.#helper.testRun(['run', program, count], frame);
  }

  async counters(): Promise<Readonly<Record<string, number>>> {
    return this.#helper.counts('counters');
  }

  /** Takes the programs out of the kernel. */
  async stop(): Promise<void> {
    await this.#helper.stop();
  }
}
