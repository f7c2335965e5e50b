/** Action implementation node: its packets are native/ain.c's; this tells it what networks there are, and who decides. */
import { join } from 'node:path';
import { CommandHelper } from '../../lib/commandhelper.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { AIN_PORT, DMN_PORT, dataKey } from '../decision/wire.ts';
import { branchMac, UNATTACHED, type Metadata } from '../model.ts';
import { AIN_OPERATIONS } from '../operations.ts';
import { Follower } from './follower.ts';

/** native/ain.c, by its lines. `actions`: so many are remembered. */
export const startFastPath = (nativeDir: string, actions: number, before?: readonly [string, ...string[]]): Promise<CommandHelper> =>
  CommandHelper.start({ name: 'action implementation node', file: join(nativeDir, 'ain'), args: [String(actions)], system: 'hub', before });

const COUNT_MS = 200;

export async function startAin({ config, secret, nativeDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, ains, dmns, device, idleMs, verifyMs, missRate } = config;
  const own = ains.find((a) => a.name === self.name)!;
  const path = await startFastPath(nativeDir, config.actions);
  const key = dataKey(secret, own.cell).export().toString('hex');
  await path.ask('settings', own.number, key, AIN_PORT, idleMs, verifyMs, missRate, Math.ceil(missRate / 10));
  for (const dmn of dmns.filter((d) => d.cell === own.cell)) await path.ask('dmn', dmn.number, dmn.address, DMN_PORT);
  await path.ask('attach', device!);
  for (const { name, mac, cell } of ains) if (name !== self.name && cell === own.cell) await path.ask('peer', mac);
  for (const { number, gateway, shard } of config.networks)
    if (shard.includes(self.name)) await path.ask('branch', branchMac(own.number, number), number, gateway);

  const generations = new Map<number, number>();
  let gone: readonly string[] = [];
  const follower = new Follower(config, secret, async ({ version, domains, lost }: Metadata) => {
    for (const { name, number } of ains) if (lost.includes(name) && !gone.includes(name)) await path.ask('forget', number);
    gone = lost;
    // Its cell serves no domain any more: nothing is kept of any.
    if (domains.length === 0) await path.ask('flush');
    for (const [number, generation] of [[UNATTACHED, version] as const, ...domains.map((d) => [d.number, d.generation] as const)]) {
      if (generations.get(number) === generation) continue;
      await path.ask('domain', number, generation);
      generations.set(number, generation);
    }
  });

  let last: Readonly<Record<string, number>> = {};
  const read = async (): Promise<void> => {
    last = await path.counts('counters');
  };
  const timer = setInterval(() => void read().catch(() => undefined), COUNT_MS);
  const metrics = async (): Promise<object> =>
    Object.fromEntries(
      await Promise.all(config.networks.map(async ({ name, number }) => [name, await path.counts('tally', number)] as const)),
    );
  const operations: Operations = {
    Flush: () => path.ask('flush'),
    GetMetrics: metrics,
    IgnoreControl: (params) => follower.ignore(validated(AIN_OPERATIONS.IgnoreControl, params).on),
  };
  return {
    counters: () => ({ ...last, version: follower.version }),
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      clearInterval(timer);
      follower.stop();
      await path.stop();
    },
  };
}
