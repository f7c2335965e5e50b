/**
 * Answers of a name server over TCP (RFC 1035 section 4.2.2): each has its length before it, and becomes another one of the same length,
 * so that no sequence number changes. A segment waits here until the messages that it has a part of are whole; one that is longer than
 * what its server sends without an acknowledgement, or of which a segment was lost, ends the connection.
 */
import type { Segment } from './segment.ts';

/** What has been translated is kept so long, for segments that are sent again. */
const KEPT_BYTES = 64 * 1024;
const MOST_WAITING = 64;

/** `broken`: the connection cannot go on. `lost`: nothing can be made of it, as if it had been lost on its way. */
export type Heard = 'passed' | 'waits' | 'lost' | 'broken';

interface Waiting {
  readonly from: number;
  readonly to: number;
  readonly pass: (data: Buffer) => void;
}

export class AnswerStream {
  readonly #first: number;
  /** What has been translated, whole messages, but for the first `#gone` bytes; and what came after it. */
  #said: Buffer = Buffer.alloc(0);
  #gone = 0;
  #rest: Buffer = Buffer.alloc(0);
  #waiting: Waiting[] = [];

  /** `first`: sequence number of the first byte. */
  constructor(first: number) {
    this.#first = first;
  }

  /** `pass`: with the data that the segment has then. `translate`: a message of the same length; undefined: there is none. */
  hear({ sequence, data }: Segment, translate: (message: Buffer) => Buffer | undefined, pass: (data: Buffer) => void): Heard {
    // Sequence numbers begin anew after 2^32.
    const from = this.#saidTo + ((sequence - this.#first - this.#saidTo) | 0);
    const [to, came] = [from + data.length, this.#saidTo + this.#rest.length];
    // From before the first byte (it asks whether anybody is there), too old, or after a gap.
    if (from < this.#gone || from > came) return 'lost';
    // Its sender has not got an acknowledgement, and sends nothing new: the message will not be whole.
    if (this.#waiting.some((w) => w.from === from) || this.#waiting.length >= MOST_WAITING) return 'broken';
    if (to > came) this.#rest = Buffer.concat([this.#rest, data.subarray(came - from)]);
    if (!this.#translate(translate)) return 'broken';
    this.#waiting.push({ from, to, pass });
    const isWhole = (w: Waiting): boolean => w.to <= this.#saidTo;
    for (const w of this.#waiting.filter(isWhole)) w.pass(this.#said.subarray(w.from - this.#gone, w.to - this.#gone));
    this.#waiting = this.#waiting.filter((w) => !isWhole(w));
    const old = this.#said.length - KEPT_BYTES;
    if (old > 0) {
      this.#said = Buffer.from(this.#said.subarray(old));
      this.#gone += old;
    }
    return to <= this.#saidTo ? 'passed' : 'waits';
  }

  get #saidTo(): number {
    return this.#gone + this.#said.length;
  }

  /** Messages that are whole. false: one cannot be translated. */
  #translate(translate: (message: Buffer) => Buffer | undefined): boolean {
    const said: Buffer[] = [this.#said];
    let at = 0;
    while (this.#rest.length >= at + 2) {
      const end = at + 2 + this.#rest.readUInt16BE(at);
      if (this.#rest.length < end) break;
      const message = translate(this.#rest.subarray(at + 2, end));
      if (message?.length !== end - at - 2) return false;
      said.push(this.#rest.subarray(at, at + 2), message);
      at = end;
    }
    if (at === 0) return true;
    this.#said = Buffer.concat(said);
    this.#rest = Buffer.from(this.#rest.subarray(at));
    return true;
  }
}

/** Connections; of each network of servers, the one that was silent longest goes first. */
export class AnswerStreams {
  readonly #most: number;
  readonly #byNetwork = new Map<number, Map<string, AnswerStream>>();

  /** `most`: of a network. */
  constructor(most: number) {
    this.#most = most;
  }

  open(network: number, flow: string, first: number): void {
    const own = this.#byNetwork.get(network) ?? new Map<string, AnswerStream>();
    this.#byNetwork.set(network, own);
    own.delete(flow);
    own.set(flow, new AnswerStream(first));
    const [oldest] = own.keys();
    if (own.size > this.#most && oldest !== undefined) own.delete(oldest);
  }

  of(network: number, flow: string): AnswerStream | undefined {
    const own = this.#byNetwork.get(network);
    const stream = own?.get(flow);
    if (own && stream) {
      own.delete(flow);
      own.set(flow, stream);
    }
    return stream;
  }

  close(network: number, flow: string): void {
    this.#byNetwork.get(network)?.delete(flow);
  }
}
