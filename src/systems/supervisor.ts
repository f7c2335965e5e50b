/** Starts agents in their nodes, talks JSON-RPC to them, notices when they die, and keeps their logs. */
import { randomBytes } from 'node:crypto';
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Type } from 'typebox';
import type { AgentSetup, AgentStatus } from './protocol.ts';
import { isDeepStrictEqual } from 'node:util';
import { sleep, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import { parseJson } from '../core/json.ts';
import type { Described } from '../core/readonly.ts';
import type { AgentRecord } from '../evidence/records.ts';

/** What an agent leaves; the machine that carried it, and its clock, are known to the caller. */
export type StoppedAgent = Omit<AgentRecord, 'machine' | 'clock'>;
import type { Host, HostProcess } from '../rig/hosts/host.ts';
import { bundleScript } from '../core/bundle.ts';
import type { SystemDefinition } from './definition.ts';
import type { PlannedSystem } from './registry.ts';

const CALL_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5000;
/** An operation may have to wait for other nodes. */
const REQUEST_TIMEOUT_MS = 30_000;
/** So may a start; and on an emulated machine several programs that start at once take many seconds. */
const START_TIMEOUT_MS = 180_000;
/** Of crashes that nobody planned. */
const MAX_RESTARTS = 5;
const PAUSE_POLL_MS = 20;
/** What an agent wrote last may still be on its way when it has ended. */
const DRAIN_TIMEOUT_MS = 3000;
/** SCHED_FIFO: a control loop must not wait behind the traffic that it controls. The kernel's throttling bounds what it may take. */
const REALTIME = ['chrt', '--fifo', '1'] as const;

/** No helper threads that wake up for a collection of a megabyte. */
const NODE_FLAGS = ['--single-threaded-gc'] as const;

export interface SupervisorInput {
  readonly host: (node: string) => Host;
  /** Command words that run a bundle in a node. */
  readonly script: (node: string, bundle: string) => Promise<readonly string[]>;
  readonly nativeDir: (node: string) => string;
  readonly ovsDir: (node: string) => string | null;
  /** Folder of the lab on the node's machine. */
  readonly labDir: (node: string) => string;
  /** Logs go to `<folder>/<system>.<node>.jsonl`. */
  readonly folder: string;
}

/** JSON-RPC 2.0. */
const answer = Type.Object({
  id: Type.Number(),
  result: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.Object({ message: Type.String() })),
});
type Answer = Described<typeof answer>;

/** One agent process and its calls in flight. */
class AgentProcess {
  readonly process: HostProcess;
  /** All that it wrote down has been read. */
  readonly drained: Promise<void>;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #label: string;
  #next = 0;
  #gone = false;

