/** How many nodes of a cell serve, by load (R1-23). Pure. */
import type { CellSize, Scale } from '../config.ts';
import type { Ain, Metadata, Network } from '../model.ts';
import type { Edit } from './edit.ts';

/** Fewer nodes serve when they would carry the load with this to spare: they are not needed again at once. */
const SPARE = 1.25;

const sizesOf = ({ sizes }: Scale, cell: string): CellSize[] => sizes.filter((s) => s.cell === cell);

/** Packets a second that a size carries: AINs that are lost carry none. */
const capacity = (scale: Scale, { ains }: CellSize, { lost }: Metadata): number =>
  ains.filter((name) => !lost.includes(name)).length * scale.load;

/** The smallest that carries so many packets a second, with one AIN at least; the largest one if none does. */
function sizeFor(scale: Scale, cell: string, metadata: Metadata, packetsPerSecond: number): CellSize | undefined {
  const sizes = sizesOf(scale, cell);
  return sizes.find((s) => Math.max(packetsPerSecond, 1) <= capacity(scale, s, metadata)) ?? sizes.at(-1);
}

function sizeNow(scale: Scale, cell: string, { standby }: Metadata): CellSize | undefined {
  return sizesOf(scale, cell).findLast((s) => s.ains.every((name) => !standby.includes(name)));
}

/** More nodes at once, fewer one by one and only after a calm time. undefined: as it is. */
export function nextSize(
  scale: Scale,
  cell: string,
  metadata: Metadata,
  packetsPerSecond: number,
): { readonly size: CellSize; readonly needsCalm: boolean } | undefined {
  const now = sizeNow(scale, cell, metadata);
  if (!now) return undefined;
  const wanted = sizeFor(scale, cell, metadata, packetsPerSecond);
  if (wanted && wanted.ains.length > now.ains.length) return { size: wanted, needsCalm: false };
  const fewer = sizesOf(scale, cell).findLast((s) => s.ains.length < now.ains.length);
  const isEnough = fewer && Math.max(packetsPerSecond * SPARE, 1) <= capacity(scale, fewer, metadata);
  return isEnough ? { size: fewer, needsCalm: true } : undefined;
}

/** Networks have their branches at nodes that serve. Actions stay: a node that waits forwards what still comes to it. */
export function resize(metadata: Metadata, { cell, standby, shards }: CellSize, all: readonly Pick<Ain, 'name' | 'cell'>[]): Edit<null> {
  const own = new Set(all.filter((n) => n.cell === cell).map((n) => n.name));
  const networks = metadata.networks.map((n): Network => ({
    ...n,
    shard: [...n.shard.filter((name) => !own.has(name)), ...(shards[n.name] ?? [])],
  }));
  const waiting = [...metadata.standby.filter((name) => !own.has(name)), ...standby];
  return { metadata: { ...metadata, networks, standby: waiting }, concerns: new Set(), answer: null };
}
