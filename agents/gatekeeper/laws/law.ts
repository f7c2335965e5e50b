/** A response function: what a receiving server measured in one period, to the rates it sends. Pure (R4-20). */
import type { Feedback } from '../feedback.ts';

export interface SenderObservation {
  /** MAC of the remote vNIC. */
  readonly mac: string;
  readonly rateBps: number;
}

export interface VnicObservation {
  readonly mac: string;
  readonly minBps: number;
  /** null: up to the link. */
  readonly maxBps: number | null;
  /** Every remote vNIC with a live counter, silent or not. */
  readonly senders: readonly SenderObservation[];
}

export interface Observation {
  readonly capacityBps: number;
  readonly vnics: readonly VnicObservation[];
  /** Broadcast and multicast, by sender: no vNIC's, and limited by itself (broadcast.ts). */
  readonly group: { readonly maxBps: number; readonly senders: readonly SenderObservation[] };
}

export interface LawParameters {
  /** Fractions of the capacity. */
  readonly threshold: number;
  readonly active: number;
  readonly periodMs: number;
}

/** One period: explicit rates to send now, and what the law wants to remember. */
export interface Decision<Memory> {
  readonly allocations: readonly Feedback[];
  readonly memory: Memory;
}

export interface Law<Memory> {
  readonly initial: Memory;
  decide(observation: Observation, parameters: LawParameters, memory: Memory): Decision<Memory>;
}

export const receivedBps = (vnic: VnicObservation): number => vnic.senders.reduce((sum, s) => sum + s.rateBps, 0);

/** Equal parts of `desiredBps` for the active senders of a vNIC, to rise from as soon as nothing more is heard. */
export function divideEqually(vnic: VnicObservation, desiredBps: number, activeBps: number): Feedback[] {
  const active = vnic.senders.filter((s) => s.rateBps > activeBps);
  return active.map((s) => ({ receiver: vnic.mac, sender: s.mac, rateBps: desiredBps / active.length, senders: active.length, holdMs: 0 }));
}

/**
 * Which vNICs are cut when the link is congested, in the paper and its successor alike: those above their maximum,
 * and the one that exceeds its guarantee by the largest relative amount. A vNIC that has the link to itself takes
 * nothing from anyone and is left alone (our inference: the paper shows A near 100 % when B is idle). Having the link
 * to itself means that no other vNIC has a live counter: one that is starved to zero still has one.
 */
export function offenders(
  { capacityBps, vnics }: Observation,
  threshold: number,
): { aboveMaximum: VnicObservation[]; aboveGuarantee: VnicObservation | undefined } {
  const aboveMaximum = vnics.filter((vnic) => vnic.maxBps !== null && receivedBps(vnic) > vnic.maxBps);
  const linkBps = vnics.reduce((sum, vnic) => sum + receivedBps(vnic), 0);
  const contenders = vnics.filter((vnic) => vnic.senders.length > 0).length;
  const excess = (vnic: VnicObservation): number => receivedBps(vnic) / vnic.minBps - 1;
  const congested = linkBps > threshold * capacityBps && contenders > 1;
  const worst = congested ? vnics.filter((vnic) => excess(vnic) > 0).sort((a, b) => excess(b) - excess(a))[0] : undefined;
  return { aboveMaximum, aboveGuarantee: worst };
}
