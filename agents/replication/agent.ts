/** One process of the replication system: what it is, its configuration says. */
import { Refusal, type Agent, type AgentSetup, type AgentStatus } from '../lib/rpc.ts';
import type { AgentConfig, Role } from './config.ts';
import { startConsumer } from './consumer.ts';
import { startControl } from './control.ts';
import { startPpn } from './ppn.ts';
import { startProducer } from './producer.ts';
import { startRdn } from './rdn.ts';

/** What a node of any role does for the testbed. */
export interface NodeRole {
  counters(): Readonly<Record<string, number>>;
  /** What makes its work untrustworthy. */
  problem?(): string | undefined;
  stop(): void | Promise<void>;
  request?(operation: string, params: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** All nodes have been configured. */
  ready?(): Promise<void>;
}

const ROLES: Readonly<Record<Role, (setup: AgentSetup<AgentConfig>) => Promise<NodeRole>>> = { control: startControl, rdn: startRdn, ppn: startPpn, producer: startProducer, consumer: startConsumer };

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
