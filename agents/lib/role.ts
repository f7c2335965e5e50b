/** Agents whose process is one of several roles, as its configuration says. */
import { Refusal, type Agent, type AgentSetup, type AgentStatus } from './rpc.ts';

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

export class RoleAgent<Config> implements Agent<Config> {
  readonly #start: (setup: AgentSetup<Config>) => Promise<NodeRole>;
  #state: AgentStatus['state'] = 'idle';
  #role: NodeRole | undefined;

  constructor(start: (setup: AgentSetup<Config>) => Promise<NodeRole>) {
    this.#start = start;
  }

  async configure(setup: AgentSetup<Config>): Promise<void> {
    this.#role = await this.#start(setup);
    this.#state = 'configured';
  }

  async start(): Promise<void> {
    await this.#role?.ready?.();
    this.#state = 'running';
  }

  /** Such systems change by operations; who is there does not, and a host that is unplugged is noticed by its silence. */
  async update(): Promise<void> {
    // Nothing to adopt.
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
