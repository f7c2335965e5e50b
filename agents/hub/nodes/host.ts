/** A host of an isolated network: beacons that say who it is, and probes that ask who answers. */
import { createSocket, type Socket } from 'node:dgram';
import { connect, createServer, isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Static } from 'typebox';
import { parseDurationUs } from '../../../src/core/units.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import type { NodeRole } from '../../lib/role.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import { BEACON_PORT, type AgentConfig } from '../config.ts';
import { HOST_OPERATIONS, refuse } from '../operations.ts';
import type { Lookup, ProbeRow } from '../protocol.ts';
import { dig, type DigAnswer } from './dig.ts';
import { startNameServer } from './nameserver.ts';
import { HostResolver } from './resolver.ts';

/** What does not answer within this is not reached. */
const ANSWER_MS = 1000;

type Question = Static<typeof HOST_OPERATIONS.Resolve>;
type Answer = Pick<ProbeRow, 'by' | 'us' | 'intact'>;

/** Answers a datagram with its own name and the datagram's first bytes; a connection with its name. */
function beacons(name: string): { stop(): void; counters: { asked: number } } {
  const counters = { asked: 0 };
  const udp = createSocket('udp4');
  udp.on('message', (message, from) => {
    counters.asked += 1;
    udp.send(Buffer.concat([Buffer.from(name.padEnd(32)), message]), from.port, from.address);
  });
  udp.on('error', () => undefined);
  udp.bind(BEACON_PORT);
  const tcp = createServer((socket) => {
    counters.asked += 1;
    socket.on('error', () => undefined);
    socket.end(`${name}\n`);
  });
  tcp.listen(BEACON_PORT, '0.0.0.0');
  return {
    counters,
    stop: () => {
      udp.close();
      tcp.close();
    },
  };
}

const nowUs = (): number => performance.now() * 1000;

function askTcp(to: string): Promise<Answer> {
  const startUs = nowUs();
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host: to, port: BEACON_PORT, timeout: ANSWER_MS });
    const end = (by: string | null): void => {
      socket.destroy();
      resolve({ by, us: by === null ? null : nowUs() - startUs, intact: by !== null });
    };
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('end', () => end(text.trim() || null));
    socket.on('timeout', () => end(null));
    socket.on('error', () => end(null));
  });
}

/** Datagrams from one socket, told apart by their numbers. */
class UdpProber {
  readonly #socket: Socket = createSocket('udp4');
  readonly #waiting = new Map<number, (answer: Buffer | null) => void>();
  #next = 0;

  constructor() {
    this.#socket.on('message', (message) => {
      const number = message.length >= 36 ? message.readUInt32BE(32) : -1;
      this.#waiting.get(number)?.(message);
    });
    this.#socket.on('error', () => undefined);
  }

  ask(to: string, bytes: number): Promise<Answer> {
    const number = ++this.#next;
    const sent = Buffer.alloc(bytes, number & 0xff);
    sent.writeUInt32BE(number);
    const startUs = nowUs();
    return new Promise((resolve) => {
      const end = (answer: Buffer | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(number);
        const by = answer?.toString('latin1', 0, 32).trim() ?? null;
        resolve({ by, us: answer ? nowUs() - startUs : null, intact: answer?.subarray(32).equals(sent) ?? false });
      };
      const timer = setTimeout(() => end(null), ANSWER_MS);
      this.#waiting.set(number, end);
      this.#socket.send(sent, BEACON_PORT, to, (error) => {
        if (error) end(null);
      });
    });
  }

  close(): void {
    this.#socket.close();
  }
}

export async function startHost({ config, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, nodes, gateway } = config;
  const network = new HostNetwork();
  if (gateway !== null) await network.addDefaultRoute(gateway);
  const own = beacons(self.name);
  const names = config.nameServer ? await startNameServer(workDir, { address: self.address, ...config.nameServer }) : null;
  const resolver = new HostResolver(workDir);
  let stopped = false;

  const probe = async (params: unknown): Promise<object> => {
    const {
      to,
      protocol = 'udp',
      count = 1,
      every = '10ms',
      bytes = 32,
      flow = 'new',
      pause = '0s',
    } = validated(HOST_OPERATIONS.Probe, params);
    const address = isIP(to)
      ? to
      : (nodes.find((n) => n.name === to && n.role === 'host')?.address ?? refuse('UnknownHost', `no host "${to}"`));
    const shared = protocol === 'udp' && flow === 'same' ? new UdpProber() : null;
    const ask = async (): Promise<ProbeRow> => {
      const sentMs = Date.now();
      const udp = shared ?? (protocol === 'udp' ? new UdpProber() : null);
      const answer = await (udp ? udp.ask(address, bytes) : askTcp(address));
      if (udp !== shared) udp?.close();
      return { to, protocol, sentMs, ...answer };
    };
    const rows: Promise<ProbeRow>[] = [];
    const startMs = performance.now();
    const [everyMs, pauseMs] = [parseDurationUs(every) / 1000, parseDurationUs(pause) / 1000];
    for (let i = 0; i < count && !stopped; i++) {
      const waitMs = startMs + i * everyMs + (i > 0 ? pauseMs : 0) - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      rows.push(ask());
    }
    const probes = await Promise.all(rows);
    shared?.close();
    log('info', 'probes', { probes });
    const by = Map.groupBy(probes, (p) => p.by ?? 'nobody');
    return { asked: probes.length, answered: Object.fromEntries([...by].map(([name, own]) => [name, own.length])) };
  };

  const answerTo = async ({ name, type = 'A', server, dnssec = false, tcp = false, tool = 'dig' }: Question): Promise<DigAnswer> => {
    const address = server ?? resolver.servers[0] ?? refuse('InvalidRequest', 'the host was given no name server');
    if (!isIP(address)) refuse('InvalidRequest', `"${address}" is no address`);
    if (tool === 'dig') return dig({ name, type, server: address, dnssec, tcp });
    if (server !== undefined || type !== 'A' || dnssec || tcp)
      refuse('InvalidRequest', `${tool} asks for addresses of IPv4, from the servers that the host was given`);
    return tool === 'getent' ? resolver.getent(name) : resolver.cares(name);
  };

  const useServers = (params: unknown): Promise<object> => {
    const { servers } = validated(HOST_OPERATIONS.SetIsolatedNetworkDNSServer, params);
    for (const server of servers) if (!isIP(server)) refuse('InvalidRequest', `"${server}" is no address`);
    resolver.use(servers);
    return Promise.resolve({ servers });
  };

  /** Name, answer, and who is at its addresses. */
  const resolve = async (params: unknown): Promise<Lookup> => {
    const asked = validated(HOST_OPERATIONS.Resolve, params);
    const { type = 'A' } = asked;
    const { status, records, ttlSeconds } = await answerTo(asked);
    const addresses = records.filter((r) => r.type === 'A').map((r) => r.data);
    const reached = await Promise.all(addresses.map(async (address) => (await askTcp(address)).by));
    return {
      status,
      types: [...new Set(records.map((r) => r.type))],
      data: records.filter((r) => r.type === type).map((r) => r.data),
      ttlSeconds,
      reached,
    };
  };

  const operations: Operations = { Probe: probe, Resolve: resolve, SetIsolatedNetworkDNSServer: useServers };
  return {
    counters: () => own.counters,
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      stopped = true;
      own.stop();
      await names?.stop();
      await network.stop();
    },
  };
}
