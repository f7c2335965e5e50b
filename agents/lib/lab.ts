/** Where nodes are in a lab. Pure. */
import type { Lab, LabNode } from '../../src/topology/model.ts';
import { contains, parseAddress, parsePrefix, prefixOf } from './prefix.ts';

export const nodeOf = (lab: Lab, name: string): LabNode | undefined => lab.fabric.nodes.find((n) => n.name === name);
/** Of its first interface with an address. */
export const segmentOf = (lab: Lab, name: string): number | undefined =>
  nodeOf(lab, name)?.interfaces.find((i) => i.addresses.length > 0)?.segment;
/** Its interface there, if it has an address. */
export const deviceOn = (lab: Lab, name: string, segment: number | undefined): LabNode['interfaces'][number] | undefined =>
  nodeOf(lab, name)?.interfaces.find((i) => i.segment === segment && i.addresses.length > 0);

/** Of an interface, without its prefix's length; undefined: it has none. */
export const addressOf = (itf: { readonly addresses: readonly string[] } | undefined): string | undefined =>
  itf?.addresses[0]?.split('/')[0];

/** Is it an address of one of the prefixes? */
export function isOf(prefixes: readonly string[], text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && prefixes.some((p) => parsePrefix(p) && contains(prefixOf(p), address));
}
