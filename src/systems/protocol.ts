/** What the testbed and an agent tell each other, whichever system it is of. */
import { Type } from 'typebox';
import { record } from '../core/config/parts.ts';
import type { Described } from '../core/readonly.ts';

export const agentStatus = Type.Object({
  state: Type.Enum(['idle', 'configured', 'running', 'stopped']),
  /** Something that makes the agent's work untrustworthy; voids the run. */
  problem: Type.Optional(Type.String()),
});
export type AgentStatus = Described<typeof agentStatus>;

export const agentCounters = record(Type.Number());
export type AgentCounters = Described<typeof agentCounters>;

/** What the testbed tells every agent beside its own configuration. */
export interface AgentSetup<Config> {
  readonly config: Config;
  readonly node: string;
  /** Folder of the native helpers there. */
  readonly nativeDir: string;
  /** Sockets and database of the node's Open vSwitch; null where it has none. */
  readonly ovsDir: string | null;
  /** Folder for the agent's own files, which it makes; it is removed with the lab. */
  readonly workDir: string;
  /** Shared by the agents of one system in one run; never logged. Hexadecimal. */
  readonly secret: string;
}

/** What the testbed calls in an agent's process (core/calls.ts). */
export interface AgentFunctions<Config> {
  configure(setup: AgentSetup<Config>): Promise<void>;
  start(): Promise<void>;
  /** The configuration changed while it runs. */
  update(config: Config): Promise<void>;
  status(): Promise<AgentStatus>;
  /** With `cpuMicroseconds`, what the process has used. */
  counters(): Promise<AgentCounters>;
  /** An operation of the system's own interface; rejects with a Refusal where the answer is a typed error. */
  request(operation: string, params?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Leaves nothing behind on the host. */
  stop(): Promise<void>;
}
