/** A program of Debian's that an agent runs: one at a time, also when the agent before died without ending its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../src/core/until.ts';
import { fatal, log } from './rpc.ts';
import { environment } from './run.ts';

const STOP_MS = 3000;
const WATCH_MS = 500;

export interface Daemon {
  readonly pid: number;
  stop(): Promise<void>;
  /** As a crash would end it, with its children. */
  kill(): Promise<void>;
}

export const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function end(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGTERM');
  if (!(await until(() => !isAlive(pid), { withinMs: STOP_MS }))) process.kill(pid, 'SIGKILL');
}

/** What a predecessor of this agent left running. The name guards against a number that was used again. */
function leftOver(file: string, program: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8'));
  const comm = `/proc/${pid}/comm`;
  return existsSync(comm) && readFileSync(comm, 'utf8').trim() === program ? pid : undefined;
}

/** `adopt`: what a predecessor left goes on as it is, and is this agent's from now on. Otherwise it is ended first. */
export async function startDaemon(
  workDir: string,
  program: string,
  args: readonly string[],
  { adopt = false }: { readonly adopt?: boolean } = {},
): Promise<Daemon> {
  mkdirSync(workDir, { recursive: true });
  const file = join(workDir, `${program}.agent-pid`);
  const old = leftOver(file, program);
  if (old !== undefined && adopt) {
    log('info', 'adopted', { program, pid: old });
    // Nobody tells when it ends: it is looked after.
    const watch = setInterval(() => {
      if (!isAlive(old)) fatal(program, 'the one that was adopted has ended');
    }, WATCH_MS);
    const stop = async (): Promise<void> => {
      clearInterval(watch);
      await end(old);
      rmSync(file, { force: true });
    };
    return { pid: old, stop, kill: stop };
  }
  if (old !== undefined) await end(old);
  rmSync(file, { force: true });
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment() });
  let closing = false;
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(-2000);
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.once('exit', (code, signal) => {
    if (!closing) fatal(program, `exited (${signal ?? code}): ${complaint.trim()}`);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error: NodeJS.ErrnoException) => {
      closing = true;
      reject(error.code === 'ENOENT' ? new Error(`${program} is not installed: netrig doctor says which packages are missing`) : error);
    });
  });
  const pid = child.pid as number;
  writeFileSync(file, `${pid}\n`);
  return {
    pid,
    kill: async () => {
      closing = true;
      for (const victim of [pid, ...childrenOf(pid)]) process.kill(victim, 'SIGKILL');
      await exited;
    },
    stop: async () => {
      closing = true;
      if (child.exitCode === null && child.signalCode === null) await end(pid);
      await exited;
      if (complaint !== '') log('info', program, { said: complaint.trim() });
      rmSync(file, { force: true });
    },
  };
}
