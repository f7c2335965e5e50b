/**
 * The constants of HP's published successor (Ratekeeper): an offender is cut to half of what it receives, but never
 * below its guarantee; the sender's additive increase is the same.
 */
import { cutLaw } from './cut.ts';
import { receivedBps } from './law.ts';

const CUT = 0.5;

export const ratekeeperLaw = cutLaw((offender) => Math.max(offender.minBps, CUT * receivedBps(offender)));
