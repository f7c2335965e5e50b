/** A fault to inject: the clock of a node is wrong from the start, or goes wrong while it runs (R0-21). */
import type { PacketLoop } from './loop.ts';

export interface ClockFault {
  /** Ahead from the start. */
  readonly errorUs: number;
  /** What it gains in every second. */
  readonly driftUs: number;
}

const STEP_MS = 100;

/** Until it is stopped. */
export function injectClockFault(loop: PacketLoop, { errorUs, driftUs }: ClockFault): { stop(): void } {
  const startedMs = performance.now();
  const set = (): void => loop.clock((errorUs + (driftUs * (performance.now() - startedMs)) / 1000) * 1000);
  if (errorUs !== 0 || driftUs !== 0) set();
  const timer = driftUs === 0 ? undefined : setInterval(set, STEP_MS);
  return { stop: () => clearInterval(timer) };
}
