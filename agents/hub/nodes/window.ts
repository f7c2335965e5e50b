/** Queries of AINs that were heard: each is answered once (RFC 4303's anti-replay window, for each sender). */

const SIZE = 4096n;
const MOST_SESSIONS = 256;

interface Seen {
  session: bigint;
  highest: bigint;
  readonly heard: BigUint64Array;
}

export class Window {
  readonly #senders = new Map<number, Seen>();
  /** Sessions that are over, by sender: recorded queries of them are heard no more. */
  readonly #over = new Map<number, bigint[]>();

  /** Not heard before. A new session begins a new window: its sender has started anew. */
  isNew(sender: number, session: bigint, number: bigint): boolean {
    let seen = this.#senders.get(sender);
    if (seen?.session !== session) {
      const over = this.#over.get(sender) ?? [];
      if (over.includes(session)) return false;
      if (seen) this.#over.set(sender, [...over, seen.session].slice(-MOST_SESSIONS));
      this.#senders.set(sender, (seen = { session, highest: 0n, heard: new BigUint64Array(Number(SIZE)) }));
    }
    if (number === 0n || number + SIZE <= seen.highest) return false;
    const slot = Number(number % SIZE);
    if (seen.heard[slot] === number) return false;
    seen.heard[slot] = number;
    if (number > seen.highest) seen.highest = number;
    return true;
  }
}
