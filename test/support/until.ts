import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 60_000;

/** Waits for what must come true; how long it takes decides nothing. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadline) assert.fail(`it did not happen within ${PATIENCE_MS / 1000} s: ${what}`);
    await sleep(20);
  }
}
