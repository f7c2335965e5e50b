/** Action implementation node: its packets are native/ain.c's; this tells it what networks there are, and who decides. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { parseJson } from '../../../src/core/json.ts';
import { Helper } from '../../lib/helper.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { AIN_PORT, DMN_PORT, dataKey } from '../decision/wire.ts';
import { branchMac, UNATTACHED, type Metadata } from '../model.ts';
import { refuse } from '../operations.ts';
import { Follower } from './follower.ts';

const counts = Type.Record(Type.String(), Type.Number());

/** native/ain.c, by its lines. */
export class FastPath {
  #helper!: Helper;
  readonly #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];

  /** `before`: words before the command, that place it elsewhere. */
  static async start(nativeDir: string, before: readonly string[] = []): Promise<FastPath> {
    const file = join(nativeDir, 'ain');
    if (!existsSync(file)) throw new Error('the action implementation node is not built: lab/setup.sh --with-hub');
    const path = new FastPath();
    path.#helper = await Helper.start({
      name: 'action implementation node',
      command: before.length > 0 ? [before[0]!, ...before.slice(1), file] : [file],
      onLine: (line) => path.#hear(line),
    });
    return path;
  }

  ask(...words: readonly (string | number)[]): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#helper.say(words.join(' '));
    });
  }

  async counters(): Promise<Readonly<Record<string, number>>> {
    return parseJson(counts, await this.ask('counters'));
  }

  /** Of one network: packets in and out, hits, misses, and what was dropped, and why. */
  async tally(network: number): Promise<Readonly<Record<string, number>>> {
    return parseJson(counts, await this.ask('tally', network));
  }

  /** An action as a DMN would send it. */
  async install(flow: Buffer, ops: Buffer): Promise<void> {
    await this.ask('action', flow.toString('hex'), ops.toString('hex'));
  }

  /** Runs the program on a frame, without a wire: what the kernel would do with it, how long it takes, and what it makes of it. */
  async run(frame: Buffer, count = 1): Promise<{ readonly action: number; readonly ns: number; readonly frame: Buffer }> {
    const [, action, ns, hex = ''] = (await this.ask('run', count, frame.toString('hex'))).split(' ');
    return { action: Number(action), ns: Number(ns), frame: Buffer.from(hex, 'hex') };
  }

  async stop(): Promise<void> {
    await this.ask('detach').catch(() => undefined);
    await this.#helper.close();
  }

  #hear(line: string): void {
    const waiting = this.#waiting.shift();
    if (line.startsWith('E ')) waiting?.reject(new Error(`action implementation node: ${line.slice(2)}`));
    else waiting?.resolve(line);
  }
}

const COUNT_MS = 200;

export async function startAin({ config, secret, nativeDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, ains, dmns, device, idleMs, verifyMs, missRate } = config;
  const own = ains.find((a) => a.name === self.name)!;
  const path = await FastPath.start(nativeDir);
  const key = dataKey(secret, 'cell').export().toString('hex');
  await path.ask('settings', own.number, key, AIN_PORT, idleMs, verifyMs, missRate, Math.ceil(missRate / 10));
  for (const dmn of dmns) await path.ask('dmn', dmn.number, dmn.address, DMN_PORT);
  await path.ask('attach', device!);
  for (const { name, mac } of ains) if (name !== self.name) await path.ask('peer', mac);
  for (const { number, gateway, shard } of config.networks)
    if (shard.includes(self.name)) await path.ask('branch', branchMac(own.number, number), number, gateway);

  const generations = new Map<number, number>();
  let gone: readonly string[] = [];
  const follower = new Follower(config, secret, async ({ version, domains, lost }: Metadata) => {
    for (const { name, number } of ains) if (lost.includes(name) && !gone.includes(name)) await path.ask('forget', number);
    gone = lost;
    for (const [number, generation] of [[UNATTACHED, version] as const, ...domains.map((d) => [d.number, d.generation] as const)]) {
      if (generations.get(number) === generation) continue;
      await path.ask('domain', number, generation);
      generations.set(number, generation);
    }
  });

  let last: Readonly<Record<string, number>> = {};
  const read = async (): Promise<void> => {
    last = await path.counters();
  };
  const timer = setInterval(() => void read().catch(() => undefined), COUNT_MS);
  const metrics = async (): Promise<object> =>
    Object.fromEntries(await Promise.all(config.networks.map(async ({ name, number }) => [name, await path.tally(number)] as const)));
  return {
    counters: () => ({ ...last, version: follower.version }),
    request: async (operation) => {
      if (operation === 'Flush') return path.ask('flush');
      return operation === 'GetMetrics' ? metrics() : refuse('UnknownOperation', 'operations: Flush, GetMetrics');
    },
    stop: async () => {
      clearInterval(timer);
      follower.stop();
      await path.stop();
    },
  };
}
