/** A command run to its end, over whatever spawns it. */
import { NetrigError } from '../../core/errors.ts';
import { commandFailure, type ExecOptions, type ExecResult, type HostProcess } from './host.ts';

/** Signal that a command is reported to have died of when its machine was lost. */
export const LOST = 'LOST';

export async function runToEnd(label: string, child: HostProcess, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output.stdout += text; });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { output.stderr += text; });
  child.stdin.end(options.stdin ?? '');
  let cut: 'TIMEOUT' | 'INTERRUPTED' | undefined;
  const kill = (why: 'TIMEOUT' | 'INTERRUPTED') => () => {
    cut = why;
    child.kill('SIGKILL');
  };
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(kill('TIMEOUT'), options.timeoutMs);
  const onAbort = kill('INTERRUPTED');
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const exit = await child.exited;
  clearTimeout(timer);
  options.signal?.removeEventListener('abort', onAbort);
  if (cut === 'TIMEOUT') throw new NetrigError('TIMEOUT', `${label}: ${argv.join(' ')}: no end after ${options.timeoutMs} ms`);
  if (cut === 'INTERRUPTED') throw new NetrigError('INTERRUPTED', 'interrupted');
  if (exit.signal === LOST) throw new NetrigError('HOST_LOST', `${label} was lost during: ${argv.join(' ')}`);
  const result = { ...output, exitCode: exit.code ?? 128 };
  if (result.exitCode !== 0 && !options.allowFailure) throw commandFailure(label, argv, result);
  return result;
}
