import { sleep } from './context.ts';

export interface UntilOptions {
  /** After so long it is given up. */
  readonly withinMs: number;
  /** Between two looks (default 20 ms). */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/** Looks again and again until the condition holds; false: it did not in time. INTERRUPTED as soon as the signal fires. */
export async function until(holds: () => boolean | Promise<boolean>, { withinMs, everyMs = 20, signal }: UntilOptions): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) return false;
    await sleep(everyMs, signal);
  }
  return true;
}
