/** How long requests of a phase took, from asking to the answer, a quantile. */
import { opt, percent, text } from '../../core/config/parts.ts';
import { isRequest } from '../../evidence/events.ts';
import type { KeysOf } from '../../topology/checks.ts';
import { missing, type Check } from '../check.ts';

const keys = { operation: text('Operation of `request` events.'), quantile: opt(percent('Quantile (default 99%).')) };

export const answerTime: Check<KeysOf<typeof keys>> = {
  name: 'answer-time',
  keys,
  unit: () => 'durationUs',
  problems({ operation }, _, phase) {
    const isAsked = phase.events.some(({ what }) => what.kind === 'request' && what.operation === operation);
    if (isAsked) return [];
    return [
      {
        path: ['operation'],
        message: `phase "${phase.name}" has no request for ${operation}`,
        hint: 'events: [{ at: 1s, request: { … } }]',
      },
    ];
  },
  figures({ operation, quantile }, { events }, phase, { fromUs, toUs }) {
    const asked = (events[phase.phase] ?? [])
      .filter(isRequest)
      .filter(({ action, plannedUs }) => action.operation === operation && plannedUs >= fromUs && plannedUs <= toUs);
    if (asked.length === 0) return missing(`no ${operation} was asked in this phase`);
    // What was refused has no answer: it took for ever.
    const values = asked.map(({ outcome, tookUs }) => (outcome.state === 'done' ? tookUs : Infinity));
    return { kind: 'quantile', values, quantile: Number.parseFloat(quantile ?? '99%') / 100 };
  },
};