  constructor(label: string, process: HostProcess, log: WriteStream) {
    this.#label = label;
    this.process = process;
    process.stderr.on('data', (chunk: Buffer) => log.write(chunk));
    this.drained = new Promise((resolve) => {
      process.stderr.once('end', resolve).once('close', resolve);
    });
    createInterface({ input: process.stdout }).on('line', (line) => this.#answer(line));
    void process.exited.then((exit) => {
      this.#gone = true;
      for (const { reject } of this.#pending.values())
        reject(new NetrigError('AGENT_FAILED', `${label} exited (${exit.signal ?? exit.code}) during a call`));
      this.#pending.clear();
    });
  }

  #answer(line: string): void {
    let message: Answer;
    try {
      message = parseJson(answer, line);
    } catch {
      return; // a stray print; agents log to stderr
    }
    const call = this.#pending.get(message.id);
    if (!call) return;
    this.#pending.delete(message.id);
    if (message.error) call.reject(new NetrigError('AGENT_FAILED', `${this.#label}: ${message.error.message}`));
    else call.resolve(message.result);
  }

  get alive(): boolean {
    return !this.#gone;
  }

  call<T>(method: string, params?: unknown, timeoutMs = CALL_TIMEOUT_MS): Promise<T> {
    if (this.#gone) return Promise.reject(new NetrigError('AGENT_FAILED', `${this.#label} is gone`));
    const id = ++this.#next;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new NetrigError('TIMEOUT', `${this.#label} does not answer "${method}" within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value as T);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.process.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    });
  }
}

interface Supervised {
  readonly system: PlannedSystem;
  readonly node: string;
  setup: AgentSetup<unknown>;
  readonly command: readonly string[];
  readonly log: WriteStream;
  readonly crashes: { atMs: number; reason: string }[];
  /** Why it does not work any more, or not as it should. */
  readonly faults: string[];
  agent: AgentProcess;
  /** A planned kill: how long the agent stays dead. */
  plannedDownMs: number | null;
  unplanned: number;
  restarting: Promise<void>;
  paused: boolean;
}

export class Supervisor {
  readonly #input: SupervisorInput;
  readonly #ctx: Context;
  readonly #agents: Supervised[] = [];
  #stopping = false;

  private constructor(ctx: Context, input: SupervisorInput) {
    this.#ctx = ctx;
    this.#input = input;
  }

  /** All agents configured, then all started; on failure those that run are stopped. */
  static async start(ctx: Context, systems: readonly PlannedSystem[], input: SupervisorInput): Promise<Supervisor> {
    const supervisor = new Supervisor(ctx, input);
    mkdirSync(input.folder, { recursive: true });
    try {
      for (const system of systems) {
        const bundle = await bundleScript(system.definition.entry, system.definition.name);
        const secret = randomBytes(32).toString('hex');
        for (const { node, config } of system.agents) {
          const log = createWriteStream(join(input.folder, `${system.definition.name}.${node}.jsonl`), { flags: 'a' });
          const setup = {
            config,
            node,
            secret,
            nativeDir: input.nativeDir(node),
            ovsDir: input.ovsDir(node),
            workDir: join(input.labDir(node), 'agents', `${system.definition.name}.${node}`),
          };
          const [program, ...script] = (await input.script(node, bundle)) as [string, ...string[]];
          const command = [...(system.definition.realtime ? REALTIME : []), program, ...NODE_FLAGS, ...script];
          supervisor.#agents.push({
            system,
            node,
            setup,
            command,
            log,
            crashes: [],
            faults: [],
            plannedDownMs: null,
            unplanned: 0,
            restarting: Promise.resolve(),
            paused: false,
            agent: supervisor.#spawn(system.definition, node, command, log),
          });
        }
      }
      await Promise.all(supervisor.#agents.map((s) => s.agent.call('configure', s.setup, START_TIMEOUT_MS)));
      await Promise.all(supervisor.#agents.map((s) => s.agent.call('start', undefined, START_TIMEOUT_MS)));
      for (const s of supervisor.#agents) supervisor.#watch(s);
      return supervisor;
    } catch (error) {
      await supervisor.stop();
      throw error;
    }
  }

  #spawn({ name }: SystemDefinition, node: string, command: readonly string[], log: WriteStream): AgentProcess {
    return new AgentProcess(`agent ${name} on ${node}`, this.#input.host(node).spawn(command), log);
  }

  #watch(s: Supervised): void {
    void s.agent.process.exited.then((exit) => {
      if (this.#stopping) return;
      const reason = `exited (${exit.signal ?? exit.code})`;
      s.crashes.push({ atMs: Date.now(), reason });
      this.#ctx.events.emit({ type: 'note', level: 'warn', text: `agent ${s.system.definition.name} on ${s.node} ${reason}` });
      const downMs = s.plannedDownMs ?? 0;
      if (s.plannedDownMs === null) s.unplanned += 1;
      s.plannedDownMs = null;
      if (s.system.crash !== 'restart' || s.unplanned > MAX_RESTARTS) {
        s.faults.push(reason);
        return;
      }
      s.restarting = sleep(downMs, this.#ctx.signal).then(
        () => this.#restart(s),
        () => undefined,
      );
    });
  }

  async #restart(s: Supervised): Promise<void> {
    if (this.#stopping) return;
    try {
      s.agent = this.#spawn(s.system.definition, s.node, s.command, s.log);
      await s.agent.call('configure', s.setup, START_TIMEOUT_MS);
      await s.agent.call('start', undefined, START_TIMEOUT_MS);
      this.#watch(s);
    } catch (error) {
      s.faults.push(`restart failed: ${(error as Error).message}`);
      s.agent.process.kill('SIGKILL');
    }
  }

  /** kill -9, as a crash would: the agents come back after `downMs`. */
  kill(node: string, downMs: number): void {
    for (const s of this.#on(node)) {
      s.plannedDownMs = downMs;
      s.agent.process.kill('SIGKILL');
    }
  }

  pause(node: string): void {
    for (const s of this.#on(node)) {
      s.paused = true;
      s.agent.process.kill('SIGSTOP');
    }
  }

  resume(node: string): void {
    for (const s of this.#on(node)) {
      s.paused = false;
      s.agent.process.kill('SIGCONT');
    }
  }

  /** An operation of an agent's own interface: its answer, or the code of the error that it was refused with. */
  async request(system: string, node: string, operation: string, params: unknown): Promise<{ answer: unknown; refused: string | null }> {
    const s = this.#agents.find((a) => a.system.definition.name === system && a.node === node);
    if (!s) throw new NetrigError('AGENT_FAILED', `no agent of ${system} runs on ${node}`);
    return s.agent.call('request', { operation, params }, REQUEST_TIMEOUT_MS);
  }

  /** Counters of every agent as they are now. */
  async counters(): Promise<{ node: string; counters: Record<string, number> }[]> {
    return Promise.all(
      this.#agents.map(async ({ node, agent }) => ({ node, counters: await agent.call<Record<string, number>>('counters') })),
    );
  }

  /** Tells every agent whose configuration has changed. */
  async update(systems: readonly PlannedSystem[]): Promise<void> {
    await Promise.all(
      systems.flatMap((system) =>
        system.agents.map(async ({ node, config }) => {
          const s = this.#agents.find((a) => a.system.definition.name === system.definition.name && a.node === node);
          if (!s || isDeepStrictEqual(s.setup.config, config)) return;
          s.setup = { ...s.setup, config };
          while (s.paused) await sleep(PAUSE_POLL_MS, this.#ctx.signal);
          // One that is dead just now is configured so when it comes back.
          if (s.agent.alive)
            await s.agent.call('update', config).catch((error: unknown) => {
              if (s.agent.alive) throw error;
            });
        }),
      ),
    );
  }

  #on(node: string): Supervised[] {
    return this.#agents.filter((s) => s.node === node);
  }

  /** What voids the run: dead agents, and those that report a problem. */
  async voids(): Promise<string[]> {
    const reasons = await Promise.all(
      this.#agents.map(async (s) => {
        await s.restarting;
        if (s.faults.length > 0) return s.faults;
        const status = await s.agent
          .call<AgentStatus>('status')
          .catch((error: unknown): AgentStatus => ({ state: 'stopped', problem: (error as Error).message }));
        return status.problem === undefined ? [] : [status.problem];
      }),
    );
    return this.#agents.flatMap((s, i) =>
      (reasons[i] as string[]).map((reason) => `agent ${s.system.definition.name} on ${s.node} ${reason}`),
    );
  }

