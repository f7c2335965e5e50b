/** Action implementation node: its packets are native/ain.c's; this tells it what networks there are, and who decides. */
import { join } from 'node:path';
import { CommandHelper } from '../../lib/commandhelper.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import type { Calls } from '../../../src/core/calls.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { AIN_PORT, DMN_PORT, dataKey } from '../decision/wire.ts';
import { branchMac, UNATTACHED, type Metadata, type Network } from '../model.ts';
import { AIN_OPERATIONS } from '../operations.ts';
import type { ControlFunctions } from '../protocol.ts';
import { Follower } from './follower.ts';

/** native/ain.c, by its lines. `actions`: so many are remembered. */
export const startFastPath = (nativeDir: string, actions: number, before?: readonly [string, ...string[]]): Promise<CommandHelper> =>
  CommandHelper.start({ name: 'action implementation node', file: join(nativeDir, 'ain'), args: [String(actions)], system: 'hub', before });

const COUNT_MS = 200;
const LOAD_MS = 250;

export async function startAin({ config, secret, nativeDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, ains, dmns, device, idleMs, verifyMs, missRate } = config;
  const own = ains.find((a) => a.name === self.name)!;
  const path = await startFastPath(nativeDir, config.actions);
  const key = dataKey(secret, own.cell).export().toString('hex');
  await path.ask('settings', own.number, key, AIN_PORT, idleMs, verifyMs, missRate, Math.ceil(missRate / 10));
  await path.ask('attach', device!);
  for (const { name, mac, cell } of ains) if (name !== self.name && cell === own.cell) await path.ask('peer', mac);
  const branches = new Set<number>();
  /** One that is left stays: what is still on its way to it passes. */
  const branch = async (networks: readonly Network[]): Promise<void> => {
    for (const { number, gateway, shard } of networks) {
      if (!shard.includes(self.name) || branches.has(number)) continue;
      await path.ask('branch', branchMac(own.number, number), number, gateway);
      branches.add(number);
    }
  };
  await branch(config.networks);
  let asked: readonly number[] = [];
  const askOf = async (standby: readonly string[]): Promise<void> => {
    const deciding = dmns.filter((d) => d.cell === own.cell && !standby.includes(d.name));
    for (const number of asked.filter((n) => !deciding.some((d) => d.number === n))) await path.ask('nodmn', number);
    for (const { number, address } of deciding.filter((d) => !asked.includes(d.number))) await path.ask('dmn', number, address, DMN_PORT);
    asked = deciding.map((d) => d.number);
  };
  await askOf(config.standby);

  let control: Calls<ControlFunctions> | null = null;
  const generations = new Map<number, number>();
  let gone: readonly string[] = [];
  const follow = async ({ version, networks, domains, lost, standby }: Metadata): Promise<void> => {
    await branch(networks);
    await askOf(standby);
    const away = [...lost, ...standby];
    for (const { name, number } of ains) if (away.includes(name) && !gone.includes(name)) await path.ask('forget', number);
    gone = away;
    // Its cell serves no domain any more: nothing is kept of any.
    if (domains.length === 0) await path.ask('flush');
    const rules = [[UNATTACHED, version] as const, ...domains.map((d) => [d.number, d.generation] as const)];
    const newer = rules.filter(([number, generation]) => generations.get(number) !== generation);
    await Promise.all(newer.map(([number, generation]) => path.ask('domain', number, generation)));
    for (const [number, generation] of newer) generations.set(number, generation);
  };
  const follower = new Follower(config, secret, follow, (call) => {
    control = call;
  });

  const load = config.scale ? reportLoad(config.networks, path, () => control) : null;
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
      load?.stop();
      follower.stop();
      await path.stop();
    },
  };
}

/** Packets of networks that come to an AIN, told the control plane again and again (R1-23). */
function reportLoad(networks: readonly Network[], path: CommandHelper, control: () => Calls<ControlFunctions> | null): { stop(): void } {
  let [came, atMs] = [0, performance.now()];
  const report = async (): Promise<void> => {
    const tallies = await Promise.all(networks.map((n) => path.counts('tally', n.number)));
    const [all, nowMs] = [tallies.reduce((sum, t) => sum + (t['in'] ?? 0), 0), performance.now()];
    const packetsPerSecond = ((all - came) * 1000) / (nowMs - atMs);
    [came, atMs] = [all, nowMs];
    await control()?.load(packetsPerSecond);
  };
  const timer = setInterval(() => void report().catch(() => undefined), LOAD_MS);
  return { stop: () => clearInterval(timer) };
}
