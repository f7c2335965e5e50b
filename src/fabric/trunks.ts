/** What links between machines run over. Pure. */
import { NetrigError } from '../core/errors.ts';
import type { Cable } from '../rig/rigfile.ts';
import { assignmentOf, type Assignments } from '../rig/labs/assignment.ts';
import type { Fabric, Link } from '../topology/model.ts';
import { endpointName } from '../topology/lab.ts';

/** In the order of the link's ends. */
export type Trunk =
  | { readonly kind: 'vxlan'; readonly vni: number; readonly port: number; readonly addresses: readonly [string, string] }
  | { readonly kind: 'cable'; readonly nics: readonly [string, string] };

/** A machine's place on the data network. */
export interface DataPort {
  readonly address: string;
  readonly mtu: number;
}

/** Not the IANA port (4789): a VXLAN of the machine's own may use that. */
const VXLAN_PORT = 4790;
/** Ethernet, VXLAN, UDP, IPv4 (RFC 7348, section 4.3 names the first three's layout). */
const VXLAN_OVERHEAD_BYTES = 50;
const FIRST_VNI = 0x6e7200;

/**
 * Declared cables first, in the order of the links; VXLAN over the data network for the rest: one tunnel a link, made
 * by the kernel, so that what a link does is seen and shaped like any other device.
 */
export function planTrunks(
  fabric: Fabric,
  assignments: Assignments,
  ports: ReadonlyMap<string, DataPort>,
  cables: readonly Cable[],
): Map<Link, Trunk> {
  const trunks = new Map<Link, Trunk>();
  const free = [...cables];
  fabric.links.forEach((link, index) => {
    const [a, b] = link.ends.map((end) => assignmentOf(assignments, end.node).machine) as [string, string];
    if (a === b) return;
    const cable = free.findIndex(({ ends }) => ends.some((e) => e.host === a) && ends.some((e) => e.host === b));
    if (cable >= 0) {
      const [{ ends }] = free.splice(cable, 1) as [Cable];
      const nic = (host: string) => ends.find((e) => e.host === host)?.nic as string;
      trunks.set(link, { kind: 'cable', nics: [nic(a), nic(b)] });
      return;
    }
    const [near, far] = [ports.get(a), ports.get(b)];
    if (!near || !far) {
      const without = near ? b : a;
      throw new NetrigError(
        'PLACEMENT_IMPOSSIBLE',
        `link ${endpointName(link.ends[0])} – ${endpointName(link.ends[1])} crosses from ${a} to ${b}, and ${without} has neither a cable nor an address on the data network`,
        { hint: `hosts.${without}.data: { device: … } in the rig file` },
      );
    }
    const mtu = Math.min(near.mtu, far.mtu);
    if (mtu < link.mtu + VXLAN_OVERHEAD_BYTES) {
      throw new NetrigError(
        'PLACEMENT_IMPOSSIBLE',
        `link ${endpointName(link.ends[0])} – ${endpointName(link.ends[1])} with an MTU of ${link.mtu} does not fit the data network between ${a} and ${b}, whose MTU is ${mtu}`,
        {
          hint: `raise the MTU of the data network to ${link.mtu + VXLAN_OVERHEAD_BYTES}, or lower the link's to ${mtu - VXLAN_OVERHEAD_BYTES}`,
        },
      );
    }
    trunks.set(link, { kind: 'vxlan', vni: FIRST_VNI + index, port: VXLAN_PORT, addresses: [near.address, far.address] });
  });
  return trunks;
}
