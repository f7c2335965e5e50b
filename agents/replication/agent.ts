/** One process of the replication system: what it is, its configuration says. */
import { Refusal, type Agent, type AgentSetup, type AgentStatus } from '../lib/rpc.ts';
import type { AgentConfig, Role } from './config.ts';
import type { NodeRole } from './role.ts';
import { startGateway } from './gateway/gateway.ts';
import { startConsumer } from './nodes/consumer.ts';
import { startControl } from './control/server.ts';
import { startPpn } from './nodes/ppn.ts';
import { startProducer } from './nodes/producer.ts';
import { startRdn } from './routing/rdn.ts';

const ROLES: Readonly<Record<Role, (setup: AgentSetup<AgentConfig>) => Promise<NodeRole>>> = { control: startControl, rdn: startRdn, ppn: startPpn, producer: startProducer, consumer: startConsumer, gateway: startGateway };

export class ReplicationAgent implements Agent<AgentConfig> {
  #state: AgentStatus['state'] = 'idle';
  #role: NodeRole | undefined;

  async configure(setup: AgentSetup<AgentConfig>): Promise<void> {
    this.#role = await ROLES[setup.config.self.role](setup);
    this.#state = 'configured';
  }

  async start(): Promise<void> {
    await this.#role?.ready?.();
    this.#state = 'running';
  }

  /** Gateways change by operations of the control plane; who is there does not. */
  async update(): Promise<void> {
    // A host that is unplugged is noticed by its silence.
  }

  status(): AgentStatus {
    const problem = this.#role?.problem?.();
    return { state: this.#state, ...(problem === undefined ? {} : { problem }) };
  }

  counters(): Readonly<Record<string, number>> {
    return this.#role?.counters() ?? {};
  }

  async request(operation: string, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (!this.#role?.request) throw new Refusal('UnknownOperation', 'this node has no operations');
    return this.#role.request(operation, params);
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    await this.#role?.stop();
  }
}
