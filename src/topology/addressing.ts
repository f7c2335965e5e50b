/** Layer-2 segments, and the addresses and MACs that follow from them. Deterministic: same file, same addresses. */
import { createHash } from 'node:crypto';
import type { NodeKind } from './model.ts';

export interface RawInterface {
  readonly node: string;
  readonly name: string;
  /** Address as written: CIDR, "auto", "none", or undefined. */
  readonly address: string | undefined;
  readonly port: boolean;
  /** Its switch does not join its ports. */
  readonly separate?: boolean;
}

export interface RawLink {
  /** Indexes into the interface list. */
  readonly ends: readonly [number, number];
}

/** Segment number of every interface: links join their ends, a switch joins its ports. */
export function segmentsOf(interfaces: readonly RawInterface[], links: readonly RawLink[]): number[] {
  const parent = interfaces.map((_, i) => i);
  const find = (i: number): number => {
    while (parent[i] !== i) {
      parent[i] = parent[parent[i] as number] as number;
      i = parent[i] as number;
    }
    return i;
  };
  const join = (a: number, b: number) => {
    parent[find(a)] = find(b);
  };
  for (const link of links) join(...(link.ends as [number, number]));
  const firstPort = new Map<string, number>();
  interfaces.forEach((itf, i) => {
    if (!itf.port || itf.separate) return;
    const first = firstPort.get(itf.node);
    if (first === undefined) firstPort.set(itf.node, i);
    else join(first, i);
  });
  const numbers = new Map<number, number>();
  return interfaces.map((_, i) => {
    const root = find(i);
    if (!numbers.has(root)) numbers.set(root, numbers.size);
    return numbers.get(root) as number;
  });
}

/**
 * Addresses of every interface. In a segment where none is written, every interface that is not a port
 * gets one of a /24 (10.64.0.0 upwards), or of a /16 (10.128.0.0 upwards) where more than 254 are needed.
 */
export function assignAddresses(interfaces: readonly RawInterface[], segments: readonly number[]): string[][] {
  const written = new Set<number>();
  interfaces.forEach((itf, i) => {
    if (itf.address !== undefined && itf.address !== 'auto' && itf.address !== 'none') written.add(segments[i] as number);
  });
  const wantsAuto = interfaces.map(
    (itf, i) => !itf.port && (itf.address === 'auto' || (itf.address === undefined && !written.has(segments[i] as number))),
  );
  const sizes = new Map<number, number>();
  wantsAuto.forEach((wants, i) => {
    if (wants) sizes.set(segments[i] as number, (sizes.get(segments[i] as number) ?? 0) + 1);
  });
  const used = new Map<number, number>();
  return interfaces.map((itf, i) => {
    if (!wantsAuto[i]) return itf.address === undefined || itf.address === 'none' || itf.address === 'auto' ? [] : [itf.address];
    const segment = segments[i] as number;
    const host = (used.get(segment) ?? 0) + 1;
    used.set(segment, host);
    if ((sizes.get(segment) ?? 0) <= 254) return [`10.${64 + ((segment >> 8) & 63)}.${segment & 255}.${host}/24`];
    return [`10.${128 + (segment & 127)}.${host >> 8}.${host & 255}/16`];
  });
}

/** Locally administered MAC, unique in the lab and stable across runs. */
export function macFor(lab: string, index: number): string {
  const hash = createHash('sha256').update(lab).digest();
  const bytes = [0x02, hash[0] as number, hash[1] as number, hash[2] as number, (index >> 8) & 255, index & 255];
  return bytes.map((b) => b.toString(16).padStart(2, '0')).join(':');
}

export const isSwitchKind = (kind: NodeKind): boolean => kind !== 'linux';
