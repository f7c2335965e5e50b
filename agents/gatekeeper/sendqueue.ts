/**
 * What has to be said again. A change is said three times, in case a message is lost; a rate that holds on the other
 * side and has not changed is repeated only now and then, so often that most of them may be lost.
 */
import type { Feedback } from './feedback.ts';

/** Smaller changes can wait for the next repetition. */
const NOTICEABLE = 0.01;
const REPEATED_EVERY_PERIODS = 5;
const SAID_AGAIN = 2;

interface Said {
  readonly rateBps: number;
  readonly period: number;
  readonly again: number;
}

export class SendQueue {
  readonly #said = new Map<string, Map<string, Said>>();
  #period = 0;

  /** Of one period's feedback, what is to be sent now. */
  due(feedback: readonly Feedback[], periodMs: number): Feedback[] {
    this.#period += 1;
    return feedback.filter((entry) => {
      let senders = this.#said.get(entry.receiver);
      if (!senders) this.#said.set(entry.receiver, (senders = new Map<string, Said>()));
      const said = senders.get(entry.sender);
      const changed = said === undefined || Math.abs(entry.rateBps - said.rateBps) > NOTICEABLE * said.rateBps;
      const stands =
        said !== undefined && this.#period - said.period < REPEATED_EVERY_PERIODS && entry.holdMs >= 3 * REPEATED_EVERY_PERIODS * periodMs;
      if (!changed && stands && said.again === 0) return false;
      senders.set(entry.sender, {
        rateBps: changed ? entry.rateBps : said.rateBps,
        period: this.#period,
        again: changed ? SAID_AGAIN : Math.max(0, said.again - 1),
      });
      return true;
    });
  }
}
