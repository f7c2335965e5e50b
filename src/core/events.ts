/** The engine's events: terminal, JSON lines and the evidence log subscribe; nothing prints on its own. */

export type RunEvent =
  | {
      readonly type: 'run-started';
      readonly lab: string;
      readonly topology: string;
      readonly results: string;
      readonly cells: number;
      readonly expectedSeconds: number;
    }
  /** Cells are repeated until they are decided. */
  | {
      readonly type: 'run-extended';
      readonly cells: readonly string[];
      readonly after: number;
      readonly until: number;
      readonly expectedSeconds: number;
    }
  | { readonly type: 'cell-started'; readonly cell: string; readonly index: number; readonly of: number; readonly repeat: number }
  | { readonly type: 'stage-started'; readonly stage: string; readonly detail?: string; readonly expectedSeconds?: number }
  | { readonly type: 'stage-ended'; readonly stage: string; readonly detail?: string; readonly seconds: number }
  | { readonly type: 'stage-failed'; readonly stage: string; readonly seconds: number; readonly code: string; readonly message: string }
  /** What ended the command. */
  | { readonly type: 'error'; readonly code: string; readonly message: string; readonly hint?: string }
  | {
      readonly type: 'progress';
      readonly stage: string;
      readonly elapsedSeconds: number;
      readonly expectedSeconds: number;
      readonly detail: string;
    }
  | {
      readonly type: 'verdict';
      readonly cell: string;
      readonly target: string;
      readonly outcome: 'pass' | 'fail' | 'inconclusive';
      readonly summary: string;
    }
  | { readonly type: 'note'; readonly level: 'info' | 'warn' | 'error'; readonly text: string }
  | { readonly type: 'run-ended'; readonly outcome: string; readonly exit: number; readonly seconds: number; readonly report?: string };

export type Listener = (event: RunEvent & { readonly at: string }) => void;

export class EventBus {
  readonly #listeners = new Set<Listener>();

  on(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: RunEvent): void {
    const stamped = { ...event, at: new Date().toISOString() };
    for (const listener of this.#listeners) {
      try {
        listener(stamped);
      } catch (error) {
        // A view that fails (a full disk under the event log) must not stop what it watches.
        this.#listeners.delete(listener);
        process.stderr.write(`an event listener failed and was removed: ${(error as Error).message}\n`);
      }
    }
  }
}