  /** Final counters, then a clean stop; an agent that does not end is killed. */
  async stop(): Promise<StoppedAgent[]> {
    this.#stopping = true;
    for (const s of this.#agents) if (s.paused) s.agent.process.kill('SIGCONT');
    return Promise.all(
      this.#agents.map(async (s): Promise<StoppedAgent> => {
        const none: Record<string, number> = {};
        const { cpuMicroseconds = 0, ...counters } = await s.agent
          .call<Record<string, number>>('counters', undefined, STOP_TIMEOUT_MS)
          .catch(() => none);
        const stopped = await s.agent.call('stop', undefined, STOP_TIMEOUT_MS).then(
          () => true,
          (error: unknown) => {
            if (s.crashes.length === 0) this.#ctx.events.emit({ type: 'note', level: 'warn', text: (error as Error).message });
            return false;
          },
        );
        s.agent.process.stdin.end();
        const timer = setTimeout(() => s.agent.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
        await s.agent.process.exited;
        clearTimeout(timer);
        await Promise.race([s.agent.drained, sleep(DRAIN_TIMEOUT_MS).catch(() => undefined)]);
        await new Promise<void>((resolve) => s.log.end(resolve));
        return {
          system: s.system.definition.name,
          node: s.node,
          crashes: s.crashes,
          counters,
          cpuSeconds: cpuMicroseconds / 1e6,
          clean: stopped,
        };
      }),
    );
  }
}
