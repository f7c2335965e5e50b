/**
 * Ours, the default: the receiver computes the max–min fair allocation over guarantees, maximums and estimated demands
 * and sends it as explicit rates, every period while somebody has to be limited. Nothing is searched for by ramping:
 * it settles as soon as the rates are in force, and what one tenant leaves another gets in the next period.
 */
import type { Feedback } from '../feedback.ts';
import { receivedBps, type Law, type Observation } from './law.ts';
import { waterFill, type Claim } from './waterfill.ts';

/** The rates aim this far below the link, so that its queue stays empty. */
const TARGET = 0.995;
/** Who uses this much of what was set aside for it would use more. */
const BACKLOGGED = 0.85;
/** Others may grow by this factor and this part of the link before they are measured again. */
const GROWTH = 1.5;
const FLOOR = 0.02;
/** The highest rate of so many periods counts: packets are coarse in 10 ms, and a TCP breathes. */
const MEMORY_PERIODS = 3;
/** A sender held to little sends a packet now and then: it is measured over the time of so many of them. */
const PACKETS_MEASURED = 4;
const PACKET_BITS = 1514 * 8;
const MOST_PERIODS = 100;
/** Receiving this much more than what was set aside for it, a vNIC is pushing others off the link. */
const OVERSHOOT = 1.2;
/**
 * What others had is then kept for them for so many periods, even if they fall silent: a starved TCP waits out a
 * retransmission timeout (200 ms and more), and must find its guarantee when it comes back.
 */
const PROTECTION_PERIODS = 50;
/** A rate stands for so many periods without another message: feedback may be lost (R4-17). */
const HOLD_PERIODS = 30;
/** Release messages after the end of contention: a change is said three times (sendqueue.ts). */
const RELEASES = 3;

/** A rate over time, in two windows of which the older is whole. */
interface Window {
  readonly sumBps: number;
  readonly periods: number;
}

interface PairMemory {
  readonly older: Window;
  readonly newer: Window;
  /** What the sender may send, as far as it was told; null: as much as it likes. */
  readonly toldBps: number | null;
  readonly releasesLeft: number;
}

interface Protection {
  readonly bps: number;
  readonly periodsLeft: number;
}

export interface MaxMinMemory {
  /** By vNIC, then by sender. */
  readonly pairs: ReadonlyMap<string, ReadonlyMap<string, PairMemory>>;
  /** Rates of each vNIC in the last periods, newest first. */
  readonly recentBps: ReadonlyMap<string, readonly number[]>;
  /** What was set aside for each vNIC in the last period. */
  readonly reservedBps: ReadonlyMap<string, number>;
  readonly protections: ReadonlyMap<string, Protection>;
}

const EMPTY: Window = { sumBps: 0, periods: 0 };
const FRESH: PairMemory = { older: EMPTY, newer: EMPTY, toldBps: null, releasesLeft: 0 };

const measuredBps = ({ older, newer }: PairMemory): number => (older.sumBps + newer.sumBps) / Math.max(1, older.periods + newer.periods);

function measure(pair: PairMemory, rateBps: number, periodMs: number): PairMemory {
  const needed = pair.toldBps === null ? 0 : (PACKETS_MEASURED * PACKET_BITS * 1000) / pair.toldBps / periodMs;
  const length = Math.min(MOST_PERIODS, Math.max(MEMORY_PERIODS, needed));
  const newer = { sumBps: pair.newer.sumBps + rateBps, periods: pair.newer.periods + 1 };
  return newer.periods >= length ? { ...pair, older: newer, newer: EMPTY } : { ...pair, newer };
}

export const maxMinLaw: Law<MaxMinMemory> = {
  initial: { pairs: new Map(), recentBps: new Map(), reservedBps: new Map(), protections: new Map() },
  decide(observation, parameters, before) {
    const { capacityBps, vnics } = observation;
    const recentBps = new Map(
      vnics.map((vnic) => [vnic.mac, [receivedBps(vnic), ...(before.recentBps.get(vnic.mac) ?? [])].slice(0, MEMORY_PERIODS)]),
    );
    const used = new Map([...recentBps].map(([mac, rates]) => [mac, Math.max(...rates)]));
    const protections = protect(capacityBps, used, before);
    const { limits, reservedBps } = shareLink(observation, parameters.active * capacityBps, used, before.reservedBps, protections);
    const pairs = new Map<string, Map<string, PairMemory>>();
    const allocations: Feedback[] = [];
    const holdMs = HOLD_PERIODS * parameters.periodMs;
    for (const vnic of vnics) {
      const known = before.pairs.get(vnic.mac);
      const memories = new Map(
        vnic.senders.map(({ mac, rateBps }) => [mac, measure(known?.get(mac) ?? FRESH, rateBps, parameters.periodMs)]),
      );
      pairs.set(vnic.mac, memories);
      const speaking = [...memories].filter(([, pair]) => measuredBps(pair) > 0);
      const limit = limits.get(vnic.mac);
      const rates =
        limit === undefined
          ? undefined
          : divide(
              limit,
              speaking.map(([, pair]) => pair),
            );
      speaking.forEach(([sender, pair], i) => {
        const rateBps = rates?.[i];
        if (rateBps !== undefined) memories.set(sender, { ...pair, toldBps: rateBps, releasesLeft: RELEASES });
        else if (pair.releasesLeft > 0) memories.set(sender, { ...pair, toldBps: null, releasesLeft: pair.releasesLeft - 1 });
        if (rateBps !== undefined || pair.releasesLeft > 0)
          allocations.push({ receiver: vnic.mac, sender, rateBps: rateBps ?? capacityBps, senders: speaking.length, holdMs });
      });
    }
    return { allocations, memory: { pairs, recentBps, reservedBps, protections } };
  },
};

