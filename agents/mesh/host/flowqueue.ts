/** Changes of a switch's flows in their order; those that come while one is under way go together as the next one. */
import type { Flow } from '../../lib/openflow/index.ts';

/** What a switch tells flows apart by. */
export const keyOf = ({ table, priority, match }: Flow): string => JSON.stringify([table, priority, match]);

interface Batch {
  /** By key; null: it goes. */
  readonly flows: Map<string, { readonly flow: Flow; readonly isAdded: boolean }>;
  readonly done: PromiseWithResolvers<void>;
}

export class FlowQueue {
  readonly #change: (added: readonly Flow[], removed: readonly Flow[]) => Promise<void>;
  #waiting: Batch | undefined;
  #busy: Promise<void> = Promise.resolve();

  constructor(change: (added: readonly Flow[], removed: readonly Flow[]) => Promise<void>) {
    this.#change = change;
  }

  /** Resolves when it is done. */
  push(added: readonly Flow[], removed: readonly Flow[]): Promise<void> {
    const batch = (this.#waiting ??= this.#next());
    for (const flow of added) batch.flows.set(keyOf(flow), { flow, isAdded: true });
    for (const flow of removed) batch.flows.set(keyOf(flow), { flow, isAdded: false });
    return batch.done.promise;
  }

  idle(): Promise<void> {
    return this.#busy;
  }

  #next(): Batch {
    const batch: Batch = { flows: new Map(), done: Promise.withResolvers<void>() };
    this.#busy = this.#busy.then(() => this.#take(batch));
    return batch;
  }

  #take({ flows, done }: Batch): Promise<void> {
    this.#waiting = undefined;
    const of = (isAdded: boolean): Flow[] => [...flows.values()].filter((f) => f.isAdded === isAdded).map((f) => f.flow);
    return this.#change(of(true), of(false)).then(done.resolve, done.reject);
  }
}
