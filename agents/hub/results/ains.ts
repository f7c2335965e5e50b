/** AINs of a cell, as its topology has them. */
import { conform } from '../../../src/core/json.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { cellsOf } from '../cells.ts';
import { hubSchema } from '../config.ts';
import { ainOfBranch, isBranch } from '../model.ts';

/** Their nodes. */
export function ainsOf({ lab }: CellEvidence): string[] {
  const system = lab.systems.find((s) => s.name === 'hub');
  return system ? Object.keys(conform(hubSchema, system.config, 'config of hub', 'system hub').ains) : [];
}

/** Cells of a hub's nodes by the addresses of their frames: a device's own, or that of a branch. */
export function cellOfAddress({ lab }: CellEvidence): (mac: string) => string | undefined {
  const system = lab.systems.find((s) => s.name === 'hub');
  if (!system) return () => undefined;
  const config = conform(hubSchema, system.config, 'config of hub', 'system hub');
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
