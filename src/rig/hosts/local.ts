/** Processes and files of this machine. */
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { execa } from 'execa';
import { NetrigError } from '../../core/errors.ts';
import { commandFailure, NOT_FOUND, type ExecOptions, type ExecResult, type Exit, type Host, type HostProcess, type SpawnOptions } from './host.ts';

export class LocalHost implements Host {
  readonly label: string;

  constructor(label = 'this machine') {
    this.label = label;
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const [file, ...args] = argv as [string, ...string[]];
    const result = await execa(file, args, {
      input: options.stdin ?? '',
      ...(options.env ? { env: options.env } : {}),
      reject: false,
      stripFinalNewline: false,
      // A process group of its own: Ctrl-C is netrig's to handle, not its children's.
      detached: true,
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs, forceKillAfterDelay: 500 }),
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    if (result.isCanceled) throw new NetrigError('INTERRUPTED', 'interrupted');
    if (result.timedOut) throw new NetrigError('TIMEOUT', `${this.label}: ${argv.join(' ')}: no end after ${options.timeoutMs} ms`);
    const exitCode = result.code === 'ENOENT' ? NOT_FOUND : (result.exitCode ?? 1);
    const outcome = { stdout: result.stdout, stderr: result.failed && result.exitCode === undefined ? `${result.stderr}${result.shortMessage}` : result.stderr, exitCode };
    if (exitCode !== 0 && !options.allowFailure) throw commandFailure(this.label, argv, outcome);
    return outcome;
  }

  spawn(argv: readonly string[], options: SpawnOptions = {}): HostProcess {
    const [file, ...args] = argv as [string, ...string[]];
    const child = spawn(file, args, { env: { ...process.env, ...options.env }, stdio: 'pipe', detached: true });
    child.stdin.on('error', () => undefined); // EPIPE: the process is gone, `exited` says so
    const exited = new Promise<Exit>((resolve) => {
      child.once('error', () => resolve({ code: NOT_FOUND, signal: null }));
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, exited, kill: (signal) => void child.kill(signal) };
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
