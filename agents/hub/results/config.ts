/** The hub of a cell, as its topology has it. */
import { conform } from '../../../src/core/json.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { cellsOf } from '../cells.ts';
import { hubSchema, type HubFile } from '../config.ts';
import { ainOfBranch, isBranch } from '../model.ts';

/** undefined: this cell has no hub. */
export function hubConfigOf({ systems }: CellEvidence['lab']): HubFile | undefined {
  const system = systems.find((s) => s.name === 'hub');
  return system && conform(hubSchema, system.config, 'config of hub', 'system hub');
}

/** Their nodes. */
export function ainsOf({ lab }: CellEvidence): string[] {
  return Object.keys(hubConfigOf(lab)?.ains ?? {});
}

/** Cells of a hub's nodes by the addresses of their frames: a device's own, or that of a branch. */
export function cellOfAddress({ lab }: CellEvidence): (mac: string) => string | undefined {
  const config = hubConfigOf(lab);
  if (!config) return () => undefined;
  const cells = cellsOf(config);
  const own = new Map(lab.fabric.nodes.flatMap((n) => n.interfaces.map((i) => [i.mac, cells.of.get(n.name)] as const)));
  const numbered = Object.keys(config.ains);
  return (mac) => (isBranch(mac) ? cells.of.get(numbered[ainOfBranch(mac) - 1] ?? '') : own.get(mac));
}

/** Addresses of their devices. */
export function ainDevices(evidence: CellEvidence): ReadonlySet<string> {
  const ains = ainsOf(evidence);
  return new Set(evidence.lab.fabric.nodes.filter((n) => ains.includes(n.name)).flatMap((n) => n.interfaces.map((i) => i.mac)));
}
