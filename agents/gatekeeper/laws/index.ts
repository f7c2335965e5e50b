import type { AgentConfig } from '../config.ts';
import type { Feedback } from '../feedback.ts';
import type { Law, LawParameters, Observation } from './law.ts';
import { limitBroadcast } from './broadcast.ts';
import { maxMinLaw } from './maxmin.ts';
import { paperLaw } from './paper.ts';
import { ratekeeperLaw } from './ratekeeper.ts';

/** Runs a law period by period; its memory is nobody else's business. */
export type Controller = (observation: Observation, parameters: LawParameters) => readonly Feedback[];

function controllerOf<Memory>(law: Law<Memory>): Controller {
  let memory = law.initial;
  return (observation, parameters) => {
    const decision = law.decide(observation, parameters, memory);
    memory = decision.memory;
    return [...decision.allocations, ...limitBroadcast(observation.group)];
  };
}

const CONTROLLERS: Readonly<Record<AgentConfig['law'], () => Controller>> = {
  paper: () => controllerOf(paperLaw),
  ratekeeper: () => controllerOf(ratekeeperLaw),
  'max-min': () => controllerOf(maxMinLaw),
};

export const createController = (law: AgentConfig['law']): Controller => CONTROLLERS[law]();
