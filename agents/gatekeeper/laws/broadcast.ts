/** Broadcast and multicast reach every server, whatever the contracts say: all of it together has one small maximum. */
import type { Feedback } from '../feedback.ts';
import { GROUP_MAC } from '../steering.ts';
import type { Observation } from './law.ts';
import { waterFill } from './waterfill.ts';

/** Long, since there is no demand worth probing for. */
const HOLD_MS = 1000;

/** Those who send more than their fair part are held to it. */
export function limitBroadcast({ maxBps, senders }: Observation['group']): Feedback[] {
  const sumBps = senders.reduce((sum, s) => sum + s.rateBps, 0);
  if (sumBps <= maxBps) return [];
  const rates = waterFill(
    maxBps,
    senders.map((s) => ({ guaranteeBps: 0, weight: 1, demandBps: s.rateBps, ceilingBps: Infinity })),
  );
  const loud = senders
    .map((s, i) => ({ sender: s.mac, offeredBps: s.rateBps, rateBps: rates[i] as number }))
    .filter((s) => s.offeredBps > s.rateBps);
  return loud.map(({ sender, rateBps }) => ({ receiver: GROUP_MAC, sender, rateBps, senders: loud.length, holdMs: HOLD_MS }));
}
