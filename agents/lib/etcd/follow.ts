/** A range of an etcd as it is: its rows first, then every change. After a loss it is as if nothing had been missed. */
import { log } from '../rpc.ts';
import { DeniedError, type Etcd, type Range } from './client.ts';
import type { Changed, Watching } from './watch.ts';

const AGAIN_MS = 200;

/** A row that was written, or is gone (`value` null). */
export interface Told<T> {
  readonly key: string;
  readonly value: T | null;
}

export interface FollowEvents<T> {
  /** What a row says. Others may have written it: where this throws the row is passed over, and told in the log. */
  readonly read: (value: string, key: string) => T;
  /** Of rows that are there first (also none), or that changed. `revision`: what the range is up to date with. */
  readonly onChanges: (changes: readonly Told<T>[], revision: number) => void;
  /** It is not followed any more. */
  readonly onDenied: (why: string) => void;
}

export function follow<T>(client: Etcd, range: Range, { read, onChanges, onDenied }: FollowEvents<T>): Watching {
  const known = new Map<string, number>();
  let watching: Watching | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const again = (): void => {
    if (!stopped) timer = setTimeout(begin, AGAIN_MS);
  };
  const tell = (changes: readonly Changed[], revision: number): void => {
    // A row is never followed by an older one, whoever sends it.
    const fresh = changes.filter(({ key, revision: own }) => own > (known.get(key) ?? 0));
    for (const { key, revision: own } of fresh) known.set(key, own);
    onChanges(
      fresh.flatMap((change) => readRow(change, read)),
      revision,
    );
  };
  const begin = (): void => {
    client.list(range).then(
      ({ rows, revision }) => {
        if (stopped) return;
        const there = new Set(rows.map((r) => r.key));
        const gone = [...known.keys()].filter((key) => !there.has(key)).map((key): Changed => ({ key, value: null, revision }));
        tell([...rows, ...gone], revision);
        watching = client.watches.watch(range, revision + 1, {
          onChanges: (changes) => tell(changes, changes.at(-1)!.revision),
          onMissed: () => {
            // Revisions may be another server's; keys that are not there any more are gone.
            for (const key of known.keys()) known.set(key, 0);
            again();
          },
          // While rights of anybody change, etcd may refuse a watch that is allowed: whether it is, reading tells.
          onDenied: () => again(),
        });
      },
      (error: unknown) => {
        if (stopped) return;
        if (error instanceof DeniedError) onDenied(error.message);
        else {
          log('warn', 'not read', { range: range.key, why: (error as Error).message });
          again();
        }
      },
    );
  };
  begin();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      watching?.stop();
    },
  };
}

/** None where it is no row. */
function readRow<T>({ key, value }: Changed, read: FollowEvents<T>['read']): Told<T>[] {
  if (value === null) return [{ key, value }];
  try {
    return [{ key, value: read(value, key) }];
  } catch (error) {
    log('warn', 'malformed row', { key, why: (error as Error).message });
    return [];
  }
}
