/** A response function: what a receiving server measured in one period, to the rates it sends. Pure (R4-20). */

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
}

export interface LawParameters {
  /** Fractions of the capacity. */
  readonly threshold: number;
  readonly active: number;
}

/** An explicit rate for one (sender, receiver) pair, and how many senders share the receiver. */
export interface Allocation {
  readonly vnic: string;
  readonly sender: string;
  readonly rateBps: number;
  readonly senders: number;
}

export type Law = (observation: Observation, parameters: LawParameters) => Allocation[];

export const receivedBps = (vnic: VnicObservation): number => vnic.senders.reduce((sum, s) => sum + s.rateBps, 0);

/** Equal parts of `desiredBps` for the active senders of a vNIC. */
export function divideEqually(vnic: VnicObservation, desiredBps: number, activeBps: number): Allocation[] {
  const active = vnic.senders.filter((s) => s.rateBps > activeBps);
  return active.map((s) => ({ vnic: vnic.mac, sender: s.mac, rateBps: desiredBps / active.length, senders: active.length }));
}
