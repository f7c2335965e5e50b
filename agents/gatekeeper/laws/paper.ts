/** The paper's law (R4 section 3): an offender is cut straight to its guarantee, or to its maximum. */
import { divideEqually, offenders, type Law } from './law.ts';

export const paperLaw: Law<null> = {
  initial: null,
  decide(observation, { threshold, active }) {
    const { aboveMaximum, aboveGuarantee } = offenders(observation, threshold);
    const activeBps = active * observation.capacityBps;
    const allocations = aboveMaximum.filter((vnic) => vnic !== aboveGuarantee).flatMap((vnic) => divideEqually(vnic, vnic.maxBps ?? observation.capacityBps, activeBps));
    if (aboveGuarantee) allocations.push(...divideEqually(aboveGuarantee, aboveGuarantee.minBps, activeBps));
    return { allocations, memory: null };
  },
};
