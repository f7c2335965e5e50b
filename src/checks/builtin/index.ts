/** Checks of the testbed itself. */
import type { Check, Checks } from '../check.ts';
import { answers } from './answers.ts';
import { answerTime } from './answertime.ts';
import { counter } from './counter.ts';
import { latency } from './latency.ts';
import { loss } from './loss.ts';
import { packets } from './packets.ts';
import { rate } from './rate.ts';
import { reachability } from './reachability.ts';

const ALL: readonly Check[] = [reachability, rate, loss, latency, counter, answers, answerTime, packets];
export const BUILT_IN: Checks = new Map(ALL.map((check) => [check.name, check]));
