/** A helper that answers every command, in their order: with a line of its own, or with "E " and why it refuses. */
import { existsSync } from 'node:fs';
import { Type } from 'typebox';
import { record } from '../../src/core/config/parts.ts';
import { parsed } from '../../src/core/lightjson.ts';
import { Helper } from './helper.ts';

const counts = record(Type.Number());

export interface CommandHelperOptions {
  /** In messages: "forwarding unit". */
  readonly name: string;
  readonly file: string;
  /** Of the set-up that builds it: "pop". */
  readonly system: string;
  readonly args?: readonly string[];
  /** Words before the command, that place it elsewhere. */
  readonly before?: readonly [string, ...string[]] | undefined;
}

/** What the kernel's test run says of a program and a frame. */
export interface TestRun {
  readonly action: number;
  /** A packet, on average. */
  readonly ns: number;
  readonly frame: Buffer;
}

export class CommandHelper {
  readonly #name: string;
  #helper!: Helper;
  readonly #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];

  private constructor(name: string) {
    this.#name = name;
  }

  static async start({ name, file, args = [], system, before }: CommandHelperOptions): Promise<CommandHelper> {
    if (!existsSync(file)) throw new Error(`the ${name} is not built: lab/setup.sh --with-${system}`);
    const own = new CommandHelper(name);
    own.#helper = await Helper.start({
      name,
      command: before ? [...before, file, ...args] : [file, ...args],
      onLine: (line) => own.#hear(line),
    });
    return own;
  }

  ask(...words: readonly (string | number)[]): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.tell(...words);
    });
  }

  /** A command that is not answered. */
  tell(...words: readonly (string | number)[]): void {
    this.#helper.say(words.join(' '));
  }

  /** Of a command that is answered with a JSON object of numbers. */
  async counts(...words: readonly (string | number)[]): Promise<Readonly<Record<string, number>>> {
    return parsed(counts, await this.ask(...words));
  }

  /** Runs a program on a frame, without a wire (native/programs.h: run_program). `words`: the command, up to the frame. */
  async testRun(words: readonly (string | number)[], frame: Buffer): Promise<TestRun> {
    const [, action, ns, hex = ''] = (await this.ask(...words, frame.toString('hex'))).split(' ');
    return { action: Number(action), ns: Number(ns), frame: Buffer.from(hex, 'hex') };
  }

  /** Takes its programs out of the kernel, and ends it. */
  async stop(): Promise<void> {
    await this.ask('detach').catch(() => undefined);
    await this.#helper.close();
  }

  #hear(line: string): void {
    const waiting = this.#waiting.shift();
    if (line.startsWith('E ')) waiting?.reject(new Error(`${this.#name}: ${line.slice(2)}`));
    else waiting?.resolve(line);
  }
}
