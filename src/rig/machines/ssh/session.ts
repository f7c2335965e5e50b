/** One conversation with hostd: calls, commands and files over one channel, until the connection ends. */
import { PassThrough, Writable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { CODES, NetrigError, type ErrorCode } from '../../../core/errors.ts';
import { checked, parsed } from '../../../core/lightjson.ts';
import type { Exit, HostProcess, SpawnOptions } from '../../hosts/host.ts';
import { LOST } from '../../hosts/exec.ts';
import {
  encode,
  encodeFile,
  exitMessage,
  frameReader,
  KIND,
  METHODS,
  PING_MS,
  remoteError,
  type Answer,
  type Frame,
  type Method,
  type RemoteError,
} from '../hostd/protocol.ts';

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** Of a file that is on its way. */
  readonly data: Buffer[];
}

interface Running {
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  readonly end: (exit: Exit) => void;
}

export class Session {
  readonly #channel: ClientChannel;
  readonly #label: string;
  readonly #pending = new Map<number, Pending>();
  readonly #running = new Map<number, Running>();
  readonly #ping: NodeJS.Timeout;
  #next = 0;
  #over: string | null = null;
  #said = '';
  /** Resolves with the reason when it is over. */
  readonly ended: Promise<string>;

  constructor(label: string, channel: ClientChannel) {
    this.#label = label;
    this.#channel = channel;
    let resolveEnded: (why: string) => void = () => undefined;
    this.ended = new Promise((resolve) => {
      resolveEnded = resolve;
    });
    channel.on(
      'data',
      frameReader((frame) => this.#handle(frame)),
    );
    channel.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-2000);
    });
    channel.on('error', () => undefined);
    channel.on('close', () => {
      const why = this.#said.trim() || 'the connection was closed';
      this.#finish(why);
      resolveEnded(why);
    });
    this.#ping = setInterval(() => this.#send(KIND.ping, 0), PING_MS);
    this.#ping.unref();
  }

  /** hostd says so itself once it listens. */
  async ready(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const greeting = new Promise<void>((resolve, reject) => {
      this.#pending.set(0, { resolve: () => resolve(), reject, data: [] });
      timer = setTimeout(
        () => reject(new NetrigError('TIMEOUT', `${this.#label}: hostd does not start within ${timeoutMs / 1000} s: ${this.#said}`)),
        timeoutMs,
      );
    });
    await greeting.finally(() => clearTimeout(timer));
  }

  async call<M extends Method>(method: M, ...params: unknown[]): Promise<Answer<M>> {
    return checked(METHODS[method], await this.#ask(KIND.call, JSON.stringify({ method, params })));
  }

  /** As `call`; what it does there ends when the signal fires, and the call with it. */
  async callUntil<M extends Method>(signal: AbortSignal | undefined, method: M, ...params: unknown[]): Promise<Answer<M>> {
    const answer = this.call(method, ...params);
    const id = this.#next;
    const cancel = (): void => this.#send(KIND.cancel, id);
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    return answer.finally(() => signal?.removeEventListener('abort', cancel));
  }

  async put(path: string, content: Buffer): Promise<void> {
    await this.#ask(KIND.put, encodeFile(path, content));
  }

  async get(path: string): Promise<Buffer> {
    const data: Buffer[] = [];
    await this.#ask(KIND.get, path, data);
    return Buffer.concat(data);
  }

  spawn(argv: readonly string[], { env, container }: SpawnOptions): HostProcess {
    const id = ++this.#next;
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    let end: (exit: Exit) => void = () => undefined;
    const exited = new Promise<Exit>((resolve) => {
      end = resolve;
    });
    const stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#send(KIND.stdin, id, chunk);
        done();
      },
      final: (done) => {
        this.#send(KIND.stdinEnd, id);
        done();
      },
    });
    if (this.#over === null) {
      this.#running.set(id, { stdout, stderr, end });
      this.#pending.set(id, {
        resolve: () => undefined,
        reject: (error) => {
          stderr.write(error.message);
          this.#exit(id, { code: 126, signal: null });
        },
        data: [],
      });
      this.#send(KIND.spawn, id, JSON.stringify({ argv, ...(env ? { env } : {}), ...(container === undefined ? {} : { container }) }));
    } else {
      stdout.end();
      stderr.end();
      end({ code: null, signal: LOST });
    }
    return {
      stdin,
      stdout,
      stderr,
      exited,
      kill: (signal) => this.#send(KIND.signal, id, signal),
      killGroup: (signal) => this.#send(KIND.signal, id, `-${signal}`),
    };
  }

  close(): void {
    this.#channel.end();
    this.#channel.close();
  }

  #ask(kind: number, payload: string | Buffer, data: Buffer[] = []): Promise<unknown> {
    if (this.#over !== null) return Promise.reject(this.#lost());
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, data });
      this.#send(kind, id, payload);
    });
  }

  #send(kind: number, id: number, payload: Buffer | string = ''): void {
    if (this.#over === null) this.#channel.write(encode(kind, id, payload));
  }

  #handle({ kind, id, payload }: Frame): void {
    const pending = this.#pending.get(id);
    switch (kind) {
      case KIND.result:
        this.#pending.delete(id);
        return pending?.resolve(JSON.parse(payload.toString()));
      case KIND.error:
        this.#pending.delete(id);
        return pending?.reject(this.#errorOf(parsed(remoteError, payload.toString())));
      case KIND.data:
        return void pending?.data.push(Buffer.from(payload));
      case KIND.stdout:
        return void this.#running.get(id)?.stdout.write(Buffer.from(payload));
      case KIND.stderr:
        return void this.#running.get(id)?.stderr.write(Buffer.from(payload));
      case KIND.exit: {
        this.#exit(id, parsed(exitMessage, payload.toString()));
        return;
      }
    }
  }

  #exit(id: number, exit: Exit): void {
    const running = this.#running.get(id);
    this.#running.delete(id);
    this.#pending.delete(id);
    running?.stdout.end();
    running?.stderr.end();
    running?.end(exit);
  }

  #errorOf({ code, message, hint }: RemoteError): NetrigError {
    const known = Object.hasOwn(CODES, code) ? (code as ErrorCode) : 'INTERNAL';
    return new NetrigError(known, `${this.#label}: ${message}`, { hint });
  }

  #lost(): NetrigError {
    return new NetrigError('HOST_LOST', `${this.#label}: ${this.#over}`, { hint: 'netrig destroy cleans up once it can be reached again' });
  }

  #finish(why: string): void {
    if (this.#over !== null) return;
    this.#over = why;
    clearInterval(this.#ping);
    // Commands first: each of them is among the pending, too, and would end as one that could not be started.
    for (const id of [...this.#running.keys()]) this.#exit(id, { code: null, signal: LOST });
    for (const { reject } of this.#pending.values()) reject(this.#lost());
    this.#pending.clear();
  }
}
