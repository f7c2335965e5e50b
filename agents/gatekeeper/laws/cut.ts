/** The laws that cut the worst offender and leave the rise to the senders; they differ in how deep they cut. */
import { divideEqually, offenders, type Law, type VnicObservation } from './law.ts';

/** `cutTo`: bit/s that a vNIC above its guarantee is cut to while the link is congested. Above its maximum it is cut to that. */
export const cutLaw = (cutTo: (offender: VnicObservation) => number): Law<null> => ({
  initial: null,
  decide(observation, { threshold, active }) {
    const { aboveMaximum, aboveGuarantee } = offenders(observation, threshold);
    const activeBps = active * observation.capacityBps;
    const allocations = aboveMaximum
      .filter((vnic) => vnic !== aboveGuarantee)
      .flatMap((vnic) => divideEqually(vnic, vnic.maxBps ?? observation.capacityBps, activeBps));
    if (aboveGuarantee) allocations.push(...divideEqually(aboveGuarantee, cutTo(aboveGuarantee), activeBps));
    return { allocations, memory: null };
  },
});
