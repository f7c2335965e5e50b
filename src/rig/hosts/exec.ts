/** A command run to its end, the same on every kind of host. */
import { constants } from 'node:os';
import { NetrigError } from '../../core/errors.ts';
import { commandFailure, type ExecOptions, type ExecResult, type Exit, type HostProcess } from './host.ts';

/** Signal that a command is reported to have died of when its machine was lost. */
export const LOST = 'LOST';

/** From SIGTERM to SIGKILL; then netrig gives up, even if a process of another group still has the output open. */
const TERM_MS = 500;
const KILL_MS = 1000;
/** A shell's exit status of a command that a signal ended: 128 + its number. */
const SIGNALLED = 128;

type Cut = 'TIMEOUT' | 'INTERRUPTED';

export async function runToEnd(label: string, child: HostProcess, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  child.stdin.end(options.stdin ?? '');
  const { cut, exit } = await untilEnd(child, options);
  if (cut === 'TIMEOUT') throw new NetrigError('TIMEOUT', `${label}: ${argv.join(' ')}: no end after ${options.timeoutMs} ms`);
  if (cut === 'INTERRUPTED') throw new NetrigError('INTERRUPTED', 'interrupted');
  if (exit.signal === LOST) throw new NetrigError('HOST_LOST', `${label} was lost during: ${argv.join(' ')}`);
  const result = {
    ...output,
    exitCode: exit.code ?? SIGNALLED + (exit.signal === null ? 0 : constants.signals[exit.signal as NodeJS.Signals]),
  };
  if (result.exitCode !== 0 && !options.allowFailure) throw commandFailure(label, argv, result);
  return result;
}

/** When the time is up, or the run is interrupted, the command ends with everything that it has started. */
async function untilEnd(child: HostProcess, { timeoutMs, signal }: ExecOptions): Promise<{ cut: Cut | undefined; exit: Exit }> {
  let cut: Cut | undefined;
  const timers: NodeJS.Timeout[] = [];
  const after = (ms: number, work: () => void): void => {
    timers.push(setTimeout(work, ms));
  };
  return new Promise((resolve) => {
    const finish = (exit: Exit): void => {
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve({ cut, exit });
    };
    const end = (why: Cut): void => {
      if (cut !== undefined) return;
      cut = why;
      child.killGroup('SIGTERM');
      after(TERM_MS, () => child.killGroup('SIGKILL'));
      after(TERM_MS + KILL_MS, () => {
        for (const stream of [child.stdout, child.stderr]) stream.destroy();
        finish({ code: null, signal: 'SIGKILL' });
      });
    };
    const onAbort = (): void => end('INTERRUPTED');
    if (timeoutMs !== undefined) after(timeoutMs, () => end('TIMEOUT'));
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    void child.exited.then(finish);
  });
}