/** Protections of the next period: renewed for all others while one overshoots, ended by time or by recovery. */
function protect(
  capacityBps: number,
  used: ReadonlyMap<string, number>,
  { reservedBps, protections }: MaxMinMemory,
): Map<string, Protection> {
  const overshoots = (mac: string): boolean => (used.get(mac) ?? 0) > OVERSHOOT * (reservedBps.get(mac) ?? 0) + FLOOR * capacityBps;
  const pushers = [...used.keys()].filter(overshoots);
  const next = new Map<string, Protection>();
  for (const [mac, usedBps] of used) {
    const had = reservedBps.get(mac) ?? 0;
    const known = protections.get(mac);
    // Not more than it would have grown to: what a modest tenant never used is not kept idle.
    const claim = Math.max(known?.bps ?? 0, Math.min(had, usedBps * GROWTH + FLOOR * capacityBps));
    if (pushers.some((pusher) => pusher !== mac) && had > 0) next.set(mac, { bps: claim, periodsLeft: PROTECTION_PERIODS });
    else if (known && known.periodsLeft > 1 && usedBps < BACKLOGGED * known.bps)
      next.set(mac, { ...known, periodsLeft: known.periodsLeft - 1 });
  }
  return next;
}

/** What is set aside for each vNIC, and the limit of those that need one. Nobody is limited below its guarantee. */
function shareLink(
  { capacityBps, vnics }: Observation,
  activeBps: number,
  usedBps: ReadonlyMap<string, number>,
  reservedBefore: ReadonlyMap<string, number>,
  protections: ReadonlyMap<string, Protection>,
) {
  // A silent vNIC with a live counter may be one that is starved, its TCP waiting out a timeout. A little is kept free
  // for it, so that the others never overload the link and its next packet gets through.
  const present = vnics.filter((vnic) => vnic.senders.length > 0);
  const claims = present.map((vnic): Claim => {
    const used = usedBps.get(vnic.mac) ?? 0;
    const backlogged = used > activeBps && used >= BACKLOGGED * (reservedBefore.get(vnic.mac) ?? 0);
    const ceilingBps = Math.min(vnic.maxBps ?? capacityBps, capacityBps);
    return {
      guaranteeBps: vnic.minBps,
      weight: vnic.minBps,
      ceilingBps,
      demandBps: backlogged ? Infinity : Math.max(used * GROWTH + FLOOR * capacityBps, protections.get(vnic.mac)?.bps ?? 0),
    };
  });
  const rates = waterFill(TARGET * capacityBps, claims);
  const wantedBps = claims.reduce((sum, c) => sum + Math.min(c.demandBps, c.ceilingBps), 0);
  const contended = present.length > 1 && wantedBps > TARGET * capacityBps;
  const limits = new Map<string, number>();
  const reservedBps = new Map<string, number>();
  present.forEach((vnic, i) => {
    const { ceilingBps, demandBps } = claims[i] as Claim;
    // Room to grow that nobody else wants is not set aside: it must not make a satisfied vNIC look idle.
    reservedBps.set(vnic.mac, Math.min(rates[i] as number, demandBps));
    if (contended) limits.set(vnic.mac, Math.max(rates[i] as number, TARGET * Math.min(vnic.minBps, ceilingBps)));
    else if (vnic.maxBps !== null && demandBps > vnic.maxBps) limits.set(vnic.mac, vnic.maxBps);
  });
  return { limits, reservedBps };
}

/** Max–min among the senders of one vNIC: one that sends little leaves its part to the others, but for half a share to grow into. */
function divide(limitBps: number, senders: readonly PairMemory[]): number[] {
  const halfShareBps = limitBps / senders.length / 2;
  return waterFill(
    limitBps,
    senders.map((pair): Claim => {
      const backlogged = pair.toldBps === null || measuredBps(pair) >= BACKLOGGED * pair.toldBps;
      return {
        guaranteeBps: 0,
        weight: 1,
        ceilingBps: Infinity,
        demandBps: backlogged ? Infinity : measuredBps(pair) * GROWTH + halfShareBps,
      };
    }),
  );
}
