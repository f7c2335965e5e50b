/** What the agents logged of their periods, read back for the report. */
import { Type } from 'typebox';
import { record } from '../../../src/core/config/parts.ts';
import { loggedEvents, type Logged } from '../../../src/evidence/agentlog.ts';
import type { Described } from '../../../src/core/readonly.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';

const rates = record(Type.Number());
const periodLine = Type.Object({
  /** By receiving vNIC, bit/s. */
  rates,
  allocated: rates,
  /** Rates sent to other servers in this period. */
  feedback: Type.Number(),
});
export type TracedPeriod = Logged<Described<typeof periodLine>>;

/** Periods of one server in the order of time; those in which nothing happened were not logged. */
export const readTrace = (evidence: CellEvidence, server: string): readonly TracedPeriod[] =>
  loggedEvents(evidence, 'gatekeeper', server, 'period', periodLine);

/** Sums by tenant: the label of the interface that has the MAC. */
export function byTenant(evidence: CellEvidence, label: string): (values: Readonly<Record<string, number>>) => Map<string, number> {
  const tenantOf = new Map(
    evidence.lab.fabric.nodes.flatMap((n) =>
      n.interfaces.flatMap((i) => (i.labels[label] === undefined ? [] : [[i.mac, i.labels[label]] as const])),
    ),
  );
  return (values) => {
    const sums = new Map<string, number>();
    for (const [mac, value] of Object.entries(values)) {
      const tenant = tenantOf.get(mac);
      if (tenant !== undefined) sums.set(tenant, (sums.get(tenant) ?? 0) + value);
    }
    return sums;
  };
}
