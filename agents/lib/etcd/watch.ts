/** Changes of keys as etcd tells them, many ranges on one stream. It is opened again when it is lost; nothing is told twice or left out. */
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { rangeFields, rowOf, type Range, type Row } from './client.ts';
import { codec, DELETED, type WatchResponse } from './messages.ts';

const AGAIN_MS = 100;

/** A key that was written, or is gone (`value` null). */
export interface Changed extends Omit<Row, 'value'> {
  readonly value: string | null;
}

export interface WatchEvents {
  onChanges(changes: readonly Changed[]): void;
  /** Changes were missed: the server keeps them no more, or it is another one. */
  onMissed(): void;
  /** The server lets this user not see it. */
  onDenied(why: string): void;
}

interface Watch extends WatchEvents {
  readonly range: Range;
  /** The next revision that it has not been told of. */
  next: number;
}

export interface Watching {
  stop(): void;
}

const PATH = '/etcdserverpb.Watch/Watch';
const REQUEST = codec('WatchRequest');
const RESPONSE = codec('WatchResponse');

export class WatchStream {
  readonly #client: Client;
  readonly #watches = new Map<number, Watch>();
  /** Watches that were asked for on this stream and not answered: etcd answers in their order, and does not say which one it refuses. */
  #asked: number[] = [];
  #stream: ClientDuplexStream<object, unknown> | undefined;
  #last = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #lostAtMs: number | null = null;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Since when the server is not heard (performance.now); null: it is. */
  get lostAtMs(): number | null {
    return this.#lostAtMs;
  }

  /** What happens from a revision on. */
  watch(range: Range, from: number, events: WatchEvents): Watching {
    const id = ++this.#last;
    this.#watches.set(id, { range, next: from, ...events });
    if (this.#stream) this.#create(id);
    else this.#open();
    return {
      stop: () => {
        if (this.#watches.delete(id)) this.#stream?.write({ cancelRequest: { watchId: id } });
      },
    };
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
  }

  #open(): void {
    if (this.#closed || this.#stream || this.#timer) return;
    const stream = this.#client.makeBidiStreamRequest(
      PATH,
      (m: object) => REQUEST.encode(m),
      (b: Buffer) => RESPONSE.decode(b),
    );
    this.#stream = stream;
    this.#asked = [];
    stream.on('data', (message) => {
      if (this.#stream === stream) this.#hear(message as WatchResponse);
    });
    const lost = (): void => {
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      this.#lostAtMs ??= performance.now();
      if (this.#closed) return;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#open();
      }, AGAIN_MS);
    };
    stream.on('error', lost);
    stream.on('end', lost);
    for (const id of this.#watches.keys()) this.#create(id);
  }

  #create(id: number): void {
    const { range, next } = this.#watches.get(id)!;
    this.#asked.push(id);
    this.#stream?.write({ createRequest: { ...rangeFields(range), startRevision: next, watchId: id } });
  }

  #hear({ watchId, canceled, compactRevision, cancelReason, events, created, header }: WatchResponse): void {
    this.#lostAtMs = null;
    const id = (created ? this.#asked.shift() : undefined) ?? watchId;
    const watch = this.#watches.get(id);
    if (!watch) return;
    if (canceled) {
      this.#watches.delete(id);
      if (compactRevision > 0) watch.onMissed();
      else watch.onDenied(cancelReason);
      return;
    }
    // A server that has forgotten what it told is another one.
    if (created && header.revision + 1 < watch.next) {
      this.#watches.delete(id);
      this.#stream?.write({ cancelRequest: { watchId: id } });
      watch.onMissed();
      return;
    }
    if (events.length === 0) return;
    const changes = events.map(({ type, kv }): Changed => ({ ...rowOf(kv), value: type === DELETED ? null : kv.value.toString() }));
    watch.next = changes.at(-1)!.revision + 1;
    watch.onChanges(changes);
  }
}
