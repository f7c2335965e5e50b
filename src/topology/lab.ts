/** Questions about a resolved lab. Pure. */
import type { EndpointRef, Impairment, Lab, LabNode } from './model.ts';

export const isImpaired = (i: Impairment): boolean => i.rateBps !== null || isDelayed(i);
/** Something delays or drops packets there. */
export const isDelayed = (i: Impairment): boolean => i.delayUs > 0 || i.jitterUs > 0 || i.loss > 0;
export const endpointName = (e: EndpointRef): string => `${e.node}:${e.interface}`;

/** Interfaces that two nodes reach each other by, and the second one's address there. */
export interface Route {
  readonly fromDevice: string;
  readonly toDevice: string;
  readonly address: string;
}

/** By a subnet that both are in, where there is one; undefined: `to` has no address, or `from` none to send from. */
export function routeBetween(from: LabNode, to: LabNode): Route | undefined {
  const own = ({ interfaces }: LabNode) =>
    interfaces.flatMap((i) => i.addresses.map((cidr) => ({ device: i.name, cidr, subnet: `${i.segment} ${subnetOf(cidr)}` })));
  const near = own(from);
  const far = own(to);
  const sink = far.find((a) => near.some((b) => b.subnet === a.subnet)) ?? far[0];
  const source = near.find((b) => b.subnet === sink?.subnet) ?? near[0];
  return sink && source && { fromDevice: source.device, toDevice: sink.device, address: sink.cidr.split('/')[0] as string };
}

/** First address of an IPv4 subnet; of IPv6, which segments tell apart well enough, nothing. */
function subnetOf(cidr: string): string {
  const [address, bits] = cidr.split('/') as [string, string];
  if (address.includes(':')) return '';
  const size = 2 ** (32 - Number(bits));
  const number = address.split('.').reduce((n, octet) => n * 256 + Number(octet), 0);
  return `${Math.floor(number / size)}/${bits}`;
}

/** The lab as it is while some of its hosts are unplugged. */
export function without(lab: Lab, absent: ReadonlySet<string>): Lab {
  if (absent.size === 0) return lab;
  const { nodes, links } = lab.fabric;
  return {
    ...lab,
    fabric: { nodes: nodes.filter((n) => !absent.has(n.name)), links: links.filter((l) => l.ends.every((e) => !absent.has(e.node))) },
  };
}
