/** AINs of a cell, as its topology has them. */
import type { CellEvidence } from '../../../src/evidence/cell.ts';

/** Their nodes. */
export function ainsOf({ lab }: CellEvidence): string[] {
  const config = lab.systems.find((s) => s.name === 'hub')?.config as { ains?: object } | undefined;
  return Object.keys(config?.ains ?? {});
}

/** Addresses of their devices. */
export function ainDevices(evidence: CellEvidence): ReadonlySet<string> {
  const ains = ainsOf(evidence);
  return new Set(evidence.lab.fabric.nodes.filter((n) => ains.includes(n.name)).flatMap((n) => n.interfaces.map((i) => i.mac)));
}
