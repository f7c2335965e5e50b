/** Where a link's two ends and its emulation are. Pure. */
import { linksNamespace, namespaceOf } from '../../rig/labs/names.ts';
import { assignmentOf, type Assignments } from '../../rig/labs/assignment.ts';
import type { StepHost } from '../../rig/labs/steps.ts';
import { isImpaired } from '../../topology/lab.ts';
import type { EndpointRef, Fabric, Impairment, Link } from '../../topology/model.ts';

export type Side = 0 | 1;
export const otherSide = (side: Side): Side => (side === 0 ? 1 : 0);

/** A link on the machines that carry it. */
export interface LinkSite {
  readonly link: Link;
  /** Its number in the fabric. */
  readonly index: number;
  /** Machines of its ends. */
  readonly machines: readonly [string, string];
}

/** One direction through the link emulation of one machine: frames that come in by `from` leave by `to`, shaped if that is done here. */
export interface Passage {
  readonly from: string;
  readonly to: string;
  readonly impairment: Impairment | null;
}

export const siteOf = (link: Link, index: number, assignments: Assignments): LinkSite => ({
  link,
  index,
  machines: link.ends.map((end) => assignmentOf(assignments, end.node).machine) as [string, string],
});

/** It passes a link-emulation namespace: to be shaped, or to change from a node's veth to what leads to another machine. */
export const isEmulated = ({ link, machines: [a, b] }: LinkSite): boolean => a !== b || link.impairments.some(isImpaired);

/** Its devices in the link-emulation namespaces: towards its first end, and towards its second. */
export const emulationDevices = (index: number): [string, string] => [`l${index}a`, `l${index}b`];

/** What leads to the other machine. */
export const trunkDevice = (index: number): string => `l${index}t`;

/** Where a direction is shaped: on the machine that sends it. */
export function shapedPassage({ link, index, machines }: LinkSite, direction: Side): Passage & { readonly machine: string } {
  const devices = emulationDevices(index);
  const [near, far] = [machines[direction], machines[otherSide(direction)]];
  const to = near === far ? devices[otherSide(direction)] : trunkDevice(index);
  return { machine: near, from: devices[direction], to, impairment: link.impairments[direction] };
}

/** The device at the other end of an interface's cable, and where it is: in the link-emulation namespace if the link passes it. */
export function farEnd({ links }: Fabric, assignments: Assignments, near: EndpointRef): { host: StepHost; device: string } | undefined {
  for (const [index, link] of links.entries()) {
    const side = link.ends.findIndex((e) => e.node === near.node && e.interface === near.interface);
    if (side !== 0 && side !== 1) continue;
    const site = siteOf(link, index, assignments);
    if (isEmulated(site)) return { host: { on: 'links', machine: site.machines[side] }, device: emulationDevices(index)[side] };
    const other = link.ends[otherSide(side)];
    return { host: { on: 'node', node: other.node }, device: other.interface };
  }
  return undefined;
}

/** `ip link` words of a link's end in its node. */
export function endInNode(lab: string, { nodes }: Fabric, { node, interface: name }: EndpointRef): string {
  const itf = nodes.find((n) => n.name === node)?.interfaces.find((i) => i.name === name);
  return `name ${name} netns ${namespaceOf(lab, node)} address ${itf?.mac} mtu ${itf?.mtu}`;
}

/** `ip link` words of a device in the link-emulation namespace. */
export const inEmulation = (lab: string, device: string, { mtu }: Link): string => `name ${device} netns ${linksNamespace(lab)} mtu ${mtu}`;
