/** Which backends of a balancer take new connections, by what their hosts say of them (R2 section 3.7, R2-26). Pure. */
import type { Load } from '../rows.ts';
import type { Balancer } from './state.ts';

/** Of its capacity: from there a backend takes no new connections, until what comes to it is less than the other. */
const [FULL, FREE] = [0.9, 0.7];
/** Of the one that has most to spare. */
const MOST = 100;
/** Weights are in steps: a row does not change with every packet. */
const STEP = 10;

export interface Standing {
  readonly isAlive: boolean;
  readonly isFull: boolean;
  readonly loadBps: number;
}

/** Nobody has said anything of it. */
export const SILENT: Standing = { isAlive: false, isFull: false, loadBps: 0 };

export function standingAfter(before: Standing, { isAlive, loadBps }: Load, capacityBps: number): Standing {
  const used = loadBps / capacityBps;
  return { isAlive, loadBps, isFull: used >= FULL || (before.isFull && used >= FREE) };
}

/** An endpoint stands for itself in each balancer, by the balancer's address: it may have several, with services of their own. */
export const standingKey = (endpoint: string, address: string): string => `${endpoint} ${address}`;

/** By backend that lives: its share of new connections, against the one with the most capacity. */
export function weightsOf(
  { address, capacitiesBps }: Pick<Balancer, 'address' | 'capacitiesBps'>,
  standings: ReadonlyMap<string, Standing>,
): Map<string, number> {
  const standingOf = (endpoint: string): Standing => standings.get(standingKey(endpoint, address)) ?? SILENT;
  const alive = Object.entries(capacitiesBps).filter(([name]) => standingOf(name).isAlive);
  const largest = Math.max(...alive.map(([, capacityBps]) => capacityBps));
  return new Map(
    alive.map(([name, capacityBps]) => {
      const { isFull, loadBps } = standingOf(name);
      const spare = Math.max(0, capacityBps - loadBps) / largest;
      return [name, isFull ? 0 : Math.max(1, Math.round((spare * MOST) / STEP) * STEP)];
    }),
  );
}

/** Of new connections, those that go to the overflow: all, while no backend takes any. */
export const overflowWeight = (weights: ReadonlyMap<string, number>): number => ([...weights.values()].some((w) => w > 0) ? 0 : MOST);
