/**
 * From feedback to amounts (R3 sections 3.2 to 3.5; the text states no formula). Pure. Loads are parts of a PoP's capacity.
 *
 * What clients bring to each PoP follows from what each PoP serves and from the amounts that rule. A donor above its
 * threshold sheds what exceeds the goal, at most a step at a time, to the nearest PoPs with room below their own goal. One
 * below the receivers' threshold takes back what brings it to the goal. In between nothing changes: that is the deadband.
 */
import type { LawConfig, RuleConfig } from '../config.ts';

export interface PopState {
  readonly name: string;
  readonly strict: boolean;
  /** Load of every server, a part of its own capacity. */
  readonly loads: readonly number[];
  /** 95 % of requests take less; null: there were none. */
  readonly latencyMs: number | null;
  /** To other PoPs. */
  readonly distanceMs: Readonly<Record<string, number>>;
  /** Feedback is old, or its policies have changed since it was measured: it decides nothing now. */
  readonly stale: boolean;
}

/** Part of the flows that clients send to a PoP, by the PoP that serves them instead. */
export type Amounts = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Changes below this are not worth a modification. */
const LEAST_CHANGE = 0.01;
/** A PoP keeps this much: what clients bring to it could not be told from feedback otherwise. */
const LEAST_KEPT = 0.05;
const ROUNDS = 50;

const total = (shares: ReadonlyMap<string, number> | undefined): number => [...(shares ?? [])].reduce((sum, [, amount]) => sum + amount, 0);
export const combinedLoad = (loads: readonly number[]): number =>
  loads.length === 0 ? 0 : loads.reduce((a, b) => a + b, 0) / loads.length;

/** Does a rule hold of a PoP's servers? `beyond`: which loads count. */
export function holds(
  { load, when, servers }: RuleConfig,
  loads: readonly number[],
  beyond: (own: number, threshold: number) => boolean,
): boolean {
  if (loads.length === 0) return false;
  if (when === 'combined') return beyond(combinedLoad(loads), load);
  const count = loads.filter((own) => beyond(own, load)).length;
  const least = 'count' in servers ? servers.count : Math.ceil(servers.part * loads.length);
  return count >= (when === 'any' ? 1 : Math.max(1, least));
}

const above = (own: number, threshold: number): boolean => own > threshold;
const below = (own: number, threshold: number): boolean => own < threshold;

/** What clients bring to each PoP, in servers' worth: served = kept + what others send (Gauss-Seidel; each keeps most of its own). */
export function demands(states: readonly PopState[], amounts: Amounts): Map<string, number> {
  const served = new Map(states.map((s) => [s.name, combinedLoad(s.loads) * s.loads.length]));
  const demand = new Map(served);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name } of states) {
      const received = states.reduce((sum, other) => sum + (amounts.get(other.name)?.get(name) ?? 0) * demand.get(other.name)!, 0);
      demand.set(name, Math.max(0, served.get(name)! - received) / Math.max(LEAST_KEPT, 1 - total(amounts.get(name))));
    }
  }
  return demand;
}

/** Amounts from now on; the same map where nothing changes. */
export function nextAmounts(states: readonly PopState[], amounts: Amounts, law: LawConfig): Amounts {
  const demand = demands(states, amounts);
  const room = new Map(
    states
      .filter((s) => !s.strict && !s.stale && holds(law.receiver, s.loads, below))
      .map((s) => [s.name, (law.goal - combinedLoad(s.loads)) * s.loads.length]),
  );
  const next = new Map([...amounts].map(([from, shares]) => [from, new Map(shares)]));
  const sharesOf = (from: string): Map<string, number> => next.get(from) ?? next.set(from, new Map()).get(from)!;
  /** Nobody is there any more: what is sent there comes back at once. */
  const deserted = states.filter((s) => s.loads.length === 0 && !s.stale).map((s) => s.name);
  const isOver = (s: PopState): boolean =>
    holds(law.donor, s.loads, above) || (law.latencyMs !== null && s.latencyMs !== null && s.latencyMs > law.latencyMs);
  let changed = false;
  for (const shares of next.values()) for (const to of deserted) changed = shares.delete(to) || changed;
  // The most loaded one chooses first.
  for (const s of states
    .filter((s) => !s.stale)
    .sort((a, b) => combinedLoad(b.loads) - combinedLoad(a.loads) || (a.name < b.name ? -1 : 1))) {
    const own = demand.get(s.name)!;
    const load = combinedLoad(s.loads);
    const shed = total(amounts.get(s.name));
    if (s.strict || own === 0) continue;
    if (isOver(s)) {
      // Latency, or one hot server, may call for it below the goal.
      const excess = Math.max(load - law.goal, load * LEAST_CHANGE) * s.loads.length;
      let wanted = Math.min(excess / own, law.step, 1 - LEAST_KEPT - shed);
      const nearest = [...room.keys()]
        .filter((name) => name !== s.name && room.get(name)! > 0)
        .sort((a, b) => (s.distanceMs[a] ?? Infinity) - (s.distanceMs[b] ?? Infinity) || (a < b ? -1 : 1));
      for (const to of nearest) {
        const amount = Math.min(wanted, room.get(to)! / own);
        if (amount < LEAST_CHANGE) continue;
        sharesOf(s.name).set(to, (sharesOf(s.name).get(to) ?? 0) + amount);
        room.set(to, room.get(to)! - amount * own);
        wanted -= amount;
        changed = true;
      }
      // Nobody has room: those that send to it take some back, each as much as it brings.
      if (wanted >= LEAST_CHANGE && nearest.length === 0) changed = sendBack(s, excess, states, demand, amounts, next, law.step) || changed;
    } else if (shed > 0 && load < law.receiver.load) {
      // Of the room that others have not been given meanwhile.
      let back = Math.min((room.get(s.name) ?? 0) / own, law.step, shed);
      // From the farthest first.
      for (const [to, amount] of [...sharesOf(s.name)].sort(
        ([a], [b]) => (s.distanceMs[b] ?? 0) - (s.distanceMs[a] ?? 0) || (a < b ? -1 : 1),
      )) {
        const less = Math.min(amount, back);
        if (less < LEAST_CHANGE && less < amount) continue;
        setShare(sharesOf(s.name), to, amount - less);
        room.set(s.name, (room.get(s.name) ?? 0) - less * own);
        back -= less;
        changed = true;
      }
    }
  }
  return changed ? next : amounts;
}

function sendBack(
  s: PopState,
  excess: number,
  states: readonly PopState[],
  demand: ReadonlyMap<string, number>,
  amounts: Amounts,
  next: Map<string, Map<string, number>>,
  step: number,
): boolean {
  const senders = states.filter((o) => (amounts.get(o.name)?.get(s.name) ?? 0) > 0);
  const received = senders.reduce((sum, o) => sum + amounts.get(o.name)!.get(s.name)! * demand.get(o.name)!, 0);
  if (received === 0) return false;
  for (const { name } of senders) {
    const amount = amounts.get(name)!.get(s.name)!;
    setShare(next.get(name)!, s.name, amount - Math.min(step, amount * Math.min(1, excess / received)));
  }
  return true;
}

/** A share too small for an entry is none. */
function setShare(shares: Map<string, number>, to: string, amount: number): void {
  if (amount < LEAST_CHANGE / 10) shares.delete(to);
  else shares.set(to, amount);
}
