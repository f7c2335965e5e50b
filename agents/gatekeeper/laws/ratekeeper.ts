/**
 * The constants of HP's published successor (Ratekeeper): an offender is cut to half of what it receives, but never
 * below its guarantee; the sender's additive increase is the same.
 */
import { divideEqually, offenders, receivedBps, type Law } from './law.ts';

const CUT = 0.5;

export const ratekeeperLaw: Law<null> = {
  initial: null,
  decide(observation, { threshold, active }) {
    const { aboveMaximum, aboveGuarantee } = offenders(observation, threshold);
    const activeBps = active * observation.capacityBps;
    const allocations = aboveMaximum.filter((vnic) => vnic !== aboveGuarantee).flatMap((vnic) => divideEqually(vnic, vnic.maxBps ?? observation.capacityBps, activeBps));
    if (aboveGuarantee) allocations.push(...divideEqually(aboveGuarantee, Math.max(aboveGuarantee.minBps, CUT * receivedBps(aboveGuarantee)), activeBps));
    return { allocations, memory: null };
  },
};
