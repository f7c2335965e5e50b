/** What a system under test tells the testbed about itself: agents/NAME/system.ts exports one of these. */
import type { TSchema } from 'typebox';
import type { Lab } from '../topology/model.ts';

export interface SystemProblem {
  /** Path inside the system's `config`. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint?: string;
  /** The key itself is wrong, not its value. */
  readonly atKey?: boolean;
}

export interface AgentSpec {
  readonly node: string;
  /** Passed to the agent's `configure`; JSON. */
  readonly config: unknown;
}

export interface SystemDefinition<Config = unknown> {
  readonly name: string;
  readonly configSchema: TSchema;
  /** Source of the agent; bundled to one file. */
  readonly entry: URL;
  /** Module that exports `page`, the system's part of the report (src/report/page.ts). */
  readonly page?: URL;
  /** Module that exports `checks`, what targets may hold the system against (src/checks/check.ts). */
  readonly checks?: URL;
  /** Keys of `config` that agents cannot change while they run. */
  readonly fixed: readonly string[];
  /** Run the agents at real-time priority: theirs is a control loop in milliseconds. */
  readonly realtime: boolean;
  /** What a node's agent may be asked for by `request` events; absent: nothing is known of it before it is asked. */
  requests?(
    config: Config,
    lab: Lab,
    on: readonly string[],
    node: string,
    operation: string,
    params: Readonly<Record<string, unknown>>,
  ): SystemProblem[];
  /** Pure: the agents of the system in this lab, or what is wrong with the configuration. */
  plan(config: Config, lab: Lab, on: readonly string[]): { agents: AgentSpec[]; problems: SystemProblem[] };
}
