/** Asks the beacons at addresses who they are. */
import { createSocket, type Socket } from 'node:dgram';
import { connect, isIP, isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Static } from 'typebox';
import { parseDurationUs } from '../../../src/core/units.ts';
import { log, Refusal } from '../rpc.ts';
import { BEACON_PORT } from './beacon.ts';
import type { probeOperation, ProbeRow } from './rows.ts';

/** What does not answer within this is not reached. */
const ANSWER_MS = 1000;

type Answer = Pick<ProbeRow, 'by' | 'us' | 'intact'>;

const nowUs = (): number => performance.now() * 1000;

export function askTcp(to: string): Promise<Answer> {
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
  readonly #address: string;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (answer: Buffer | null) => void>();
  #next = 0;

  constructor(address: string) {
    this.#address = address;
    this.#socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    this.#socket.on('message', (message) => {
      const number = message.length >= 36 ? message.readUInt32BE(32) : -1;
      this.#waiting.get(number)?.(message);
    });
    this.#socket.on('error', () => undefined);
  }

  ask(bytes: number): Promise<Answer> {
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
      this.#socket.send(sent, BEACON_PORT, this.#address, (error) => {
        if (error) end(null);
      });
    });
  }

  close(): void {
    this.#socket.close();
  }
}

export class Prober {
  #stopped = false;

  /** As its operation says. `resolve`: address of a host by its name. Answers: how many were sent, and who answered how many. */
  async probe(
    { to, protocol = 'udp', count = 1, every = '10ms', bytes = 32, flow = 'new', pause = '0s' }: Static<typeof probeOperation>,
    resolve: (host: string) => string | undefined,
  ): Promise<object> {
    const address = isIP(to) ? to : resolve(to);
    if (address === undefined) throw new Refusal('UnknownHost', `no host "${to}"`);
    const shared = protocol === 'udp' && flow === 'same' ? new UdpProber(address) : null;
    const ask = async (): Promise<ProbeRow> => {
      const sentMs = Date.now();
      const udp = shared ?? (protocol === 'udp' ? new UdpProber(address) : null);
      const answer = await (udp ? udp.ask(bytes) : askTcp(address));
      if (udp !== shared) udp?.close();
      return { to, protocol, sentMs, ...answer };
    };
    const rows: Promise<ProbeRow>[] = [];
    const startMs = performance.now();
    const [everyMs, pauseMs] = [parseDurationUs(every) / 1000, parseDurationUs(pause) / 1000];
    for (let i = 0; i < count && !this.#stopped; i++) {
      const waitMs = startMs + i * everyMs + (i > 0 ? pauseMs : 0) - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      rows.push(ask());
    }
    const probes = await Promise.all(rows);
    shared?.close();
    log('info', 'probes', { probes });
    const by = Map.groupBy(probes, (p) => p.by ?? 'nobody');
    return { asked: probes.length, answered: Object.fromEntries([...by].map(([name, own]) => [name, own.length])) };
  }

  stop(): void {
    this.#stopped = true;
  }
}
