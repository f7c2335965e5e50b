/** What the testbed and an agent tell each other, whichever system it is of. */

export interface AgentStatus {
  readonly state: 'idle' | 'configured' | 'running' | 'stopped';
  /** Something that makes the agent's work untrustworthy; voids the run. */
  readonly problem?: string;
}

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
