/** The feedback channel: one UDP socket on the provider's network. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { log } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { decodeMessage, encodeMessage, MAX_ENTRIES, type Feedback, type Message } from './feedback.ts';
import { SenderSession, ReceiverSession } from './session.ts';

/** Periods between greetings of a peer that has not answered. */
const GREET_EVERY = 5;

const randomNonce = (): bigint => randomBytes(8).readBigUInt64BE() | 1n;
/** Half of the range is left to count upwards in. */
const randomSequence = (): bigint => randomBytes(8).readBigUInt64BE() >> 1n;

export class Exchange {
  readonly #config: AgentConfig;
  readonly #key: Buffer;
  readonly #onFeedback: (feedback: readonly Feedback[]) => void;
  readonly #socket: Socket = createSocket('udp4');
  readonly #receiver = new ReceiverSession(randomNonce);
  readonly #sender = new SenderSession(randomSequence());
  /** Servers challenged in this period: a flood of old messages is not answered one by one. */
  readonly #challenged = new Set<string>();
  #periods = 0;
  readonly #counters = {
    messagesSent: 0,
    feedbackSent: 0,
    feedbackReceived: 0,
    feedbackRejected: 0,
    feedbackReplayed: 0,
    feedbackUnacquainted: 0,
    challengesSent: 0,
  };

  constructor(config: AgentConfig, key: Buffer, onFeedback: (feedback: readonly Feedback[]) => void) {
    this.#config = config;
    this.#key = key;
    this.#onFeedback = onFeedback;
    this.#socket.on('message', (datagram) => this.#receive(datagram));
  }

  async open(): Promise<void> {
    const { port, address } = this.#config.provider;
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject);
      this.#socket.bind(port, address, () => {
        this.#socket.off('error', reject);
        resolve();
      });
    });
    this.#socket.on('error', (error) => log('error', 'feedback socket', { message: error.message }));
    this.#greet();
  }

  close(): void {
    this.#socket.close();
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, feedbackMissing: this.#receiver.missing };
  }

  /** Once per period. */
  tick(): void {
    this.#challenged.clear();
    this.#periods += 1;
    if (this.#periods % GREET_EVERY === 0) this.#greet();
  }

  /** Empty feedback to those that have not challenged this agent yet, so that they do now and not when it is urgent. */
  #greet(): void {
    for (const server of Object.keys(this.#config.provider.peers)) if (!this.#sender.isAcquainted(server)) this.#sendTo(server, []);
  }

  /** Feedback by the server that it is for. */
  send(to: string, feedback: readonly Feedback[]): void {
    for (let at = 0; at < feedback.length; at += MAX_ENTRIES) this.#sendTo(to, feedback.slice(at, at + MAX_ENTRIES));
    this.#counters.feedbackSent += feedback.length;
  }

  #sendTo(to: string, entries: readonly Feedback[]): void {
    this.#transmit(to, { kind: 'feedback', server: this.#config.server, ...this.#sender.stamp(to), entries });
    this.#counters.messagesSent += 1;
  }

  #transmit(to: string, message: Message): void {
    const address = this.#config.provider.peers[to];
    // A peer that is not there is its own problem: an unreachable address must not stop the control of the others.
    if (address !== undefined) this.#socket.send(encodeMessage(message, this.#key), this.#config.provider.port, address, () => undefined);
  }

  #receive(datagram: Buffer): void {
    const message = decodeMessage(datagram, this.#key);
    if (!message || this.#config.provider.peers[message.server] === undefined) {
      this.#counters.feedbackRejected += 1;
      return;
    }
    if (message.kind === 'challenge') {
      if (!this.#sender.accept(message)) this.#counters.feedbackReplayed += 1;
      return;
    }
    const freshness = this.#receiver.judge(message);
    if (freshness === 'fresh') {
      this.#counters.feedbackReceived += message.entries.length;
      this.#onFeedback(message.entries);
      return;
    }
    this.#counters[freshness === 'replayed' ? 'feedbackReplayed' : 'feedbackUnacquainted'] += 1;
    if (this.#challenged.has(message.server)) return;
    this.#challenged.add(message.server);
    this.#counters.challengesSent += 1;
    // To the server's known address, not to where the message came from.
    this.#transmit(message.server, {
      kind: 'challenge',
      server: this.#config.server,
      nonce: this.#receiver.challenge(message.server),
      sequence: message.sequence,
      entries: [],
    });
  }
}
