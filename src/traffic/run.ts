/** Runs one phase: servers up and listening, clients at their offsets, output collected. */
import { mapConcurrent, sleep, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { Host, HostProcess } from '../rig/hosts/host.ts';
import { epochNs } from '../rig/machines/local-machine.ts';
import type { Flow, Phase } from '../topology/model.ts';
import { flowCommands, parseFlow, type FlowCommands } from './tools.ts';
import type { FlowResult, PhaseRecord } from '../evidence/records.ts';

const FIRST_PORT = 5201;
const READY_TIMEOUT_MS = 5000;
/** A tool that has not ended this long after its time is stuck: its control connection starved. */
const GRACE_MS = 4000;
/** Starting one more process, on a busy machine. */
const SPAWN_MS = 12;
/** Over SSH, on a machine that may be emulated. */
const REMOTE_LEAD = 4;

export interface TrafficInput {
  readonly host: (node: string) => Host;
  /** Its network alone: where sockets are looked at. */
  readonly network: (node: string) => Host;
  /** Command words that run the prober there. */
  readonly prober: (node: string) => Promise<readonly string[]>;
  /** The node's clock minus this machine's. */
  readonly clockAheadMs: (node: string) => number;
  /** Programs need longer to start there. */
  readonly isRemote: (node: string) => boolean;
  /** Keeps raw tool output as evidence. */
  readonly keep: (name: string, content: string) => Promise<void>;
}

/** `alongside` runs with the traffic; it is given the start of the phase on performance.now()'s clock. */
export async function runPhase(
  ctx: Context,
  input: TrafficInput,
  phase: Phase,
  alongside: (startedMs: number, signal: AbortSignal) => Promise<void>,
  onTick?: (elapsedS: number) => void,
): Promise<PhaseRecord> {
  const commands = await Promise.all(
    phase.flows.map(async (flow, i) =>
      flowCommands(flow, FIRST_PORT + i, { sender: await input.prober(flow.from), receiver: await input.prober(flow.to) }),
    ),
  );
  const servers = phase.flows.map((flow, i) => collect(input.host(flow.to).spawn((commands[i] as FlowCommands).server)));
  const clients: (Collected | undefined)[] = phase.flows.map(() => undefined);
  // Ends with the phase, however it ends: a flow that has not started then does not start.
  const over = new AbortController();
  const signal = AbortSignal.any([ctx.signal, over.signal]);
  try {
    await mapConcurrent(phase.flows, 4, (flow, i) =>
      waitListening(ctx, input.network(flow.to), flow, (commands[i] as FlowCommands).port, servers[i] as Collected),
    );
    // The phase begins when a tool that needs time to get ready can be.
    // Many of them take turns at starting.
    const early = commands.filter((c) => c.leadMs > 0).length * SPAWN_MS;
    const leads = commands.map((c, i) =>
      c.leadMs > 0 ? (c.leadMs + early) * (input.isRemote((phase.flows[i] as Flow).from) ? REMOTE_LEAD : 1) : 0,
    );
    const leadMs = Math.max(0, ...phase.flows.map((flow, i) => (leads[i] as number) - flow.startUs / 1000));
    const startedNs = epochNs() + BigInt(Math.round(leadMs * 1e6));
    const startedMs = performance.now() + leadMs;
    const ticker = setInterval(() => onTick?.(Math.max(0, performance.now() - startedMs) / 1000), 500);
    try {
      const [results] = await Promise.all([
        Promise.all(
          phase.flows.map((flow, i) =>
            runFlow(signal, input, flow, commands[i] as FlowCommands, leads[i] as number, servers[i] as Collected, startedMs, (client) => {
              clients[i] = client;
            }),
          ),
        ),
        sleep(leadMs + phase.durationUs / 1000, signal),
        alongside(startedMs, signal),
      ]);
      return { phase: phase.name, startedNs: String(startedNs), durationUs: phase.durationUs, flows: results };
    } finally {
      clearInterval(ticker);
    }
  } finally {
    over.abort();
    for (const process of [...clients, ...servers]) process?.kill();
    // Kept whatever happened: it is the evidence of why.
    await Promise.all(
      phase.flows.flatMap((flow, i) => [
        input.keep(`${phase.name}.${flow.name}.sender.txt`, clients[i]?.text() ?? ''),
        input.keep(`${phase.name}.${flow.name}.receiver.txt`, servers[i]?.text() ?? ''),
      ]),
    );
  }
}

async function runFlow(
  signal: AbortSignal,
  input: TrafficInput,
  flow: Flow,
  commands: FlowCommands,
  leadMs: number,
  server: Collected,
  startedMs: number,
  onStart: (client: Collected) => void,
): Promise<FlowResult> {
  const startMs = startedMs + flow.startUs / 1000;
  await sleep(Math.max(0, startMs - leadMs - performance.now()), signal);
  const aheadMs = input.clockAheadMs(flow.from);
  const client = collect(
    input
      .host(flow.from)
      .spawn(commands.client(performance.timeOrigin + startMs + aheadMs, performance.timeOrigin + performance.now() + aheadMs)),
  );
  onStart(client);
  const ended = await client.waitExit(startMs - performance.now() + flow.durationUs / 1000 + GRACE_MS, signal);
  if (!ended) client.kill();
  // The receiver of iperf3 ends by itself after its one test; others are told to, mgen so that it writes out its log.
  if (flow.tool === 'mgen') server.interrupt();
  const ends = ended && (flow.tool === 'iperf3' || flow.tool === 'mgen');
  if (!ends || !(await server.waitExit(1000, signal))) server.kill();
  await server.exited;
  const result = parseFlow(flow, client.stdout(), server.stdout(), input.clockAheadMs(flow.to) - input.clockAheadMs(flow.from));
  if (ended) return result;
  // Without a connection it would have ended by itself.
  return { ...result, started: true, error: `${flow.tool} did not end in time and was stopped` };
}

async function waitListening(ctx: Context, host: Host, flow: Flow, port: number, server: Collected): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  const transport = flow.tool === 'prober' || flow.tool === 'mgen' ? '-Hlun' : '-Hltn';
  for (;;) {
    const { stdout } = await host.exec(['ss', transport, 'sport', '=', `:${port}`], { signal: ctx.signal });
    if (stdout.trim() !== '') return;
    const ended = await server.waitExit(10, ctx.signal);
    if (ended || performance.now() > deadline) {
      const hint =
        flow.tool === 'netperf'
          ? "netperf is in Debian's non-free component: enable it yourself and apt install netperf, or use tool: iperf3"
          : `apt install ${flow.tool}`;
      throw new NetrigError(
        'TRAFFIC_FAILED',
        `flow ${flow.name}: the receiver on ${flow.to} does not listen on port ${port}: ${server.text().trim() || 'no output'}`,
        { hint },
      );
    }
  }
}

interface Collected {
  readonly exited: HostProcess['exited'];
  stdout(): string;
  text(): string;
  kill(): void;
  interrupt(): void;
  waitExit(ms: number, signal: AbortSignal): Promise<boolean>;
}

function collect(process: HostProcess): Collected {
  let out = '';
  let err = '';
  let ended = false;
  process.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk;
  });
  process.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    err += chunk;
  });
  void process.exited.then(() => {
    ended = true;
  });
  return {
    exited: process.exited,
    stdout: () => out,
    text: () => out + err,
    kill: () => {
      if (!ended) process.kill('SIGKILL');
    },
    interrupt: () => {
      if (!ended) process.kill('SIGINT');
    },
    waitExit: async (ms, signal) => {
      const done = new AbortController();
      await Promise.race([
        process.exited,
        sleep(ms, AbortSignal.any([signal, done.signal])).catch((error: unknown) => {
          if (signal.aborted) throw error;
        }),
      ]);
      done.abort();
      return ended;
    },
  };
}
