/**
 * Which nodes' clocks are out of order (R0-21), from the latencies of measurement messages alone: nothing arrives before it
 * was sent. The least latency measured from a to b is at least how far b's clock is ahead of a's. Pure. Microseconds.
 */

/** Least one-way latency measured; undefined: none. */
type Least = (from: number, to: number) => number | undefined;

/** How far b's clock is ahead of a's, at least and at most. */
function aheadOf(a: number, b: number, least: Least): readonly [low: number, high: number] {
  return [-(least(b, a) ?? Infinity), least(a, b) ?? Infinity];
}

/** Those that differ from most others by more than the criterion, for certain. */
export function clocksOff(nodes: readonly number[], least: Least, criterionUs: number): number[] {
  return nodes.filter((node) => {
    const others = nodes.filter((n) => n !== node);
    const apart = others.filter((other) => {
      const [low, high] = aheadOf(other, node, least);
      return low > criterionUs || high < -criterionUs;
    });
    return apart.length > others.length / 2;
  });
}
