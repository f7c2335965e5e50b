/** Requests of a phase that were not answered as the topology expects. */
import { isDeepStrictEqual } from 'node:util';
import { opt, text } from '../../core/config/parts.ts';
import { isRequest } from '../../evidence/events.ts';
import type { KeysOf } from '../../topology/checks.ts';
import { missing, type Check } from '../check.ts';

const keys = { operation: opt(text('Operation of `request` events (default: all of the phase).')) };

export const answers: Check<KeysOf<typeof keys>> = {
  name: 'answers',
  keys,
  counts: 'answer',
  unit: () => 'count',
  problems({ operation }, _, phase) {
    const asked = phase.events.flatMap(({ what }) => (what.kind === 'request' ? [what.operation] : []));
    if (operation === undefined ? asked.length > 0 : asked.includes(operation)) return [];
    return [
      {
        path: operation === undefined ? [] : ['operation'],
        message: `phase "${phase.name}" has no request${operation === undefined ? '' : ` for ${operation}`}`,
        hint: 'events: [{ at: 1s, request: { system, node, operation } }]',
      },
    ];
  },
  figures(target, { events }, phase, { fromUs, toUs }) {
    const asked = (events[phase.phase] ?? []).filter(isRequest).flatMap(({ action, outcome, plannedUs }) => {
      if (plannedUs < fromUs || plannedUs > toUs || (target.operation !== undefined && action.operation !== target.operation)) return [];
      const refused = outcome.state === 'refused' ? outcome.code : null;
      const place = refused === null && action.answer !== undefined ? differs(outcome.answer, action.answer, '') : null;
      return [
        {
          operation: action.operation,
          wrong: refused !== action.expected ? `${refused ?? 'done'} instead of ${action.expected ?? 'done'}` : place,
        },
      ];
    });
    if (asked.length === 0) return missing('nothing was asked in this phase');
    const wrong = asked.filter((r) => r.wrong !== null);
    const detail =
      wrong.length === 0
        ? `${asked.length} answered as expected`
        : wrong
            .map((r) => `${r.operation}: ${r.wrong}`)
            .slice(0, 5)
            .join(', ');
    return { kind: 'exact', value: wrong.length, detail };
  },
};

/** Where an answer is not what was expected of it, in words; null: nowhere. What is not expected may be anything. */
function differs(answer: unknown, expected: unknown, path: string): string | null {
  if (typeof expected === 'object' && expected !== null && !Array.isArray(expected)) {
    const given = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
    return (
      Object.entries(expected)
        .map(([key, value]) => differs(given[key], value, `${path}/${key}`))
        .find((place) => place !== null) ?? null
    );
  }
  return isDeepStrictEqual(answer, expected) ? null : `${path} is ${JSON.stringify(answer)} instead of ${JSON.stringify(expected)}`;
}
