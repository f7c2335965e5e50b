/** A virtual machine: its route to the router that its host pretends, and a beacon. */
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import { startBeacons } from '../../lib/probing/beacon.ts';
import { Prober } from '../../lib/probing/prober.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { EndpointConfig } from '../config.ts';
import { ENDPOINT_OPERATIONS } from '../operations.ts';

/** Nobody has them: whatever is asked for, the host's switcher answers. */
const [ROUTER, ROUTER_V6] = ['169.254.1.1', 'fe80::1'];

export async function startEndpoint({ config }: AgentSetup<EndpointConfig>): Promise<NodeRole> {
  const network = new HostNetwork();
  await network.addDefaultRoute(ROUTER, { mtu: config.mtu, device: config.device });
  if (config.ipv6 !== null) {
    await network.addAddress(config.ipv6, config.device);
    await network.addDefaultRoute(ROUTER_V6, { mtu: config.mtu, device: config.device });
  }
  const beacons = startBeacons(config.self.name);
  const prober = new Prober();
  const operations: Operations = {
    Probe: (params) => prober.probe(validated(ENDPOINT_OPERATIONS.Probe, params), (name) => config.endpoints[name]),
  };
  return {
    counters: () => beacons.counters,
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      prober.stop();
      beacons.stop();
      await network.stop();
    },
  };
}
