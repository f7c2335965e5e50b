/** Compares the clocks of a rig all the time, by exchanges of its own: what ptp4l says of itself is not taken for it. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Type } from 'typebox';
import { sleep, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import { parseJson } from '../core/json.ts';
import { formatDurationUs } from '../core/units.ts';
import type { HostProcess } from '../rig/hosts/host.ts';
import type { Machine } from '../rig/machines/machine.ts';
import { offsetOf, type ClockSource } from '../rig/machines/offset.ts';
import type { ClockSettings } from '../topology/model.ts';
import type { ClockOffset, ClockRecord, ClockSample } from '../evidence/records.ts';
import { describeOffset, isBeyond, MAX_GAP_MS, offsetAt } from './samples.ts';
import { startSync, type ClockedMachine, type Synchronisation } from './sync.ts';

const PORT = 5790;
/** A burst of exchanges, and the time from one burst to the next. */
const EXCHANGES = 10;
const PAUSE_US = 0;
const EVERY_MS = 500;
/** Consecutive good samples of every machine that open the gate. */
const GOOD_SAMPLES = 3;
const POLL_MS = 100;

export interface ClockPort {
  readonly machine: Machine;
  readonly device: string;
  readonly address: string;
}

export class ClockWatch implements ClockSource {
  readonly reference: Machine;
  readonly #settings: ClockSettings;
  readonly #sync: Synchronisation;
  readonly #processes: HostProcess[];
  readonly #samples: ClockSample[] = [];
  readonly #watched: readonly string[];
  #stopping = false;
  /** The reference's clock against this machine's, as last measured. */
  #referenceAhead: ClockOffset;

  private constructor(
    reference: ClockPort,
    followers: readonly ClockPort[],
    settings: ClockSettings,
    sync: Synchronisation,
    referenceAhead: ClockOffset,
  ) {
    this.reference = reference.machine;
    this.#settings = settings;
    this.#sync = sync;
    this.#referenceAhead = referenceAhead;
    this.#watched = followers.map((f) => f.machine.name);
    this.#processes = [...sync.processes];
  }

  static async start(ctx: Context, reference: ClockPort, followers: readonly ClockPort[], settings: ClockSettings): Promise<ClockWatch> {
    const clocked = ({ machine, device, address }: ClockPort): ClockedMachine => ({ name: machine.name, host: machine, device, address });
    const sync = await startSync(settings.sync ?? 'ptp', clocked(reference), followers.map(clocked));
    for (const text of sync.notes) ctx.events.emit({ type: 'note', level: 'info', text: `clocks: ${text}` });
    const watch = new ClockWatch(reference, followers, settings, sync, await offsetOf(reference.machine));
    watch.#serve(reference);
    for (const { machine } of followers) watch.#ask(machine, reference.address);
    return watch;
  }

  #serve({ machine, device, address }: ClockPort): void {
    const server = machine.spawn([join(machine.runtime.nativeDir, 'clockprobe'), 'serve', address, String(PORT)]);
    server.stdout.resume();
    server.stderr.resume();
    this.#processes.push(server);
    void server.exited.then(() => this.#whenBack(machine, () => this.#serve({ machine, device, address })));
  }

