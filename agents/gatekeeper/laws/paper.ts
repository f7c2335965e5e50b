/**
 * The paper's law (R4 section 3): when the link is congested, the vNIC that exceeds its guarantee by the
 * largest relative amount is cut to the guarantee; a vNIC above its maximum is cut to that. A vNIC that has the link to itself takes
 * nothing from anyone and is left alone (our inference: the paper shows A near 100 % when B is idle). Having the
 * link to itself means that no other vNIC has a live counter: one that is starved to zero still has one.
 */
import { divideEqually, receivedBps, type Law, type VnicObservation } from './law.ts';

export const paperLaw: Law = ({ capacityBps, vnics }, { threshold, active }) => {
  const desired = new Map<VnicObservation, number>();
  for (const vnic of vnics) if (vnic.maxBps !== null && receivedBps(vnic) > vnic.maxBps) desired.set(vnic, vnic.maxBps);
  const linkBps = vnics.reduce((sum, vnic) => sum + receivedBps(vnic), 0);
  const contenders = vnics.filter((vnic) => vnic.senders.length > 0).length;
  if (linkBps > threshold * capacityBps && contenders > 1) {
    const excess = (vnic: VnicObservation): number => receivedBps(vnic) / vnic.minBps - 1;
    const worst = vnics.filter((vnic) => excess(vnic) > 0).sort((a, b) => excess(b) - excess(a))[0];
    if (worst) desired.set(worst, worst.minBps);
  }
  return [...desired].flatMap(([vnic, desiredBps]) => divideEqually(vnic, desiredBps, active * capacityBps));
};
