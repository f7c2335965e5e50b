/** Clients: HTTP connections to anycast addresses, short and long ones, each with its fate; and an attacker's packets. */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { Agent, request as httpRequest } from 'node:http';
import { parseDurationUs } from '../../../src/core/units.ts';
import { log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentConfig } from '../config.ts';
import type { ConnectionRow, Fate } from '../logs.ts';
import { known, validated } from '../../lib/params.ts';
import { CLIENT_OPERATIONS } from '../operations.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';

const LOG_MS = 250;
const ROWS_A_LINE = 500;
const ANSWER_TIMEOUT_MS = 5000;
/** A request that is not answered for so long when the run ends is not answered. */
const OVERDUE_MS = 1000;
/** A connection that breaks is broken for certain so much later. */
const SETTLE_MS = 1500;
/** Broken connections are noticed so often. */
const SWEEP_MS = 500;
/** No probes of the kernel's own meanwhile. */
const QUIET_MS = 600_000;
const TICK_MS = 5;
const FLOOD_BYTES = 64;
const FLOOD_FLOWS = 64;

class Connection {
  readonly #agent = new Agent({ keepAlive: true, keepAliveMsecs: QUIET_MS, maxSockets: 1 });
  readonly #address: string;
  readonly #path: string;
  readonly #service: string;
  readonly startedMs = Date.now();
  #port = 0;
  #requests = 0;
  #firstMs = 0;
  #slowestMs = 0;
  #hash = '';
  #opened = false;
  #askedMs: number | null = null;
  #closed = false;
  readonly #servers = new Set<string>();

  constructor(service: string, address: string, path: string) {
    this.#service = service;
    this.#address = address;
    this.#path = path;
  }

