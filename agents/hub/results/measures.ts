/** What captures say of a hub's decisions and paths. Pure. */
import { contains, prefixOf, type Prefix } from '../../lib/prefix.ts';
import { isBranch } from '../model.ts';
import type { Message, SeenFrame } from './frames.ts';

/** From one AIN to a branch of another. `ains`: addresses of AINs' own devices. */
export const handedOver = (frames: readonly SeenFrame[], ains: ReadonlySet<string>): number =>
  frames.filter((f) => isBranch(f.to) && ains.has(f.from)).length;

/** Packets that came back before all of their action had. */
export function early(messages: readonly (Message & { readonly atUs: number })[]): number {
  const got = new Map<string, number>();
  let count = 0;
  for (const { type, query, segment, flow } of messages) {
    if (type === 'action' && segment) got.set(query, (got.get(query) ?? 0) + 1);
    else if (type === 'packet' && flow && !got.has(query)) count += 1;
  }
  return count;
}

export const largestAction = (messages: readonly Message[]): number => Math.max(0, ...messages.map((m) => m.segment?.total ?? 0));

/**
 * Microseconds that packets were in an AIN: from the frame that came to one of its branches to the next of the same packet.
 * What another AIN hands over needs no decision, and is left out.
 */
export function passages(frames: readonly SeenFrame[], which: 'first' | 'later' | undefined, ains: ReadonlySet<string>): number[] {
  const came = new Map<string, SeenFrame>();
  const flows = new Set<string>();
  const values: number[] = [];
  for (const frame of frames) {
    if (frame.message) continue;
    const inside = came.get(frame.identity);
    if (inside && frame.from !== inside.from) {
      came.delete(frame.identity);
      const flow = `${inside.source} ${inside.destination} ${inside.protocol} ${inside.sourcePort} ${inside.destinationPort}`;
      const isFirst = !flows.has(flow);
      flows.add(flow);
      if (which === undefined || (which === 'first') === isFirst) values.push(frame.atUs - inside.atUs);
    } else if (isBranch(frame.to) && !ains.has(frame.from)) came.set(frame.identity, frame);
  }
  return values;
}

/** Frames between a gateway and branches, by the direction. */
export function crossed(frames: readonly SeenFrame[], gateway: string): { readonly in: number; readonly out: number } {
  return {
    in: frames.filter((f) => f.from === gateway && isBranch(f.to)).length,
    out: frames.filter((f) => f.to === gateway && isBranch(f.from)).length,
  };
}

/** Source addresses of packets to a port, each once. */
export const sourcesOf = (frames: readonly SeenFrame[], port: number): string[] => [
  ...new Set(frames.filter((f) => f.destinationPort === port).map((f) => f.source)),
];

/**
 * R1-47. Datagrams to a group as they were sent, and those that came to each of its members: how many copies are missing or too many,
 * or are of nothing that was sent.
 */
export function miscopied(sent: readonly SeenFrame[], members: readonly (readonly SeenFrame[])[]): number {
  const counted = (frames: readonly SeenFrame[]) =>
    Map.groupBy(
      frames.flatMap((f) => f.data?.bytes ?? []),
      (bytes) => bytes,
    );
  const originals = counted(sent);
  return members.reduce((sum, came) => {
    const copies = counted(came);
    const all = [...new Set([...originals.keys(), ...copies.keys()])];
    return sum + all.reduce((n, bytes) => n + Math.abs((copies.get(bytes)?.length ?? 0) - (originals.get(bytes)?.length ?? 0)), 0);
  }, 0);
}

/** From an answer to the next request: a route leads to this network; null: to none. */
export interface RouteChange {
  readonly fromUs: number;
  readonly untilUs: number;
  readonly to: string | null;
}

/** R1-13: packets to a destination at gateways of networks that its route did not lead to then. */
export function misdirected(
  seen: readonly { readonly network: string | undefined; readonly frames: readonly SeenFrame[] }[],
  changes: readonly RouteChange[],
  destination: string,
): number {
  const isWrong = (network: string | undefined, atUs: number): boolean =>
    changes.some((c) => atUs > c.fromUs && atUs < c.untilUs && c.to !== network);
  return seen.reduce(
    (sum, { network, frames }) => sum + frames.filter((f) => f.destination === destination && isWrong(network, f.atUs)).length,
    0,
  );
}

/** R1-10: branches that a gateway's packets went to, and flows of which not all went to one. */
export function branchesOf(frames: readonly SeenFrame[]): { readonly branches: number; readonly splitFlows: number } {
  const toBranches = frames.filter((f) => isBranch(f.to));
  const flows = Map.groupBy(toBranches, (f) => `${f.source} ${f.destination} ${f.protocol} ${f.sourcePort} ${f.destinationPort}`);
  const count = (of: readonly SeenFrame[]): number => new Set(of.map((f) => f.to)).size;
  return { branches: count(toBranches), splitFlows: [...flows.values()].filter((own) => count(own) > 1).length };
}

const flowOf = (f: SeenFrame): string => `${f.protocol} ${f.source} ${f.sourcePort} ${f.destination} ${f.destinationPort}`;

/** R1-50: packets that come from elsewhere than these addresses and ports. */
export const outside = (frames: readonly SeenFrame[], addresses: Prefix, [first, last]: readonly [number, number]): number =>
  frames.filter((f) => f.sourcePort < first || f.sourcePort > last || !contains(addresses, prefixOf(f.source))).length;

/**
 * R1-50: flows as they were sent, and as they arrived under other sources: by how many they differ, each by its number of packets.
 * A flow whose source changes on its way is two; two that get one source are one.
 */
export function unlikeFlows(
  sent: readonly SeenFrame[],
  arrived: readonly SeenFrame[],
): { readonly flows: number; readonly unlike: number } {
  const sizes = (frames: readonly SeenFrame[]): number[] => [...Map.groupBy(frames, flowOf).values()].map((own) => own.length);
  const counts = (of: readonly number[]) => Map.groupBy(of, (size) => size);
  const [was, is] = [sizes(sent), sizes(arrived)];
  const [before, after] = [counts(was), counts(is)];
  const unlike = [...new Set([...was, ...is])].reduce(
    (sum, size) => sum + Math.abs((before.get(size)?.length ?? 0) - (after.get(size)?.length ?? 0)),
    0,
  );
  return { flows: was.length, unlike };
}

/** R1-16: datagrams of flows to beacons that come after one with a higher number. */
export function overtaken(frames: readonly SeenFrame[]): { readonly datagrams: number; readonly overtaken: number } {
  const highest = new Map<string, number>();
  let [datagrams, count] = [0, 0];
  for (const frame of frames) {
    if (!frame.data || frame.data.bytes.length < 8) continue;
    const number = Number.parseInt(frame.data.bytes.slice(0, 8), 16);
    const before = highest.get(flowOf(frame)) ?? 0;
    datagrams += 1;
    if (number < before) count += 1;
    highest.set(flowOf(frame), Math.max(number, before));
  }
  return { datagrams, overtaken: count };
}
