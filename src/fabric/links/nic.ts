/** Between two machines over a cable of the rig: the NICs at its ends are the link's while the lab stands. */
import { linksNamespace } from '../../rig/labs/names.ts';
import type { Trunk } from '../trunks.ts';
import type { LinkKind } from './kind.ts';
import { trunkDevice, type LinkSite } from './site.ts';
import { trunked } from './trunked.ts';

export const nic = (site: LinkSite, { nics }: Extract<Trunk, { kind: 'cable' }>): LinkKind =>
  trunked(site, (side, { lab }) => {
    const [device, namespace] = [trunkDevice(site.index), linksNamespace(lab)];
    return {
      // Promiscuous: it carries frames of interfaces that it does not know.
      lines: [`link set dev ${nics[side]} down promisc on name ${device} netns ${namespace}`],
      borrows: [{ nic: nics[side], namespace, as: device }],
    };
  });