  /** One request; the fate where it ended the connection. */
  async ask(last: boolean): Promise<Fate | null> {
    const beganMs = performance.now();
    this.#askedMs = beganMs;
    const fate = await new Promise<Fate | null>((resolve) => {
      const request = httpRequest(
        {
          host: this.#address,
          port: 80,
          path: this.#path,
          agent: this.#agent,
          headers: { 'Accept-Encoding': 'gzip', Connection: last ? 'close' : 'keep-alive' },
          timeout: ANSWER_TIMEOUT_MS,
        },
        (response) => {
          const hash = createHash('sha256');
          const server = response.headers['x-server'];
          if (typeof server === 'string') this.#servers.add(server);
          response.on('data', (chunk: Buffer) => hash.update(chunk));
          response.on('end', () => {
            this.#hash = hash.digest('hex').slice(0, 12);
            resolve(response.statusCode === 200 ? null : 'failed');
          });
          response.on('error', () => resolve('reset'));
        },
      );
      request.on('socket', (socket) => {
        // A connection that was broken meanwhile is not made anew.
        if (this.#opened && socket.localPort !== this.#port) {
          request.destroy();
          resolve('reset');
        } else if (socket.connecting) {
          socket.once('connect', () => {
            this.#port = socket.localPort ?? 0;
            this.#opened = true;
          });
        }
      });
      request.on('timeout', () => {
        resolve('timeout');
        request.destroy();
      });
      request.on('error', () => resolve(this.#opened ? 'reset' : 'refused'));
      request.end();
    });
    this.#askedMs = null;
    const tookMs = performance.now() - beganMs;
    if (fate === null) {
      this.#requests += 1;
      if (this.#requests === 1) this.#firstMs = tookMs;
      this.#slowestMs = Math.max(this.#slowestMs, tookMs);
    }
    return fate;
  }

  /** Broken while nobody asked anything? A keep-alive socket that the agent has no more. */
  get isBroken(): boolean {
    return this.#opened && !this.#closed && this.#askedMs === null && Object.keys(this.#agent.freeSockets).length === 0;
  }

  /** Asked for something long ago. */
  get isOverdue(): boolean {
    return this.#askedMs !== null && performance.now() - this.#askedMs > OVERDUE_MS;
  }

  end(fate: Fate): ConnectionRow {
    this.#closed = true;
    this.#agent.destroy();
    return [
      this.#service,
      this.#port,
      this.startedMs,
      Date.now(),
      fate,
      this.#requests,
      [...this.#servers].join(' '),
      Math.round(this.#firstMs * 1000) / 1000,
      Math.round(this.#slowestMs * 1000) / 1000,
      this.#hash,
    ];
  }
}

export async function startClient({ config }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const network = new HostNetwork();
  // Thousands of connections to one address.
  network.setSysctls({ 'net.ipv4.tcp_tw_reuse': 1, 'net.ipv4.ip_local_port_range': '1024 65535' });
  await network.sendAsOnAWire(config.devices);
  if (config.gateway !== null) await network.addDefaultRoute(config.gateway);
  const counters = { connections: 0, ok: 0, reset: 0, refused: 0, timeout: 0, failed: 0, open: 0, flooded: 0 };
  let rows: ConnectionRow[] = [];
  const open = new Set<Connection>();
  const unsettled = new Map<() => void, ConnectionRow>();
  const state = { stopped: false };
  const flush = (): void => {
    for (let i = 0; i < rows.length; i += ROWS_A_LINE) log('debug', 'connections', { list: rows.slice(i, i + ROWS_A_LINE) });
    rows = [];
  };
  const writes = setInterval(flush, LOG_MS);
  const finish = (connection: Connection, fate: Fate): void => {
    if (!open.delete(connection)) return;
    counters.open -= 1;
    const row = connection.end(fate);
    const settle = (): void => {
      unsettled.delete(settle);
      counters[fate] += 1;
      rows.push(row);
    };
    if (fate === 'ok') settle();
    else {
      // Servers end a moment before clients do when a run ends: what breaks then was not broken by what is judged.
      unsettled.set(settle, row);
      setTimeout(() => {
        if (unsettled.has(settle)) settle();
      }, SETTLE_MS).unref();
    }
  };
  const serve = async (connection: Connection, holdMs: number, everyMs: number): Promise<void> => {
    const untilMs = performance.now() + holdMs;
    for (;;) {
      const last = performance.now() + everyMs > untilMs;
      const fate = await connection.ask(last);
      if (fate !== null || last || state.stopped) {
        finish(connection, fate ?? 'ok');
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      if (!open.has(connection)) return;
      if (connection.isBroken) {
        finish(connection, 'reset');
        return;
      }
    }
  };
  const sweep = setInterval(() => {
    for (const connection of open) if (connection.isBroken) finish(connection, 'reset');
  }, SWEEP_MS);
  const addressOf = (name: string): string => config.services.find((s) => s.name === name)?.address ?? refuseService(name, config);
  /** So many a second, evenly, for a while. */
  const paced = (rate: number, forMs: number, act: () => void): Promise<void> =>
    new Promise((resolve) => {
      const startedMs = performance.now();
      let done = 0;
      const timer = setInterval(() => {
        const elapsed = Math.min(forMs, performance.now() - startedMs);
        for (const due = Math.floor((elapsed * rate) / 1000); done < due; done++) act();
        if (elapsed >= forMs || state.stopped) {
          clearInterval(timer);
          resolve();
        }
      }, TICK_MS);
    });
  return {
    counters: () => counters,
    request: async (operation, params) => {
      const name = known(CLIENT_OPERATIONS, operation);
      if (name === 'Connect') {
        const { service, rate, path = '/hello', hold = '0s', every = '1s', ...rest } = validated(CLIENT_OPERATIONS[name], params);
        const address = addressOf(service);
        const forMs = parseDurationUs(rest.for) / 1000;
        // It goes on after the answer: phases end, connections may stay.
        void paced(rate, forMs, () => {
          const connection = new Connection(service, address, path);
          counters.connections += 1;
          counters.open += 1;
          open.add(connection);
          void serve(connection, parseDurationUs(hold) / 1000, parseDurationUs(every) / 1000);
        });
        return { service, count: Math.floor((forMs * rate) / 1000), startedMs: Date.now() };
      }
      const { service, rate, ...rest } = validated(CLIENT_OPERATIONS[name], params);
      const address = addressOf(service);
      // Many flows: one alone would be in one entry.
      const sockets = Array.from({ length: FLOOD_FLOWS }, () => createSocket('udp4').on('error', () => undefined));
      const packet = Buffer.alloc(FLOOD_BYTES, 0x5a);
      void paced(rate, parseDurationUs(rest.for) / 1000, () => {
        sockets[counters.flooded++ % FLOOD_FLOWS]!.send(packet, 80, address);
      }).then(() => sockets.forEach((socket) => socket.close()));
      return { service };
    },
    stop: async () => {
      state.stopped = true;
      // Servers end at the same time: what breaks now was not broken before.
      for (const connection of open) rows.push(connection.end(connection.isOverdue ? 'timeout' : 'ok'));
      open.clear();
      for (const [, row] of unsettled) rows.push(withFate(row, 'ok'));
      clearInterval(sweep);
      clearInterval(writes);
      flush();
      await network.stop();
    },
  };
}

const withFate = ([service, port, startedMs, endedMs, , ...rest]: ConnectionRow, fate: Fate): ConnectionRow => [
  service,
  port,
  startedMs,
  endedMs,
  fate,
  ...rest,
];

function refuseService(name: string, { services }: AgentConfig): never {
  throw new Refusal('UnknownService', `no service "${name}"; there are: ${services.map((s) => s.name).join(', ')}`);
}
