/** Agents whose process is one of several roles, as its configuration says. */
import { Refusal, type Agent, type AgentSetup, type AgentStatus } from './rpc.ts';

/** What a node of any role does for the testbed. */
export interface NodeRole<Config = never> {
  counters(): Readonly<Record<string, number>>;
  /** What makes its work untrustworthy. */
  problem?(): string | undefined;
  stop(): void | Promise<void>;
  request?(operation: string, params: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** All nodes have been configured. */
  ready?(): Promise<void>;
  /** The configuration has changed. Absent: the role goes on as it was started, and changes by operations. */
  update?(config: Config): void | Promise<void>;
}

export class RoleAgent<Config> implements Agent<Config> {
  readonly #start: (setup: AgentSetup<Config>) => Promise<NodeRole<Config>>;
  #state: AgentStatus['state'] = 'idle';
  #role: NodeRole<Config> | undefined;

  constructor(start: (setup: AgentSetup<Config>) => Promise<NodeRole<Config>>) {
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

  async update(config: Config): Promise<void> {
    await this.#role?.update?.(config);
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
