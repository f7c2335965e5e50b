/** Gateway of an isolated network, with its client VNI: routes that the hub propagates lead to the network's branches (R1-26). */
import { Type } from 'typebox';
import { parsed } from '../../../src/core/lightjson.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { formatPrefix } from '../../lib/prefix.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';
import type { AgentConfig } from '../config.ts';
import { viewsOf } from '../decision/view.ts';
import { branchMac, type Ain } from '../model.ts';
import { refuse } from '../operations.ts';
import { DnsEndpoint } from './endpoint.ts';
import { Follower } from './follower.ts';

/** Where a branch is reached from its network's gateway: nobody else knows the address, and nothing answers for it. */
const branchAddress = (ain: Ain): string => `169.254.75.${ain.number}`;

const kernelRoutes = Type.Array(Type.Object({ dst: Type.String() }));

/** Routes carry this number (rtnetlink's protocol), so that the hub's own are told from others. */
const PROTOCOL = '75';

export async function startGateway({ config, secret, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, device, networks, ains } = config;
  const own = networks.find((n) => n.name === self.network)!;
  const shard = own.shard.flatMap((name) => ains.find((a) => a.name === name) ?? []);
  const network = new HostNetwork();
  network.forwardAsymmetrically([device!]);
  // A flow stays with one AIN; flows are spread over all of the shard (R1-10, R1-17).
  network.setSysctls({ 'net.ipv4.fib_multipath_hash_policy': 1 });
  for (const ain of shard)
    await run('ip', [
      'neigh',
      'replace',
      branchAddress(ain),
      'lladdr',
      branchMac(ain.number, own.number),
      'nud',
      'permanent',
      'dev',
      device!,
    ]);
  /** Where none of the shard can be reached, all are tried. */
  const hopsOf = (lost: readonly string[]): string => {
    const there = shard.filter((ain) => !lost.includes(ain.name));
    return (there.length > 0 ? there : shard).map((ain) => `nexthop via ${branchAddress(ain)} dev ${device!} onlink`).join(' ');
  };

  const installed = async (): Promise<string[]> =>
    parsed(kernelRoutes, (await run('ip', ['-json', 'route', 'show', 'proto', PROTOCOL])) || '[]')
      .map(({ dst }) => (dst === 'default' ? '0.0.0.0/0' : dst.includes('/') ? dst : `${dst}/32`))
      .sort();
  let routes: readonly string[] = [];
  /** From what the kernel has: a predecessor may have left routes, and a device that was down has lost them. */
  const follow = async (wanted: readonly string[], lost: readonly string[]): Promise<void> => {
    const hops = hopsOf(lost);
    const lines = [
      ...(await installed()).filter((r) => !wanted.includes(r)).map((r) => `route delete ${r} proto ${PROTOCOL}`),
      ...wanted.map((r) => `route replace ${r} proto ${PROTOCOL} ${hops}`),
    ];
    if (lines.length > 0) await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
    routes = wanted;
  };
  if (config.endpoint) await network.addAddress(config.endpoint.address);
  const endpoint = config.endpoint && new DnsEndpoint(workDir, config.endpoint, own.name);
  const follower = new Follower(config, secret, async (metadata) => {
    const views = viewsOf(metadata);
    const view = views.byName.get(own.name);
    await follow(view ? [...view.ways].filter((w) => w.prefix.family === 4).map((w) => formatPrefix(w.prefix)) : [], metadata.lost);
    await endpoint?.follow(views, metadata);
  });
  return {
    request: async (operation) =>
      operation === 'GetRoutes' ? { routes: await installed() } : refuse('UnknownOperation', 'operations: GetRoutes'),
    counters: () => ({ routes: routes.length, version: follower.version }),
    stop: async () => {
      follower.stop();
      await endpoint?.stop();
      await follow([], []).catch(() => undefined);
      await network.stop();
    },
  };
}
