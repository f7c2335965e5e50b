/** The forwarding unit's loader in a node of a lab, by the lines that it is told. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BUILD_DIR } from '../../src/core/paths.ts';
import type { Host } from '../../src/rig/hosts/host.ts';

/** Resolves when it has obeyed; rejects with what it refused. `kill` leaves its programs in the kernel, `detach` does not. */
export async function told(node: Host, lines: readonly string[]) {
  const child = node.spawn([join(BUILD_DIR, 'forwarder')]);
  child.stderr.resume();
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<string> => {
    const { value } = (await answers.next()) as { value?: string };
    if (value === undefined || value.startsWith('E ')) throw new Error(value ?? 'the forwarder has ended');
    return value;
  };
  const ask = (line: string): Promise<string> => {
    child.stdin.write(`${line}\n`);
    return answer();
  };
  await answer();
  for (const line of lines) {
    if (line.startsWith('slot ')) child.stdin.write(`${line}\n`);
    else await ask(line);
  }
  const ended = async () => {
    child.stdin.end();
    await child.exited;
  };
  return {
    counters: async () => JSON.parse(await ask('counters')) as Record<string, number>,
    kill: async () => {
      child.kill('SIGKILL');
      await child.exited;
    },
    detach: async () => {
      await ask('detach');
      await ended();
    },
  };
}