  #ask(machine: Machine, address: string): void {
    const client = machine.spawn([
      'chrt',
      '--fifo',
      '5',
      join(machine.runtime.nativeDir, 'clockprobe'),
      'ask',
      address,
      String(PORT),
      String(EXCHANGES),
      String(PAUSE_US),
      String(EVERY_MS),
    ]);
    createInterface({ input: client.stdout }).on('line', (line) => this.#samples.push(parseBurst(machine.name, line, Date.now())));
    client.stderr.resume();
    this.#processes.push(client);
    void client.exited.then(() => this.#whenBack(machine, () => this.#ask(machine, address)));
  }

  /** A machine that was lost and is back is watched again. */
  async #whenBack(machine: Machine, again: () => void): Promise<void> {
    do await sleep(EVERY_MS);
    while (
      !this.#stopping &&
      !(await machine.clockNs().then(
        () => true,
        () => false,
      ))
    );
    if (!this.#stopping) again();
  }

  /** Waits for the clocks to be within bounds. CLOCK_OUT_OF_BOUNDS, with what was measured. */
  async gate(ctx: Context): Promise<string> {
    const { maxOffsetUs, settleUs } = this.#settings;
    const deadline = performance.now() + settleUs / 1000;
    for (;;) {
      const recent = this.#watched.map((machine) => this.#samples.filter((s) => s.machine === machine).slice(-GOOD_SAMPLES));
      if (
        recent.every(
          (own) => own.length === GOOD_SAMPLES && own.every((s) => !isBeyond(s, maxOffsetUs) && Date.now() - s.atMs < MAX_GAP_MS),
        )
      )
        return this.#describe(recent);
      if (performance.now() > deadline) {
        throw new NetrigError(
          'CLOCK_OUT_OF_BOUNDS',
          `the clocks are not within ${formatDurationUs(maxOffsetUs)} of that of ${this.reference.name} after ${formatDurationUs(settleUs)} (${this.#sync.kind}): ${this.#describe(recent)}`,
          { hint: 'clocks.settle allows more time, clocks.max-offset more difference; netrig rig check shows what stamps the NICs have' },
        );
      }
      await sleep(POLL_MS, ctx.signal);
    }
  }

  #describe(recent: readonly (readonly ClockSample[])[]): string {
    return this.#watched
      .map((machine, i) => {
        const last = recent[i]?.at(-1);
        return `${machine} ${last ? describeOffset(last.clock) : 'not measured'}`;
      })
      .join(', ');
  }

  /** A machine's clock minus this machine's: over the reference, so that differences between machines are as exact as they are measured. */
  async ahead(machine: Machine): Promise<ClockOffset | null> {
    const last = this.#latest(machine);
    return last && { offsetNs: this.#referenceAhead.offsetNs + last.offsetNs, boundNs: this.#referenceAhead.boundNs + last.boundNs };
  }

  /** The second machine's clock minus the first one's. */
  async between(from: Machine, to: Machine): Promise<ClockOffset | null> {
    const [a, b] = [this.#latest(from), this.#latest(to)];
    return a && b && { offsetNs: b.offsetNs - a.offsetNs, boundNs: b.boundNs + a.boundNs };
  }

  /** A machine's clock minus the reference's, by the last sample; null: there is none, or it is too old to say anything. */
  #latest(machine: Machine): ClockOffset | null {
    return machine === this.reference ? { offsetNs: 0, boundNs: 0 } : offsetAt(this.#samples, machine.name, Date.now());
  }

  /** Before every phase: the reference itself follows no other clock. */
  async refresh(): Promise<void> {
    this.#referenceAhead = await offsetOf(this.reference);
  }

  record(fromMs: number): ClockRecord {
    return {
      reference: this.reference.name,
      sync: this.#sync.kind,
      maxOffsetUs: this.#settings.maxOffsetUs,
      samples: this.#samples.filter((s) => s.atMs >= fromMs),
    };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const process of this.#processes) process.kill('SIGTERM');
    await Promise.race([Promise.all(this.#processes.map((p) => p.exited)), sleep(2000)]);
  }
}

const burst = Type.Object({
  lowerNs: Type.Optional(Type.Number()),
  upperNs: Type.Optional(Type.Number()),
  rttMaxNs: Type.Optional(Type.Number()),
});

/** A line of native/clockprobe, whose bounds are of the reference's clock minus the machine's. */
export function parseBurst(machine: string, line: string, atMs: number): ClockSample {
  const { lowerNs, upperNs, rttMaxNs = 0 } = parseJson(burst, line);
  if (lowerNs === undefined || upperNs === undefined) return { machine, atMs, clock: null };
  const moved = upperNs < lowerNs;
  return {
    machine,
    atMs,
    clock: { offsetNs: -(lowerNs + upperNs) / 2, boundNs: Math.abs(upperNs - lowerNs) / 2 + (moved ? rttMaxNs : 0) },
  };
}
