/** This machine, and network namespaces on it. */
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { execa, type ExecaError } from 'execa';
import { NetrigError } from '../core/errors.ts';
import type { ExecOptions, ExecResult, Exit, Host, HostProcess } from './host.ts';

/** Marks every process of a lab and its children, so that `destroy` finds them whatever became of their parent. */
export const LAB_ENV = 'NETRIG_LAB';

export class LocalHost implements Host {
  readonly label: string;
  readonly #prefix: readonly string[];
  readonly #env: Readonly<Record<string, string>>;

  constructor(options: { label: string; lab: string | null; netns?: string }) {
    this.label = options.label;
    this.#prefix = options.netns === undefined ? [] : ['ip', 'netns', 'exec', options.netns];
    this.#env = options.lab === null ? {} : { [LAB_ENV]: options.lab };
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const [file, ...args] = [...this.#prefix, ...argv] as [string, ...string[]];
    const result = await execa(file, args, {
      input: options.stdin ?? '',
      env: { ...this.#env, ...options.env },
      reject: false,
      stripFinalNewline: false,
      // A process group of its own: Ctrl-C is netrig's to handle, not its children's.
      detached: true,
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs, forceKillAfterDelay: 500 }),
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    if (result.isCanceled) throw new NetrigError('INTERRUPTED', 'interrupted');
    if (result.timedOut) throw new NetrigError('TIMEOUT', `${this.label}: ${argv.join(' ')}: no end after ${options.timeoutMs} ms`);
    if (result.failed && !(options.allowFailure && result.exitCode !== undefined)) throw this.#failure(argv, result as unknown as ExecaError);
    return { stdout: result.stdout, stderr: result.stderr, exitCode: result.exitCode ?? 0 };
  }

  #failure(argv: readonly string[], result: ExecaError): NetrigError {
    if (result.code === 'ENOENT') {
      return new NetrigError('CAPABILITY_MISSING', `${this.label}: program "${argv[0]}" is not installed`, { hint: 'netrig doctor says what to install', cause: result });
    }
    const output = String(result.stderr || result.stdout || result.shortMessage).trim();
    return new NetrigError('HOST_COMMAND_FAILED', `${this.label}: ${argv.join(' ')} (exit ${result.exitCode ?? result.signal}): ${output}`, { cause: result });
  }

  spawn(argv: readonly string[], options: { env?: Readonly<Record<string, string>> } = {}): HostProcess {
    const [file, ...args] = [...this.#prefix, ...argv] as [string, ...string[]];
    const child = spawn(file, args, { env: { ...process.env, ...this.#env, ...options.env }, stdio: 'pipe', detached: true });
    child.stdin.on('error', () => undefined); // EPIPE: the process is gone, `exited` says so
    const exited = new Promise<Exit>((resolve) => {
      child.once('error', () => resolve({ code: 127, signal: null }));
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, pid: child.pid, exited, kill: (signal) => void child.kill(signal) };
  }

  async put(path: string, content: string | Buffer): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }

  get(path: string): Promise<Buffer> {
    return readFile(path);
  }

  async dispose(): Promise<void> { /* nothing is held open */ }
}
