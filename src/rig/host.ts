/**
 * The one Host interface: a place where commands run. Nothing above src/rig knows which kind it is.
 * Commands are argument arrays, never a shell string.
 */
import type { Readable, Writable } from 'node:stream';

export interface ExecOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
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
  readonly pid: number | undefined;
  /** Never rejects: a process that could not be started exits with code 127. */
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

export interface Host {
  /** For messages: "node a of lab hello". */
  readonly label: string;
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  spawn(argv: readonly string[], options?: { env?: Readonly<Record<string, string>> }): HostProcess;
  put(path: string, content: string | Buffer): Promise<void>;
  get(path: string): Promise<Buffer>;
  dispose(): Promise<void>;
}
