/** Follows the load of cells: when another number of their nodes is to serve (R1-23). */
import { log } from '../../lib/rpc.ts';
import type { AgentConfig, CellSize } from '../config.ts';
import type { Metadata } from '../model.ts';
import { nextSize } from './scaling.ts';

export class Scaler {
  readonly #config: AgentConfig;
  /** Packets a second, by AIN. */
  readonly #loads = new Map<string, number>();
  /** By cell: since when it needs fewer nodes than serve. */
  readonly #calmSince = new Map<string, number>();

  constructor(config: AgentConfig) {
    this.#config = config;
  }

  heard(ain: string, packetsPerSecond: number): void {
    this.#loads.set(ain, packetsPerSecond);
  }

  /** An AIN that is gone carries nothing. */
  forget(ain: string): void {
    this.#loads.delete(ain);
  }

  /** The size that the cell is to have from now on; undefined: the one that it has. */
  due(cell: string, metadata: Metadata, nowMs: number): CellSize | undefined {
    const { scale, ains } = this.#config;
    if (!scale) return undefined;
    const load = ains.reduce((sum, a) => sum + (a.cell === cell ? (this.#loads.get(a.name) ?? 0) : 0), 0);
    const next = nextSize(scale, cell, metadata, load);
    if (!next?.needsCalm) this.#calmSince.delete(cell);
    if (!next) return undefined;
    const since = this.#calmSince.get(cell) ?? nowMs;
    if (next.needsCalm) this.#calmSince.set(cell, since);
    if (next.needsCalm && nowMs - since < scale.calmMs) return undefined;
    this.#calmSince.delete(cell);
    log('info', 'scaled', { cell, ains: next.size.ains, packetsPerSecond: Math.round(load) });
    return next.size;
  }
}
