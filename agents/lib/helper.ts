/** A native program that an agent commands by lines on its stdin, and hears by lines on its stdout. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fatal } from './rpc.ts';

const READY_TIMEOUT_MS = 30_000;
/** Of what it complained, the end is kept. */
const COMPLAINT_CHARACTERS = 4000;
const CLOSE_TIMEOUT_MS = 1000;

export interface HelperOptions {
  /** In messages: "packet loop". */
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  /** Lines after the one that says "ready". */
  readonly onLine: (line: string) => void;
}

export class Helper {
  readonly #process: ChildProcessWithoutNullStreams;
  #closing = false;

  private constructor(process: ChildProcessWithoutNullStreams) {
    this.#process = process;
  }

  /** Resolves when it says "ready". From then on its end, unless by `close`, is the agent's end: without it the agent can't act. */
  static async start({ name, command: [program, ...args], onLine }: HelperOptions): Promise<Helper> {
    const child = spawn(program, args);
    const helper = new Helper(child);
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = `${complaint}${text}`.slice(-COMPLAINT_CHARACTERS);
    });
    child.stdin.on('error', () => undefined);
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        child.kill('SIGKILL');
        reject(new Error(`the ${name} ${why}`));
      };
      const timer = setTimeout(() => fail('does not start'), READY_TIMEOUT_MS);
      child.once('error', (error) => fail(`cannot be started: ${error.message}`));
      child.once('exit', (code) => fail(`exited (${code}): ${complaint.trim()}`));
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line === 'ready') {
          clearTimeout(timer);
          resolve();
        } else onLine(line);
      });
    });
    child.removeAllListeners('exit').on('exit', (code, signal) => {
      if (!helper.#closing) fatal(name, `exited (${signal ?? code}): ${complaint.trim()}`);
    });
    return helper;
  }

  say(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Ends it by the end of its stdin; its last lines are heard. One that does not end is killed. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#process.stdout.closed) return;
    const ended = new Promise<void>((resolve) => this.#process.stdout.once('close', resolve));
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }
}
