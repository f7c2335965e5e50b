/** The clock of a machine against this one's, by two-way exchanges. */
import { epochNs } from './local-machine.ts';
import type { ClockOffset } from '../../evidence/records.ts';
import type { Machine } from './machine.ts';

const EXCHANGES = 12;

/**
 * That clock minus this one. Of several exchanges the one with the shortest round trip counts; the bound is half of it,
 * whatever the path's two ways took.
 */
export async function offsetOf(machine: Pick<Machine, 'clockNs' | 'isHere'>, exchanges = EXCHANGES): Promise<ClockOffset> {
  if (machine.isHere) return { offsetNs: 0, boundNs: 0 };
  let best: ClockOffset | undefined;
  for (let i = 0; i < exchanges; i++) {
    const sent = epochNs();
    const there = await machine.clockNs();
    const received = epochNs();
    const boundNs = Number(received - sent) / 2;
    if (!best || boundNs < best.boundNs) best = { offsetNs: Number(there - sent) - boundNs, boundNs };
  }
  return best as ClockOffset;
}

/** How the clocks of a rig's machines are known. */
export interface ClockSource {
  /** A machine's clock minus this machine's; null: not known now. */
  ahead(machine: Machine): Promise<ClockOffset | null>;
  /** The second machine's clock minus the first one's; null: not known now. */
  between(from: Machine, to: Machine): Promise<ClockOffset | null>;
}

/** Asked over the connections to them: enough where nothing is timed between machines. */
export const askedClocks: ClockSource = {
  ahead: (machine) => offsetOf(machine),
  between: async (from, to) => {
    const [a, b] = [await offsetOf(from), await offsetOf(to)];
    return { offsetNs: b.offsetNs - a.offsetNs, boundNs: a.boundNs + b.boundNs };
  },
};
