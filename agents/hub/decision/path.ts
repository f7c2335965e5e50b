/** Which AIN delivers a packet: the nearest one that has a branch for its network (R1 section 3, route refinement). Pure. */
import type { Ain, Network } from '../model.ts';

/**
 * The AIN itself, then one in its availability container, then one elsewhere; of several, by the flow. `hash`: not negative.
 * `lost`: those that cannot be reached.
 */
export function deliveringAin(
  at: Ain,
  to: Network,
  ains: ReadonlyMap<string, Ain>,
  hash: number,
  lost: ReadonlySet<string> = new Set(),
): Ain | undefined {
  if (to.shard.includes(at.name)) return at;
  const able = to.shard.flatMap((name) => (lost.has(name) ? [] : (ains.get(name) ?? [])));
  const near = able.filter((a) => a.zone === at.zone);
  const among = near.length > 0 ? near : able;
  return among[hash % among.length];
}
