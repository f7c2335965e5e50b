/** Between nodes of two machines: each shapes what it sends. What leads from one to the other is a kind's own. */
import type { Cables, CableInput, LinkKind } from './kind.ts';
import { pairsIntoEmulation } from './emulated.ts';
import { shapedPassage, type LinkSite, type Side } from './site.ts';

/** `trunk`: what a machine makes of the trunk; its end of the link is the `side`. */
export const trunked = (site: LinkSite, trunk: (side: Side, input: CableInput) => Cables): LinkKind => {
  const sideOn = (machine: string): Side | undefined => ([0, 1] as const).find((side) => site.machines[side] === machine);
  return {
    cables: (input) => {
      const side = sideOn(input.machine);
      if (side === undefined) return { lines: [] };
      const made = trunk(side, input);
      return { ...made, lines: [...pairsIntoEmulation(site, input), ...made.lines] };
    },
    passages: (machine) => {
      const side = sideOn(machine);
      if (side === undefined) return [];
      const out = shapedPassage(site, side);
      // What comes in was shaped where it was sent.
      return [out, { from: out.to, to: out.from, impairment: null }];
    },
  };
};
