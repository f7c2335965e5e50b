/**
 * The one Host interface: a place where commands run. Nothing above src/rig knows which kind it is.
 * Commands are argument arrays, never a shell string.
 */
import type { Readable, Writable } from 'node:stream';
import { NetrigError } from '../../core/errors.ts';

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** In this container of the machine's engine, instead of the machine itself. */
  readonly container?: string;
}

export interface ExecOptions extends SpawnOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Resolve with a non-zero exit code instead of throwing HOST_COMMAND_FAILED. */
  readonly allowFailure?: boolean;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface HostProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Never rejects: a program that is not there exits with code 127, one that cannot be run with 126. */
  readonly exited: Promise<Exit>;
  /** The process itself. */
  kill(signal: NodeJS.Signals): void;
  /** The process and all that it has started in its process group. In a container: the process itself. */
  killGroup(signal: NodeJS.Signals): void;
}

export interface Host {
  /** For messages: "node a of lab hello". */
  readonly label: string;
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  spawn(argv: readonly string[], options?: SpawnOptions): HostProcess;
  put(path: string, content: string | Buffer): Promise<void>;
  get(path: string): Promise<Buffer>;
  dispose(): Promise<void>;
}

/** What a shell's exit statuses 127 and 126 say: the program is not there, or cannot be run. */
export const NOT_FOUND = 127;
export const NOT_RUNNABLE = 126;

/** The error of a command that ended with a status other than 0. */
export function commandFailure(label: string, argv: readonly string[], { stdout, stderr, exitCode }: ExecResult): NetrigError {
  if (exitCode === NOT_FOUND)
    return new NetrigError('CAPABILITY_MISSING', `${label}: program "${argv[0]}" is not installed`, {
      hint: 'netrig doctor, or netrig rig check for a rig, says what to install',
    });
  return new NetrigError('HOST_COMMAND_FAILED', `${label}: ${argv.join(' ')} (exit ${exitCode}): ${(stderr || stdout).trim()}`);
}
