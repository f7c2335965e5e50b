/**
 * Answers of a name server over TCP (RFC 1035 section 4.2.2): each has its length before it, and becomes another one of the same length,
 * so that no sequence number changes. A segment waits here until the messages that it has a part of are whole.
 */
import type { Segment } from './segment.ts';

/** What a connection may make a DMN hold; a message has at most 64 KiB. */
const MOST_BYTES = 256 * 1024;
const MOST_WAITING = 64;
const HALF = 2 ** 31;

/** `broken`: the connection cannot go on. `lost`: its sender sends it again. */
export type Heard = 'passed' | 'waits' | 'lost' | 'broken';

interface Waiting {
  readonly from: number;
  readonly to: number;
  readonly pass: (data: Buffer) => void;
}

export class AnswerStream {
  readonly #first: number;
  /** As it came, without gaps; and what of it has been translated, message by message. */
  #came = Buffer.alloc(0);
  #said = Buffer.alloc(0);
  #waiting: Waiting[] = [];

  /** `first`: sequence number of the first byte. */
  constructor(first: number) {
    this.#first = first;
  }

  /** `pass`: with the data that the segment has then. `translate`: a message of the same length; undefined: there is none. */
  hear({ sequence, data }: Segment, translate: (message: Buffer) => Buffer | undefined, pass: (data: Buffer) => void): Heard {
    const from = (sequence - this.#first) >>> 0;
    if (data.length === 0) {
      pass(data);
      return 'passed';
    }
    // From before the first byte (it asks whether anybody is there), or after a gap.
    if (from >= HALF || from > this.#came.length) return 'lost';
    const to = from + data.length;
    if (to > MOST_BYTES || this.#waiting.length >= MOST_WAITING) return 'broken';
    if (to > this.#came.length) this.#came = Buffer.concat([this.#came, data.subarray(this.#came.length - from)]);
    for (let at = this.#said.length; this.#came.length >= at + 2; at = this.#said.length) {
      const end = at + 2 + this.#came.readUInt16BE(at);
      if (this.#came.length < end) break;
      const message = translate(this.#came.subarray(at + 2, end));
      if (message?.length !== end - at - 2) return 'broken';
      this.#said = Buffer.concat([this.#said, this.#came.subarray(at, at + 2), message]);
    }
    this.#waiting.push({ from, to, pass });
    const isWhole = (w: Waiting): boolean => w.to <= this.#said.length;
    for (const w of this.#waiting.filter(isWhole)) w.pass(this.#said.subarray(w.from, w.to));
    this.#waiting = this.#waiting.filter((w) => !isWhole(w));
    return to <= this.#said.length ? 'passed' : 'waits';
  }
}

/** Connections, the one that was silent longest goes first. */
export class AnswerStreams {
  readonly #most: number;
  readonly #streams = new Map<string, AnswerStream>();

  constructor(most: number) {
    this.#most = most;
  }

  open(flow: string, first: number): void {
    this.#streams.delete(flow);
    this.#streams.set(flow, new AnswerStream(first));
    const [oldest] = this.#streams.keys();
    if (this.#streams.size > this.#most && oldest !== undefined) this.#streams.delete(oldest);
  }

  of(flow: string): AnswerStream | undefined {
    const stream = this.#streams.get(flow);
    if (stream) {
      this.#streams.delete(flow);
      this.#streams.set(flow, stream);
    }
    return stream;
  }

  close(flow: string): void {
    this.#streams.delete(flow);
  }
}
