/** The paper's law (R4 section 3): an offender is cut straight to its guarantee, or to its maximum. */
import { cutLaw } from './cut.ts';

export const paperLaw = cutLaw((offender) => offender.minBps);
