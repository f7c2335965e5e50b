/**
 * Commands that an agent runs to their end. Not by execa, which the testbed uses: importing it takes 30 ms of CPU, and
 * labs start dozens of agents at once.
 */
import { execFile } from 'node:child_process';

/** The network's own programs are in sbin, which not every PATH has. */
export const environment = (): NodeJS.ProcessEnv => ({ ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` });

export class CommandError extends Error {
  /** Exit status; a text where it could not be started; undefined: it was killed. */
  readonly code: number | string | null | undefined;

  constructor(message: string, code: CommandError['code']) {
    super(message);
    this.code = code;
  }
}

/** Its standard output. A CommandError has the command and what it said on standard error. */
export function run(program: string, args: readonly string[], stdin = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { env: environment() }, (error, stdout, stderr) => {
      if (error) reject(new CommandError(`${[program, ...args].join(' ')}: ${stderr.trim() || error.message}`, error.code));
      else resolve(stdout);
    });
    child.stdin?.on('error', () => undefined).end(stdin);
  });
}
