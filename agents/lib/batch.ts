/**
 * A command interpreter held open on a pipe (`tc -force -batch -`, `nft -i`): a change costs some 60 µs
 * instead of the 2–3 ms of a process. Commands are lines; errors come on stderr and are counted.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fatal, log } from './rpc.ts';

/** USER_HZ: fixed at 100 for user space on Linux. */
const TICKS_PER_SECOND = 100;

export class BatchChannel {
  readonly #child: ChildProcessWithoutNullStreams;
  #errors = 0;
  #lastError = '';
  #closing = false;
  #closed = false;

  constructor(argv: readonly [string, ...string[]]) {
    this.#child = spawn(argv[0], argv.slice(1), { stdio: 'pipe' });
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', (error) => fatal(`${argv[0]} lost`, error.message));
    this.#child.once('close', (code) => {
      this.#closed = true;
      if (!this.#closing) fatal(`${argv[0]} lost`, `exited (${code})`);
    });
    this.#child.stdout.resume();
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += 1;
      this.#lastError = text.trim();
      log('warn', 'batch error', { program: argv[0], text: this.#lastError });
    });
  }

  get errors(): number {
    return this.#errors;
  }

  get lastError(): string {
    return this.#lastError;
  }

  /** CPU time that the interpreter has used so far. */
  get cpuSeconds(): number {
    try {
      // proc(5): fields 14 and 15 are utime and stime; the command in brackets may hold blanks.
      const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    } catch {
      return 0; // it has ended
    }
  }

  send(lines: readonly string[]): void {
    if (lines.length > 0) this.#child.stdin.write(`${lines.join('\n')}\n`);
  }

  /** Ends the interpreter after everything that was sent is done. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#closed) return;
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.stdin.end();
    await ended;
  }
}
