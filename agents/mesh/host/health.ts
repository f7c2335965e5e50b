/**
 * Does a backend on this host live, and how much comes to it? A host asks its own machines only: it opens a connection to the service, as
 * balancers' health checks do, by frames, since machines of several networks may have the same address. What comes is counted by the
 * switch, at the machine's port: a machine has no say in it.
 */
import { randomInt } from 'node:crypto';
import { TCP_FLAG } from '../../lib/ip.ts';
import type { Load } from '../rows.ts';
import type { Backend } from './ohc.ts';
import { segmentFrame, segmentOf, type Segment } from './segments.ts';
import { ROUTER_ADDRESS, ROUTER_MAC } from './tables.ts';

/** Questions without an answer until it is taken for dead. */
const PATIENCE = 3;
/** What comes to it is counted over so long. */
const WINDOW_MS = 1000;
/** A report is a new one where it differs by this share of the capacity. */
const STEP = 0.05;
const [FIRST_PORT, PORTS] = [49_152, 16_384];

interface Checked {
  /** Of the question that waits for its answer: 0: none does. */
  sequence: number;
  unanswered: number;
  isAlive: boolean;
  /** Bytes that had left by its port, the oldest first. */
  readonly counts: { readonly atMs: number; readonly bytes: number }[];
  reported: Load | null;
}

interface HealthPorts {
  answer(frame: Buffer, port: string): void;
  sentBytes(ports: readonly string[]): Promise<Map<string, number>>;
  report(backend: Backend, load: Load): void;
  /** It is none any more. */
  forget(backend: Backend): void;
}

export class HealthChecks {
  readonly #ports: HealthPorts;
  /** By switch port and port of TCP. */
  readonly #checked = new Map<string, { backend: Backend; readonly state: Checked }>();
  #turn = 0;

  constructor(ports: HealthPorts) {
    this.#ports = ports;
  }

  /** The next question to each. */
  async ask(backends: readonly Backend[], nowMs = performance.now()): Promise<void> {
    const known = new Set(backends.map(keyOf));
    for (const [key, { backend }] of this.#checked)
      if (!known.has(key)) {
        this.#checked.delete(key);
        this.#ports.forget(backend);
      }
    if (backends.length === 0) return;
    this.#turn = (this.#turn + 1) % PORTS;
    const bytes = await this.#ports.sentBytes([...new Set(backends.map((b) => b.port))]);
    for (const backend of backends) {
      const state = this.#checked.get(keyOf(backend))?.state ?? fresh();
      this.#checked.set(keyOf(backend), { backend, state });
      count(state, bytes.get(backend.port) ?? 0, nowMs);
      if (state.sequence !== 0 && ++state.unanswered >= PATIENCE) state.isAlive = false;
      state.sequence = randomInt(1, 2 ** 32 - 1);
      this.#send(backend, { sequence: state.sequence, acknowledged: 0, flags: TCP_FLAG.syn });
      this.#report(backend, state);
    }
  }

  /** What a machine sent, by this port, to whom asks. */
  hear(frame: Buffer, port: string): void {
    const segment = segmentOf(frame);
    const found = segment && [...this.#checked.values()].find(({ backend }) => backend.port === port && isFrom(backend, segment));
    if (!found || found.state.sequence === 0 || segment.acknowledged !== (found.state.sequence + 1) % 2 ** 32) return;
    const { backend, state } = found;
    state.isAlive = (segment.flags & (TCP_FLAG.syn | TCP_FLAG.ack | TCP_FLAG.reset)) === (TCP_FLAG.syn | TCP_FLAG.ack);
    state.unanswered = state.isAlive ? 0 : PATIENCE;
    state.sequence = 0;
    // It keeps no connection.
    if (state.isAlive) this.#send(backend, { sequence: segment.acknowledged, acknowledged: 0, flags: TCP_FLAG.reset });
    this.#report(backend, state);
  }

  #send({ mac, port, service }: Backend, rest: Pick<Segment, 'sequence' | 'acknowledged' | 'flags'>): void {
    const frame = segmentFrame({
      ethSrc: ROUTER_MAC,
      ethDst: mac,
      source: ROUTER_ADDRESS,
      destination: service.addresses[0]!,
      sourcePort: FIRST_PORT + this.#turn,
      destinationPort: service.port,
      ...rest,
    });
    this.#ports.answer(frame, port);
  }

  #report(backend: Backend, state: Checked): void {
    const load: Load = { isAlive: state.isAlive, loadBps: Math.round(rateBps(state)) };
    const before = state.reported;
    const step = backend.service.capacityBps * STEP;
    if (before && before.isAlive === load.isAlive && Math.abs(before.loadBps - load.loadBps) < step) return;
    state.reported = load;
    this.#ports.report(backend, load);
  }
}

const keyOf = ({ port, service }: Backend): string => `${port} ${service.port} ${service.addresses[0]}`;
const fresh = (): Checked => ({ sequence: 0, unanswered: 0, isAlive: false, counts: [], reported: null });
const isFrom = ({ service }: Backend, s: Pick<Segment, 'source' | 'sourcePort'>): boolean =>
  s.source === service.addresses[0] && s.sourcePort === service.port;

function count({ counts }: Checked, bytes: number, atMs: number): void {
  counts.push({ atMs, bytes });
  while (counts.length > 2 && counts[1]!.atMs <= atMs - WINDOW_MS) counts.shift();
}

function rateBps({ counts }: Checked): number {
  const [first, last] = [counts[0], counts.at(-1)];
  return first && last && last.atMs > first.atMs ? ((last.bytes - first.bytes) * 8000) / (last.atMs - first.atMs) : 0;
}
