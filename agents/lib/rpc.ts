/**
 * JSON-RPC 2.0, one message a line, over the agent's stdin and stdout: the way the testbed talks to agents.
 * No port is opened; whoever may start the process may steer it. Logs go to stderr, one JSON object a line.
 */
import { createInterface } from 'node:readline';
import type { AgentSetup, AgentStatus } from '../../src/systems/protocol.ts';

export type { AgentSetup, AgentStatus };

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

/** A typed error of an operation. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
  }
}

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params?: unknown;
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
  const methods: Readonly<Record<string, (params: unknown) => unknown>> = {
    configure: (params) => agent.configure(params as AgentSetup<Config>),
    start: () => agent.start(),
    update: (params) => agent.update(params as Config),
    status: () => agent.status(),
    counters: () => ({ ...agent.counters(), cpuMicroseconds: process.cpuUsage().user + process.cpuUsage().system }),
    stop: () => agent.stop(),
  };
  const reply = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  let queue = Promise.resolve();
  const handle = async ({ id, method, params }: Request) => {
    const call = methods[method];
    if (!call) return reply({ id, error: { code: -32601, message: `no method ${method}` } });
    try {
      return reply({ id, result: (await call(params)) ?? null });
    } catch (error) {
      log('error', 'call failed', { method, message: (error as Error).message });
      return reply({ id, error: { code: -32000, message: (error as Error).message } });
    }
  };
  const ask = async ({ id, params }: Request) => {
    const { operation, params: given = {} } = params as { operation: string; params?: Readonly<Record<string, unknown>> };
    try {
      if (!agent.request) throw new Refusal('UnknownOperation', 'this agent has no operations');
      reply({ id, result: { answer: (await agent.request(operation, given)) ?? null, refused: null } });
    } catch (error) {
      log('warn', 'refused', { operation, message: (error as Error).message });
      if (error instanceof Refusal) reply({ id, result: { answer: error.message, refused: error.code } });
      else reply({ id, error: { code: -32000, message: (error as Error).message } });
    }
  };
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => {
    const request = JSON.parse(line) as Request;
    // One at a time: configure ends before start begins. Operations may take their time beside.
    if (request.method === 'request') void ask(request);
    else
      queue = queue.then(async () => {
        await handle(request);
      });
  });
  input.on('close', () => {
    void queue
      .then(() => agent.stop())
      .finally(() => {
        flushLog();
        // Not before the last line is out: a pipe that is full takes it later.
        process.stderr.write('', () => process.exit(0));
      });
  });
}
