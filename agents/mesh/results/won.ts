/** Section of a report: whose route to a prefix each network used, and by which rule it won (R2-17). As controllers answered. */
import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { Type } from 'typebox';
import { record } from '../../../src/core/config/parts.ts';
import { conform } from '../../../src/core/json.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import type { Part } from '../../../src/report/parts.ts';
import { validated } from '../../lib/params.ts';
import { CONTROLLER_OPERATIONS } from '../operations.ts';
import { winner } from '../rows.ts';

const described = Type.Object({ routes: record(winner) });

export function won(parts: readonly Part[]): VNode | null {
  const rows = parts.flatMap(({ name, evidence, phase }) =>
    (evidence.events[phase.phase] ?? []).flatMap((event) => {
      if (!isRequest(event) || event.action.operation !== 'DescribeNetwork' || event.outcome.state !== 'done') return [];
      const { network } = validated(CONTROLLER_OPERATIONS.DescribeNetwork, event.action.params);
      const routes = Object.entries(conform(described, event.outcome.answer, 'answer to DescribeNetwork').routes);
      return routes.map(([prefix, won]) => ({ name, network, prefix, ...{ by: won.network, rule: won.rule } }));
    }),
  );
  if (rows.length === 0) return null;
  return html`<section><h2>Routes to on-premises networks</h2>
    <p class="soft">Whose route each network used, when it was asked. Rules: the only one; its own before peers'; the preferred peer's; that of the lower identifier.</p>
    <div class="scroll"><table><thead><tr><th scope="col">phase</th><th scope="col">network</th><th scope="col">prefix</th><th scope="col">by</th><th scope="col">rule</th></tr></thead>
      <tbody>${rows.map((r) => html`<tr><td>${r.name}</td><td>${r.network}</td><td class="figure">${r.prefix}</td><td>${r.by}</td><td>${r.rule}</td></tr>`)}</tbody></table></div></section>`;
}
