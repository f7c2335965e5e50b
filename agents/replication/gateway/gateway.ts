/** Translates addresses between virtual networks, and lets pass what a direction's tasks allow, in the node's Open vSwitch. */
import { join } from 'node:path';
import { SWITCH_DEVICE } from '../../../src/core/devices.ts';
import { listen } from '../../lib/channel.ts';
import { OpenFlowSwitch } from '../../lib/openflow/index.ts';
import { appctl } from '../../lib/ovs/appctl.ts';
import { fatal, log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { GATEWAY_PORT, type GatewayFunctions } from '../protocol.ts';
import type { NodeRole } from '../../lib/role.ts';
import { countsOf, flowsOf, NO_TASKS, type Fabric, type Tasks } from './flows.ts';

export async function startGateway({ config, secret, ovsDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { fabric } = config;
  if (!fabric || ovsDir === null) throw new Error('a gateway needs an Open vSwitch');
  const gateway = new Gateway(
    fabric,
    ovsDir,
    await OpenFlowSwitch.connect(join(ovsDir, `${SWITCH_DEVICE}.mgmt`), (why) => fatal('switch lost', why)),
  );
  await gateway.settle(NO_TASKS);
  const functions: GatewayFunctions = { settle: (tasks) => gateway.settle(tasks), metrics: () => gateway.metrics() };
  const listening = await listen<object>({
    address: config.self.bind,
    port: GATEWAY_PORT,
    secret,
    silenceMs: config.silenceMs,
    serve: (name) => (config.nodes.find((n) => n.name === name)?.role === 'control' ? functions : undefined),
    onPeer: () => undefined,
  });
  return {
    counters: () => ({ flows: gateway.flows }),
    stop: async () => {
      listening.close();
      await gateway.clear();
    },
  };
}

class Gateway {
  readonly #fabric: Fabric;
  readonly #ovsDir: string;
  readonly #bridge: OpenFlowSwitch;
  flows = 0;

  constructor(fabric: Fabric, ovsDir: string, bridge: OpenFlowSwitch) {
    this.#fabric = fabric;
    this.#ovsDir = ovsDir;
    this.#bridge = bridge;
  }

  /** All flows in one transaction: no packet meets half of them. */
  async settle(tasks: Tasks): Promise<void> {
    const names = this.#fabric.networks.map((n) => n.name);
    for (const [direction, { allow }] of Object.entries(tasks.directions)) {
      for (const name of direction.split('->'))
        if (!names.includes(name))
          throw new Refusal('InvalidRequest', `/directions/${direction}: no network "${name}"; networks: ${names.join(', ')}`);
      for (const rule of allow === 'any' ? [] : allow)
        if (Number(rule.split(':')[1]) > 65_535) throw new Refusal('InvalidRequest', `/directions/${direction}: ${rule}: no such port`);
    }
    const flows = flowsOf(this.#fabric, tasks);
    await this.#bridge.replace(flows);
    await this.#forgetCached();
    this.flows = flows.length;
    log('info', 'tasks', { tasks });
  }

  async metrics(): Promise<Record<string, { passed: number; refused: number }>> {
    return countsOf(await this.#bridge.flows(2), this.#fabric);
  }

  async clear(): Promise<void> {
    await this.#bridge.replace([]);
    await this.#forgetCached();
    this.#bridge.close();
    this.flows = 0;
  }

  /** The userspace datapath of Open vSwitch 3.1 can keep a cached "drop" after the flows that it came from are gone. */
  async #forgetCached(): Promise<void> {
    await appctl(this.#ovsDir, 'revalidator/purge');
  }
}
