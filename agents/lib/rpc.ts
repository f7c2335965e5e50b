/**
 * An agent's process: calls of the testbed come over stdin and stdout, so that no port is opened and only who may start
 * the process may steer it. Logs go to stderr, one JSON object a line.
 */
import { callsOverLines, Refusal } from '../../src/core/calls.ts';
import { SerialQueue } from '../../src/core/serial.ts';
import type { AgentFunctions, AgentSetup, AgentStatus } from '../../src/systems/protocol.ts';

export { Refusal, type AgentSetup, type AgentStatus };

export interface Agent<Config> {
  configure(setup: AgentSetup<Config>): Promise<void>;
  start(): Promise<void>;
  /** The configuration changed while it runs: adopted without interrupting what is not concerned. */
  update(config: Config): Promise<void>;
  status(): AgentStatus;
  counters(): Readonly<Record<string, number>>;
  /** An operation of the system's own interface; throws Refusal where the answer is a typed error. */
  request?(operation: string, params: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Leaves nothing behind on the host. */
  stop(): Promise<void>;
}

const DEBUG_FLUSH_MS = 250;
let buffered = '';
let flushTimer: NodeJS.Timeout | undefined;

function flushLog(): void {
  clearTimeout(flushTimer);
  flushTimer = undefined;
  if (buffered !== '') process.stderr.write(buffered);
  buffered = '';
}

/** Debug lines (one per control period) are written in batches: a system call each would be a cost of its own. */
export function log(level: 'debug' | 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, unknown>> = {}): void {
  buffered += `${JSON.stringify({ at: Date.now(), level, event, ...fields })}\n`;
  if (level !== 'debug') flushLog();
  else flushTimer ??= setTimeout(flushLog, DEBUG_FLUSH_MS).unref();
}

/** An agent that cannot act any more is a dead agent: the testbed restarts it or voids the run. */
export function fatal(event: string, why: string): never {
  log('error', event, { why });
  process.exit(1);
}

/** Serves until stdin ends (the testbed is gone): then stops the agent and exits. */
export function serveAgent<Config>(agent: Agent<Config>): void {
  // One at a time: configure ends before start begins. Operations may take their time beside.
  const queue = new SerialQueue();
  const functions: AgentFunctions<Config> = {
    configure: (setup) => queue.run(() => agent.configure(setup)),
    start: () => queue.run(() => agent.start()),
    update: (config) => queue.run(() => agent.update(config)),
    status: () => queue.run(() => agent.status()),
    counters: () => queue.run(() => ({ ...agent.counters(), cpuMicroseconds: process.cpuUsage().user + process.cpuUsage().system })),
    stop: () => queue.run(() => agent.stop()),
    request: async (operation, params = {}) => {
      if (!agent.request) throw new Refusal('UnknownOperation', 'this agent has no operations');
      return agent.request(operation, params);
    },
  };
  callsOverLines({
    input: process.stdin,
    write: (line) => process.stdout.write(`${line}\n`),
    local: logged(functions),
    onMalformed: () => log('error', 'malformed message', { from: 'testbed' }),
  });
  process.stdin.once('close', () => {
    void queue
      .run(() => agent.stop())
      .finally(() => {
        flushLog();
        // Not before the last line is out: a pipe that is full takes it later.
        process.stderr.write('', () => process.exit(0));
      });
  });
}

/** The same functions; what they refuse and where they fail is in the log. */
const logged = (functions: object): object =>
  Object.fromEntries(
    Object.entries(functions as Readonly<Record<string, (...args: unknown[]) => unknown>>).map(([method, call]) => [
      method,
      async (...args: unknown[]) => {
        try {
          return await call(...args);
        } catch (error) {
          const { message } = error as Error;
          if (error instanceof Refusal) log('warn', 'refused', { operation: args[0], message });
          else log('error', 'call failed', { method, message });
          throw error;
        }
      },
    ]),
  );
