/** Typed calls both ways (birpc), one JSON message a line: between the testbed and its agents, and among agents. */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { createBirpc, type BirpcReturn } from 'birpc';

/** A typed error of an operation: its code is for programs, and passes the channel. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
  }
}

export interface CallsOptions {
  readonly input: Readable;
  readonly write: (line: string) => void;
  /** What the other side may call. */
  readonly local: object;
  /** Default: no limit. */
  readonly timeoutMs?: number;
  /** Every line that came, also an empty one, which says no more than that the other side is alive. */
  readonly onLine?: () => void;
  /** A line that is no message. It is passed over. */
  readonly onMalformed?: () => void;
}

/** A line that does not end is no message, and would fill the memory. */
const MAX_LINE_BYTES = 64 << 20;

export type Calls<Remote extends object> = BirpcReturn<Remote, object>;

interface Message {
  readonly t: 'q' | 's';
  readonly i?: string;
  readonly e?: Error;
}

/** An error as JSON has it. */
interface PlainError {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
}

export function callsOverLines<Remote extends object>(options: CallsOptions): Calls<Remote> {
  const { input, write, local, timeoutMs = -1, onLine, onMalformed } = options;
  return createBirpc<Remote>(local as Record<string, unknown>, {
    post: write,
    on: (receive) => {
      let unended = 0;
      input.on('data', (chunk: Buffer | string) => {
        const end = chunk.lastIndexOf('\n');
        unended = end < 0 ? unended + chunk.length : chunk.length - end - 1;
        if (unended <= MAX_LINE_BYTES) return;
        onMalformed?.();
        input.destroy();
      });
      createInterface({ input })
        .on('line', (line) => {
          onLine?.();
          if (line === '') return;
          const message = parse(line);
          if (message) receive(message);
          else onMalformed?.();
        })
        .on('error', () => undefined);
    },
    serialize: (message) => JSON.stringify(message, (_, value: unknown) => (value instanceof Error ? plain(value) : value)),
    bind: 'functions',
    // What every object has is no function of the interface.
    resolver: (name, found) => (name in Object.prototype ? undefined : found),
    timeout: timeoutMs,
  });
}

const plain = (error: Error): PlainError => ({
  name: error.name,
  message: error.message,
  ...(error instanceof Refusal ? { code: error.code } : {}),
});

/** By hand: it stands before every message of agents whose start and whose milliseconds count. */
function parse(line: string): Message | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { t, i, m, a, e } = value as Readonly<Record<string, unknown>>;
  if (i !== undefined && typeof i !== 'string') return undefined;
  if (t === 'q') return typeof m === 'string' && Array.isArray(a) ? (value as Message) : undefined;
  if (t !== 's' || i === undefined) return undefined;
  return e === undefined || e === null ? (value as Message) : { t, i, e: errorOf(e) };
}

function errorOf(value: unknown): Error {
  const { name, message, code } = (typeof value === 'object' && value !== null ? value : {}) as PlainError;
  const text = typeof message === 'string' ? message : 'failed';
  return name === 'Refusal' && typeof code === 'string' ? new Refusal(code, text) : new Error(text);
}
