/** A host of an isolated network: beacons that say who it is, and probes that ask who answers. */
import { isIP } from 'node:net';
import type { Static } from 'typebox';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { type Operations, perform, refuse, validated } from '../../lib/params.ts';
import { startBeacons } from '../../lib/probing/beacon.ts';
import { askTcp, Prober } from '../../lib/probing/prober.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { HOST_OPERATIONS } from '../operations.ts';
import type { Lookup } from '../protocol.ts';
import { delv } from './delv.ts';
import { dig, type DigAnswer } from './dig.ts';
import { startNameServer } from './nameserver.ts';
import { HostResolver } from './resolver.ts';

type Question = Static<typeof HOST_OPERATIONS.Resolve>;

export async function startHost({ config, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, nodes, gateway, zones } = config;
  const network = new HostNetwork();
  if (gateway !== null) await network.addDefaultRoute(gateway);
  const own = startBeacons(self.name);
  const names = config.nameServer ? await startNameServer(workDir, { address: self.address, ...config.nameServer }) : null;
  const resolver = new HostResolver(workDir);
  const prober = new Prober();

  const zoneOf = (asked: string): string =>
    zones.find(({ zone }) => asked === zone || asked.endsWith(`.${zone}`))?.zone ?? refuse('InvalidRequest', `"${asked}" is in no zone`);

  const answerTo = async ({ name, type = 'A', server, dnssec = false, tcp = false, tool = 'dig' }: Question): Promise<DigAnswer> => {
    const address = server ?? resolver.servers[0] ?? refuse('InvalidRequest', 'the host was given no name server');
    if (!isIP(address)) refuse('InvalidRequest', `"${address}" is no address`);
    if (tool === 'dig') return dig({ name, type, server: address, dnssec, tcp });
    if (tool === 'delv') return delv({ name, type, server: address }, zoneOf(name));
    if (server !== undefined || type !== 'A' || dnssec || tcp)
      refuse('InvalidRequest', `${tool} asks for addresses of IPv4, from the servers that the host was given`);
    return tool === 'getent' ? resolver.getent(name) : resolver.cares(name);
  };

  const useServers = (params: unknown): Promise<object> => {
    const { servers } = validated(HOST_OPERATIONS.SetIsolatedNetworkDNSServer, params);
    for (const server of servers) if (!isIP(server)) refuse('InvalidRequest', `"${server}" is no address`);
    resolver.use(servers);
    return Promise.resolve({ servers });
  };

  /** Name, answer, and who is at its addresses. */
  const resolve = async (params: unknown): Promise<Lookup> => {
    const asked = validated(HOST_OPERATIONS.Resolve, params);
    const { type = 'A' } = asked;
    const { status, records, ttlSeconds } = await answerTo(asked);
    const addresses = records.filter((r) => r.type === 'A').map((r) => r.data);
    const reached = await Promise.all(addresses.map(async (address) => (await askTcp(address)).by));
    return {
      status,
      types: [...new Set(records.map((r) => r.type))],
      data: records.filter((r) => r.type === type).map((r) => r.data),
      ttlSeconds,
      reached,
    };
  };

  const probe = (params: unknown): Promise<object> =>
    prober.probe(validated(HOST_OPERATIONS.Probe, params), (host) => nodes.find((n) => n.name === host && n.role === 'host')?.address);

  const operations: Operations = { Probe: probe, Resolve: resolve, SetIsolatedNetworkDNSServer: useServers };
  return {
    counters: () => own.counters,
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      prober.stop();
      own.stop();
      await names?.stop();
      await network.stop();
    },
  };
}
