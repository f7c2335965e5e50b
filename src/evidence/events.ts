/** Events of a phase, as they happened. */
import { describeAction } from '../topology/events.ts';
import type { EventRecord } from './records.ts';

/** "kill p1", "SetPolicies of manager – refused: Invalid" */
export const describeEvent = ({ action, outcome }: EventRecord): string =>
  `${describeAction(action)}${outcome.state === 'refused' ? ` – refused: ${outcome.code}` : ''}`;

/** A request, and what became of it. */
export type AnsweredRequest = EventRecord & { readonly action: Extract<EventRecord['action'], { kind: 'request' }> };
export const isRequest = (event: EventRecord): event is AnsweredRequest => event.action.kind === 'request';
