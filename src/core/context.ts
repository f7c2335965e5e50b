import { EventBus } from './events.ts';
import { asNetrigError, NetrigError } from './errors.ts';

/** What every long operation takes: how to stop, and where to say what happens. */
export interface Context {
  readonly signal: AbortSignal;
  readonly events: EventBus;
}

export const quietContext = (): Context => ({ signal: new AbortController().signal, events: new EventBus() });

/** Runs one named stage, reporting its start, its end or failure, and its duration. */
export async function stage<T>(
  ctx: Context,
  name: string,
  work: () => Promise<T>,
  options: { detail?: string; expectedSeconds?: number; result?: (value: T) => string } = {},
): Promise<T> {
  throwIfAborted(ctx.signal);
  const startedMs = performance.now();
  const { detail, expectedSeconds } = options;
  ctx.events.emit({
    type: 'stage-started',
    stage: name,
    ...(detail === undefined ? {} : { detail }),
    ...(expectedSeconds === undefined ? {} : { expectedSeconds }),
  });
  const value = await work().catch((thrown: unknown): never => {
    const { code, message } = asNetrigError(thrown);
    ctx.events.emit({ type: 'stage-failed', stage: name, seconds: (performance.now() - startedMs) / 1000, code, message });
    throw thrown;
  });
  ctx.events.emit({
    type: 'stage-ended',
    stage: name,
    seconds: (performance.now() - startedMs) / 1000,
    ...(options.result ? { detail: options.result(value) } : {}),
  });
  return value;
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new NetrigError('INTERRUPTED', 'interrupted');
}

/** Sleeps, or rejects with INTERRUPTED as soon as the signal fires. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(new NetrigError('INTERRUPTED', 'interrupted'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Runs `work` over `items`, at most `limit` at a time; the first failure stops the rest from starting. */
export async function mapConcurrent<T, R>(items: readonly T[], limit: number, work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  let failed = false;
  const lane = async () => {
    while (!failed && next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index] as T, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, lane));
  for (const settled of lanes) if (settled.status === 'rejected') throw settled.reason;
  return results;
}
