/** JSON-RPC 1.0 as Open vSwitch speaks it (RFC 7047, section 4): values one after the other, without anything between them. */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { Type } from 'typebox';
import { parsed } from '../../../src/core/lightjson.ts';
import type { Described } from '../../../src/core/readonly.ts';

const message = Type.Object({
  id: Type.Optional(Type.Unknown()),
  method: Type.Optional(Type.String()),
  params: Type.Optional(Type.Array(Type.Unknown())),
  result: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.Unknown()),
});
type Message = Described<typeof message>;

const TIMEOUT_MS = 10_000;
/** A database that is larger than this at once is not one of a lab. */
const MOST_BYTES = 64 << 20;

/** Cuts a stream of JSON objects where each ends. npm's streaming parsers hand out values of one document. */
export class ObjectSplitter {
  #text = '';
  #at = 0;
  #depth = 0;
  #isString = false;
  #isEscaped = false;

  /** RangeError: an object is larger than what a peer may make us hold. */
  push(chunk: string): string[] {
    this.#text += chunk;
    if (this.#text.length > MOST_BYTES) throw new RangeError(`a message of more than ${MOST_BYTES} bytes`);
    const found: string[] = [];
    let start = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      const c = this.#text[this.#at];
      if (this.#isString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (c === '\\') this.#isEscaped = true;
        else if (c === '"') this.#isString = false;
      } else if (c === '"') this.#isString = true;
      else if (c === '{' || c === '[') this.#depth += 1;
      else if ((c === '}' || c === ']') && --this.#depth === 0) {
        found.push(this.#text.slice(start, this.#at + 1));
        start = this.#at + 1;
      }
    }
    this.#text = this.#text.slice(start);
    this.#at -= start;
    return found;
  }
}

export interface JsonRpcEvents {
  onNotification?(method: string, params: readonly unknown[]): void;
  /** Not after `close`. */
  onLost(why: string): void;
}

export class JsonRpc {
  readonly #socket: Socket;
  readonly #events: JsonRpcEvents;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  readonly #splitter = new ObjectSplitter();
  #id = 0;
  #closing = false;

  private constructor(socket: Socket, events: JsonRpcEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setEncoding('utf8').on('data', (chunk) => this.#read(String(chunk)));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('the other side closed the connection'));
  }

  static async connect(to: NetConnectOpts, events: JsonRpcEvents): Promise<JsonRpc> {
    const socket = connect(to);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new JsonRpc(socket, events);
  }

  /** The result; an Error with what the other side refused it with, or that it does not answer. */
  call(method: string, params: readonly unknown[]): Promise<unknown> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, (w) => w.reject(new Error(`${method}: no answer`))), TIMEOUT_MS);
      const settled =
        <T>(done: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          done(value);
        };
      this.#waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
      this.#socket.write(JSON.stringify({ id, method, params }));
    });
  }

  close(): void {
    this.#closing = true;
    this.#socket.end();
  }

  #read(chunk: string): void {
    try {
      for (const text of this.#splitter.push(chunk)) this.#handle(parsed(message, text));
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
  }

  #handle({ id, method, params = [], result, error }: Message): void {
    if (method === 'echo') this.#socket.write(JSON.stringify({ id, result: params, error: null }));
    else if (method !== undefined) this.#events.onNotification?.(method, params);
    else if (typeof id === 'number')
      this.#settle(id, (w) => {
        if (error === null || error === undefined) w.resolve(result);
        else w.reject(new Error(typeof error === 'string' ? error.trim() : JSON.stringify(error)));
      });
  }

  #settle(id: number, done: (waiting: { resolve: (result: unknown) => void; reject: (error: Error) => void }) => void): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting) done(waiting);
  }

  #end(why: string): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, (w) => w.reject(new Error(why)));
    if (this.#closing) return;
    this.#closing = true;
    this.#events.onLost(why);
  }
}
