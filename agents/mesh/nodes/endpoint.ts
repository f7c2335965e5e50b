/** A virtual machine: its route to the router that its host pretends, and a beacon. */
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { type Operations, perform, refuse, validated } from '../../lib/params.ts';
import { startBeacons } from '../../lib/probing/beacon.ts';
import { Prober } from '../../lib/probing/prober.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';
import type { EndpointConfig } from '../config.ts';
import { ROUTER_ADDRESS } from '../host/tables.ts';
import { ENDPOINT_OPERATIONS } from '../operations.ts';
import { learnRoutes } from './learning.ts';

/** Nobody has them: whatever is asked for, the host's switcher answers. */
const [ROUTER, ROUTER_V6] = [ROUTER_ADDRESS, 'fe80::1'];

export async function startEndpoint({ config, secret, workDir }: AgentSetup<EndpointConfig>): Promise<NodeRole> {
  const network = new HostNetwork();
  const place = new Place(config);
  await place.begin(network);
  const routes = await learnRoutes(workDir, secret, config);
  const beacons = startBeacons(config.self.name);
  const prober = new Prober();
  const operations: Operations = {
    Probe: (params) => prober.probe(validated(ENDPOINT_OPERATIONS.Probe, params), (name) => config.endpoints[name]),
    Migrate: async (params) => {
      const { to } = validated(ENDPOINT_OPERATIONS.Migrate, params);
      return { paused: await place.migrate(config.devices[to] ?? refuse('UnknownHost', `no link to a host "${to}"`)) };
    },
  };
  return {
    counters: () => beacons.counters,
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      prober.stop();
      beacons.stop();
      await routes.stop();
      await place.migrate(config.device);
      await network.stop();
    },
  };
}

/** The device that has the machine's addresses now. */
class Place {
  readonly #config: EndpointConfig;
  #device: string;

  constructor(config: EndpointConfig) {
    this.#config = config;
    this.#device = config.device;
  }

  async begin(network: HostNetwork): Promise<void> {
    const { mtu, device, ipv6, serves } = this.#config;
    await network.addDefaultRoute(ROUTER, { mtu, device });
    for (const address of serves) await network.addAddress(address);
    if (ipv6 === null) return;
    await network.addAddress(ipv6, device);
    await network.addDefaultRoute(ROUTER_V6, { mtu, device });
  }

  /** For how long it was nowhere, in milliseconds. */
  async migrate(to: string): Promise<number> {
    const { address, mac, mtu, ipv6 } = this.#config;
    if (to === this.#device) return 0;
    const startMs = performance.now();
    const route = (router: string): string => `route replace default via ${router} dev ${to} onlink mtu lock ${mtu}`;
    await run(
      'ip',
      ['-batch', '-'],
      [
        `link set dev ${this.#device} down`,
        `address flush dev ${this.#device}`,
        `link set dev ${to} down`,
        `link set dev ${to} address ${mac}`,
        `address replace ${address} dev ${to}`,
        `link set dev ${to} up`,
        route(ROUTER),
        ...(ipv6 === null ? [] : [`address replace ${ipv6}/128 dev ${to} nodad`, `-6 ${route(ROUTER_V6)}`]),
        '',
      ].join('\n'),
    );
    this.#device = to;
    return performance.now() - startMs;
  }
}
