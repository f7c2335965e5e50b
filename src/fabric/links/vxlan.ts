/** Between two machines over their data network: a VXLAN device a link. */
import type { Trunk } from '../trunks.ts';
import type { LinkKind } from './kind.ts';
import { inEmulation, otherSide, trunkDevice, type LinkSite } from './site.ts';
import { trunked } from './trunked.ts';

export const vxlan = (site: LinkSite, { vni, port, addresses }: Extract<Trunk, { kind: 'vxlan' }>): LinkKind =>
  trunked(site, (side, { lab }) => {
    const device = inEmulation(lab, trunkDevice(site.index), site.link);
    const ends = `local ${addresses[side]} remote ${addresses[otherSide(side)]}`;
    // Made on the machine and moved: its packets leave by the machine's own network (vxlan keeps the namespace of its birth).
    return { lines: [`link add ${device} type vxlan id ${vni} ${ends} dstport ${port} nolearning`] };
  });
