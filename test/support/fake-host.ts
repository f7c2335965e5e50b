/** In-memory Host for unit tests: records commands, answers from a table of handlers. */
import { PassThrough } from 'node:stream';
import { NetrigError } from '../../src/core/errors.ts';
import type { ExecOptions, ExecResult, Exit, Host, HostProcess } from '../../src/rig/hosts/host.ts';

export interface RecordedCommand {
  readonly argv: readonly string[];
  readonly stdin: string;
}

export type FakeHandler = (argv: readonly string[], stdin: string) => Partial<ExecResult> | undefined;

export class FakeHost implements Host {
  readonly label: string;
  readonly commands: RecordedCommand[] = [];
  readonly files = new Map<string, Buffer>();
  readonly #handler: FakeHandler;

  constructor(label = 'fake', handler: FakeHandler = () => undefined) {
    this.label = label;
    this.#handler = handler;
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const stdin = options.stdin ?? '';
    this.commands.push({ argv, stdin });
    const result = { stdout: '', stderr: '', exitCode: 0, ...this.#handler(argv, stdin) };
    if (result.exitCode !== 0 && !options.allowFailure)
      throw new NetrigError('HOST_COMMAND_FAILED', `${this.label}: ${argv.join(' ')} (exit ${result.exitCode}): ${result.stderr}`);
    return result;
  }

  spawn(argv: readonly string[]): HostProcess {
    this.commands.push({ argv, stdin: '' });
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    let end: (exit: Exit) => void = () => undefined;
    const exited = new Promise<Exit>((resolve) => {
      end = resolve;
    });
    const finish = (exit: Exit) => {
      stdout.end();
      stderr.end();
      end(exit);
    };
    const result = this.#handler(argv, '');
    if (result) {
      stdout.write(result.stdout ?? '');
      stderr.write(result.stderr ?? '');
      queueMicrotask(() => finish({ code: result.exitCode ?? 0, signal: null }));
    }
    return {
      stdin: new PassThrough(),
      stdout,
      stderr,
      exited,
      kill: (signal) => finish({ code: null, signal }),
      killGroup: (signal) => finish({ code: null, signal }),
    };
  }

  async put(path: string, content: string | Buffer): Promise<void> {
    this.files.set(path, Buffer.from(content));
  }

  async get(path: string): Promise<Buffer> {
    const found = this.files.get(path);
    if (!found) throw new NetrigError('HOST_COMMAND_FAILED', `${this.label}: no file ${path}`);
    return found;
  }

  spool(evidencePath: string): string {
    return evidencePath;
  }

  async collect(): Promise<void> {
    /* it is there */
  }

  async dispose(): Promise<void> {
    /* nothing to let go */
  }
}
