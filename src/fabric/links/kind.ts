/** What there is to do for a link, by its kind: one file each. */
import type { BorrowedNic } from '../../rig/labs/steps.ts';
import type { Fabric } from '../../topology/model.ts';
import type { Trunk } from '../trunks.ts';
import { direct } from './direct.ts';
import { emulated } from './emulated.ts';
import { nic } from './nic.ts';
import { isEmulated, type LinkSite, type Passage } from './site.ts';
import { vxlan } from './vxlan.ts';

/** What one machine does for a link. */
export interface Cables {
  /** Lines of `ip -batch`. */
  readonly lines: readonly string[];
  /** NICs of the machine that become part of the lab. */
  readonly borrows?: readonly BorrowedNic[];
}

export interface CableInput {
  readonly lab: string;
  readonly fabric: Fabric;
  readonly machine: string;
}

/** The parts of a link on a machine; empty where it does not touch the machine. */
export interface LinkKind {
  cables(input: CableInput): Cables;
  /** Directions through the machine's link emulation. */
  passages(machine: string): readonly Passage[];
}

export function kindOf(site: LinkSite, trunk: Trunk | undefined): LinkKind {
  if (trunk?.kind === 'vxlan') return vxlan(site, trunk);
  if (trunk?.kind === 'cable') return nic(site, trunk);
  return isEmulated(site) ? emulated(site) : direct(site);
}
