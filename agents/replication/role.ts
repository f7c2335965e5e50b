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
