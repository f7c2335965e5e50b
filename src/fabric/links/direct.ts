/** Between two nodes of one machine, without impairments: one veth pair. */
import type { LinkKind } from './kind.ts';
import { endInNode, type LinkSite } from './site.ts';

export const direct = ({ link, machines }: LinkSite): LinkKind => ({
  cables: ({ lab, fabric, machine }) => {
    const [a, b] = link.ends.map((end) => endInNode(lab, fabric, end));
    return { lines: machine === machines[0] ? [`link add ${a} type veth peer ${b}`] : [] };
  },
  passages: () => [],
});
