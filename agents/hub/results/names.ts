/** Names in the report: what was asked, what the asker got, and who was there. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { Static } from 'typebox';
import { conform } from '../../../src/core/json.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import type { Part } from '../../../src/report/parts.ts';
import { validated } from '../../lib/params.ts';
import { HOST_OPERATIONS } from '../operations.ts';
import { lookup, type Lookup } from '../protocol.ts';

interface Journey {
  readonly from: string;
  readonly asked: Static<typeof HOST_OPERATIONS.Resolve>;
  readonly answer: Lookup;
}

const journeysOf = ({ evidence, phase }: Part): Journey[] =>
  (evidence.events[phase.phase] ?? []).flatMap((e) =>
    isRequest(e) && e.action.operation === 'Resolve' && e.outcome.state === 'done'
      ? [{ from: e.action.node, asked: validated(HOST_OPERATIONS.Resolve, e.action.params), answer: conform(lookup, e.outcome.answer) }]
      : [],
  );

export function names(parts: readonly Part[]): VNode | null {
  const asked = parts.map((part) => ({ part, journeys: journeysOf(part) })).filter(({ journeys }) => journeys.length > 0);
  if (asked.length === 0) return null;
  return html`<section><h2>Names, and where they lead</h2>
    <p class="soft">What hosts asked name servers, the answer that reached them, and the host whose beacon was at its addresses; first repeat.</p>
    ${asked.map(
      ({ part, journeys }) =>
        html`<h3>${part.name}</h3><div class="scroll"><table><thead><tr>${['host', 'asked', 'at', 'got', 'TTL', 'and reached'].map((h) => html`<th scope="col">${h}</th>`)}</tr></thead>
          <tbody>${journeys.map(
            ({ from, asked: { name, type = 'A', server, tool = 'dig' }, answer: { status, data, ttlSeconds, reached } }) =>
              html`<tr><td>${from}</td><td>${name} ${type}</td><td>${server ?? `its servers, by ${tool}`}</td><td>${data.length > 0 ? data.join(', ') : status}</td><td class="figure">${ttlSeconds === null ? '–' : `${ttlSeconds} s`}</td><td>${reached.map((by) => by ?? 'nobody').join(', ') || '–'}</td></tr>`,
          )}</tbody></table></div>`,
    )}</section>`;
}
