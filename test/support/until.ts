import assert from 'node:assert/strict';
import * as core from '../../src/core/until.ts';

const PATIENCE_MS = 60_000;

/** Waits for what must come true; how long it takes decides nothing. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  if (!(await core.until(condition, { withinMs: PATIENCE_MS }))) assert.fail(`it did not happen within ${PATIENCE_MS / 1000} s: ${what}`);
}
