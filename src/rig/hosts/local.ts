/** Processes and files of this machine. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { execa } from 'execa';
import { runToEnd } from './exec.ts';
import {
  NOT_FOUND,
  NOT_RUNNABLE,
  type ExecOptions,
  type ExecResult,
  type Exit,
  type Host,
  type HostProcess,
  type SpawnOptions,
} from './host.ts';

export class LocalHost implements Host {
  readonly label: string;

  constructor(label = 'this machine') {
    this.label = label;
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return runToEnd(this.label, start(argv, options), argv, options);
  }

  spawn(argv: readonly string[], options: SpawnOptions = {}): HostProcess {
    return start(argv, options);
  }

  async put(path: string, content: string | Buffer): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }

  get(path: string): Promise<Buffer> {
    return readFile(path);
  }

  async dispose(): Promise<void> {
    /* nothing is held open */
  }
}

function start(argv: readonly string[], options: SpawnOptions): HostProcess {
  const [file, ...args] = argv as [string, ...string[]];
  // A process group of its own: Ctrl-C is netrig's to handle, and the group can be ended as a whole.
  const child = execa(file, args, {
    ...(options.env ? { env: options.env } : {}),
    stdin: 'pipe',
    buffer: false,
    reject: false,
    detached: true,
  });
  child.stdin.on('error', () => undefined); // EPIPE: the process is gone, `exited` says so
  const exited = child.then(({ exitCode, signal, code }): Exit => {
    if (signal !== undefined) return { code: null, signal };
    return { code: exitCode ?? (code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE), signal: null };
  });
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    kill: (signal) => void child.kill(signal),
    killGroup: (signal) => {
      if (child.pid !== undefined) signalGroup(child.pid, signal);
    },
  };
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch {
    /* ESRCH: all of them are gone */
  }
}
