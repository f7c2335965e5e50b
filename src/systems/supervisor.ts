/** Starts agents in their nodes, calls them, notices when they die, and keeps their logs. */
import { randomBytes } from 'node:crypto';
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { TSchema } from 'typebox';
import { agentCounters, agentStatus, type AgentCounters, type AgentFunctions, type AgentSetup, type AgentStatus } from './protocol.ts';
import { isDeepStrictEqual } from 'node:util';
import { sleep, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import { callsOverLines, Refusal, type Calls } from '../core/calls.ts';
import { conform } from '../core/json.ts';
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

type Functions = AgentFunctions<unknown>;

/** One agent process and its calls in flight. */
class AgentProcess {
  readonly process: HostProcess;
  /** All that it wrote down has been read. */
  readonly drained: Promise<void>;
  readonly #calls: Calls<Functions>;
  readonly #label: string;

  constructor(label: string, process: HostProcess, log: WriteStream) {
    this.#label = label;
    this.process = process;
    process.stderr.on('data', (chunk: Buffer) => log.write(chunk));
    this.drained = new Promise((resolve) => {
      process.stderr.once('end', resolve).once('close', resolve);
    });
    // A line that is no message is a stray print; agents log to stderr.
    this.#calls = callsOverLines<Functions>({ input: process.stdout, write: (line) => process.stdin.write(`${line}\n`), local: {} });
    void process.exited.then((exit) => {
      this.#calls.$close(new NetrigError('AGENT_FAILED', `${label} exited (${exit.signal ?? exit.code}) during a call`));
    });
  }

  get alive(): boolean {
    return !this.#calls.$closed;
  }

  async configure(setup: AgentSetup<unknown>): Promise<void> {
    await this.#within(START_TIMEOUT_MS, 'configure', (calls) => calls.configure(setup));
  }

  async start(): Promise<void> {
    await this.#within(START_TIMEOUT_MS, 'start', (calls) => calls.start());
  }

  async update(config: unknown): Promise<void> {
    await this.#within(CALL_TIMEOUT_MS, 'update', (calls) => calls.update(config));
  }

  async status(): Promise<AgentStatus> {
    return this.#conform(agentStatus, await this.#within(CALL_TIMEOUT_MS, 'status', (calls) => calls.status()));
  }

  async counters(timeoutMs = CALL_TIMEOUT_MS): Promise<AgentCounters> {
    return this.#conform(agentCounters, await this.#within(timeoutMs, 'counters', (calls) => calls.counters()));
  }

  /** Rejects with a Refusal where the agent refuses. */
  async request(operation: string, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.#within(REQUEST_TIMEOUT_MS, operation, (calls) => calls.request(operation, params));
  }

  async stop(): Promise<void> {
    await this.#within(STOP_TIMEOUT_MS, 'stop', (calls) => calls.stop());
  }

  async #within<T>(timeoutMs: number, what: string, work: (calls: Calls<Functions>) => Promise<T>): Promise<T> {
    if (!this.alive) throw new NetrigError('AGENT_FAILED', `${this.#label} is gone`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const text = `${this.#label} does not answer "${what}" within ${timeoutMs} ms`;
      timer = setTimeout(() => reject(new NetrigError('TIMEOUT', text)), timeoutMs);
    });
    try {
      return await Promise.race([work(this.#calls), late]);
    } catch (error) {
      if (error instanceof NetrigError || error instanceof Refusal) throw error;
      throw new NetrigError('AGENT_FAILED', `${this.#label}: ${(error as Error).message}`);
    } finally {
      clearTimeout(timer);
    }
  }

  #conform<S extends TSchema>(schema: S, value: unknown): Described<S> {
    try {
      return conform(schema, value);
    } catch (error) {
      throw new NetrigError('AGENT_FAILED', `${this.#label}: ${(error as Error).message}`);
    }
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
      await Promise.all(supervisor.#agents.map((s) => s.agent.configure(s.setup)));
      await Promise.all(supervisor.#agents.map((s) => s.agent.start()));
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
      await s.agent.configure(s.setup);
      await s.agent.start();
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
  async request(
    system: string,
    node: string,
    operation: string,
    params: Readonly<Record<string, unknown>>,
  ): Promise<{ answer: unknown; refused: string | null }> {
    const s = this.#agents.find((a) => a.system.definition.name === system && a.node === node);
    if (!s) throw new NetrigError('AGENT_FAILED', `no agent of ${system} runs on ${node}`);
    try {
      return { answer: (await s.agent.request(operation, params)) ?? null, refused: null };
    } catch (error) {
      if (error instanceof Refusal) return { answer: error.message, refused: error.code };
      throw error;
    }
  }

  /** Counters of every agent as they are now. */
  async counters(): Promise<{ node: string; counters: AgentCounters }[]> {
    return Promise.all(this.#agents.map(async ({ node, agent }) => ({ node, counters: await agent.counters() })));
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
            await s.agent.update(config).catch((error: unknown) => {
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
          .status()
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
        const none: AgentCounters = {};
        const { cpuMicroseconds = 0, ...counters } = await s.agent.counters(STOP_TIMEOUT_MS).catch(() => none);
        const stopped = await s.agent.stop().then(
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
