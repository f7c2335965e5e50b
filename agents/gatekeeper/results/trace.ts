/** What the agents logged of their periods, read back for the report. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { logAheadMs } from '../../../src/evidence/agentlog.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';

export interface TracedPeriod {
  /** Epoch milliseconds, of the clock that phases are dated by. */
  readonly atMs: number;
  /** By receiving vNIC, bit/s. */
  readonly rates: Readonly<Record<string, number>>;
  readonly allocated: Readonly<Record<string, number>>;
  /** Rates sent to other servers in this period. */
  readonly feedback: number;
}

/** Periods of one server in the order of time; those in which nothing happened were not logged. */
export function readTrace(evidence: CellEvidence, server: string): TracedPeriod[] {
  const path = join(evidence.folder, 'agents', `gatekeeper.${server}.jsonl`);
  if (!existsSync(path)) return [];
  const aheadMs = logAheadMs(evidence, server);
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      if (!line.includes('"event":"period"')) return [];
      try {
        const { at, rates, allocated, feedback } = JSON.parse(line) as {
          at: number;
          rates: TracedPeriod['rates'];
          allocated: TracedPeriod['allocated'];
          feedback: number;
        };
        return [{ atMs: at - aheadMs, rates, allocated, feedback }];
      } catch {
        return []; // the last line of an agent that was killed
      }
    });
}

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
