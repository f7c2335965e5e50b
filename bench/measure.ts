import { spawnSync } from 'node:child_process';
import { meanInterval } from '../src/checks/statistics.ts';
import { renderTable } from '../src/cli/table.ts';

/** Seconds of `repeats` runs. */
export async function seconds(repeats: number, work: () => unknown): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const startedMs = performance.now();
    await work();
    times.push((performance.now() - startedMs) / 1000);
  }
  return times;
}

export function show(times: readonly number[], digits = 2): string {
  const { value, low, high, n } = meanInterval(times);
  return n > 1 ? `${value.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]` : value.toFixed(digits);
}

export function print(header: readonly string[], rows: readonly (readonly string[])[]): void {
  process.stdout.write(`${renderTable(header, rows)}\n`);
}

/** Programs that only benches need: says how to get one where it is not. */
export function isThere(program: string, args: readonly string[], remedy: string): boolean {
  const there = spawnSync(program, args, { stdio: 'ignore' }).error === undefined;
  if (!there) process.stdout.write(`${program} is not there: ${remedy}\n`);
  return there;
}

export const hasTrafgen = (): boolean => isThere('trafgen', ['--version'], 'apt install netsniff-ng');
