/**
 * Freshness of messages without a clock (R4-15): the side that is to obey hands out a random nonce, and obeys only
 * messages that carry it, in rising sequence. An agent that restarts is challenged anew, whatever its host's clock
 * says; an old message replayed carries an old nonce or an old number. Pure but for the source of nonces.
 */
import type { Message } from './feedback.ts';

export type Freshness = 'fresh' | 'unacquainted' | 'replayed';

interface Peer {
  /** Nonce in use; 0: none yet. */
  nonce: bigint;
  lastSequence: bigint;
  /** Handed out, but not seen in a message yet. It replaces the nonce in use only when its addressee uses it. */
  offered: bigint | undefined;
}

/** The side that obeys feedback. */
export class ReceiverSession {
  /** Messages that were sent before one that arrived, and did not. */
  missing = 0;
  readonly #peers = new Map<string, Peer>();
  readonly #freshNonce: () => bigint;

  constructor(freshNonce: () => bigint) {
    this.#freshNonce = freshNonce;
  }

  judge({ server, nonce, sequence }: Message): Freshness {
    const peer = this.#peers.get(server);
    if (peer && nonce !== 0n && nonce === peer.nonce && sequence > peer.lastSequence) {
      this.missing += Number(sequence - peer.lastSequence) - 1;
      peer.lastSequence = sequence;
      return 'fresh';
    }
    if (peer?.offered !== undefined && nonce === peer.offered) {
      this.#peers.set(server, { nonce, lastSequence: sequence, offered: undefined });
      return 'fresh';
    }
    return nonce === 0n || !peer ? 'unacquainted' : 'replayed';
  }

  /** The nonce to challenge a server with after a message that was not fresh. */
  challenge(server: string): bigint {
    const peer = this.#peers.get(server) ?? { nonce: 0n, lastSequence: 0n, offered: undefined };
    this.#peers.set(server, peer);
    return (peer.offered ??= this.#freshNonce());
  }
}

/** The side that sends feedback. */
export class SenderSession {
  /** Random: a challenge of an earlier life answers no message of this one. */
  readonly #first: bigint;
  readonly #peers = new Map<string, { nonce: bigint; sequence: bigint; answered: bigint }>();

  constructor(first: bigint) {
    this.#first = first;
  }

  stamp(to: string): { nonce: bigint; sequence: bigint } {
    const peer = this.#peers.get(to) ?? { nonce: 0n, sequence: this.#first, answered: this.#first };
    this.#peers.set(to, peer);
    peer.sequence += 1n;
    return { nonce: peer.nonce, sequence: peer.sequence };
  }

  /** Has it been challenged since it was first spoken to? */
  isAcquainted(server: string): boolean {
    return (this.#peers.get(server)?.nonce ?? 0n) !== 0n;
  }

  /** False: the challenge answers nothing that was sent since the last one. */
  accept({ server, nonce, sequence }: Message): boolean {
    const peer = this.#peers.get(server);
    if (!peer || sequence <= peer.answered || sequence > peer.sequence || nonce === 0n) return false;
    peer.nonce = nonce;
    peer.answered = sequence;
    return true;
  }
}
