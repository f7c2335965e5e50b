/** Between two nodes of one machine, shaped: two veth pairs that meet in the link-emulation namespace, out of the nodes' reach. */
import type { CableInput, LinkKind } from './kind.ts';
import { emulationDevices, endInNode, inEmulation, shapedPassage, type LinkSite, type Side } from './site.ts';

const SIDES: readonly Side[] = [0, 1];

/** Veth pairs from the nodes of a machine into its link emulation. */
export const pairsIntoEmulation = ({ link, index, machines }: LinkSite, { lab, fabric, machine }: CableInput): string[] =>
  SIDES.filter((side) => machines[side] === machine).map((side) => {
    const outer = inEmulation(lab, emulationDevices(index)[side], link);
    return `link add ${endInNode(lab, fabric, link.ends[side])} type veth peer ${outer}`;
  });

export const emulated = (site: LinkSite): LinkKind => ({
  cables: (input) => ({ lines: pairsIntoEmulation(site, input) }),
  passages: (machine) => SIDES.map((side) => shapedPassage(site, side)).filter((p) => p.machine === machine),
});
