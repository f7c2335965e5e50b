/** What a DMN makes of answers of name servers, by UDP and by TCP, before they go on to their askers. */
import type { View, Views } from '../decision/view.ts';
import { answerFor, type Sight } from '../names/answers.ts';
import { dataOf, withData } from '../names/datagram.ts';
import { padded } from '../names/message.ts';
import { asReset, segmentOf, withSegmentData } from '../names/segment.ts';
import { AnswerStreams } from '../names/stream.ts';
import { TCP } from '../../lib/ip.ts';

/** Of a network's servers, remembered at once. */
const MOST_CONNECTIONS = 64;

/** Counters of messages, by what became of them. */
const COUNTERS = { same: 'namesSame', changed: 'namesChanged', failed: 'namesFailed', malformed: 'namesMalformed' } as const;

export interface NamesPacket {
  readonly flow: Buffer;
  readonly protocol: number;
  readonly packet: Buffer;
  readonly server: View;
  readonly asker: View;
}

/** `isSame`: it is as it came. `sights`: what AINs may say themselves from now on. */
export type Pass = (packet: Buffer, isSame: boolean, sights: readonly Sight[]) => void;

export class NameAnswers {
  readonly counters = { namesSame: 0, namesChanged: 0, namesFailed: 0, namesMalformed: 0 };
  readonly #streams = new AnswerStreams(MOST_CONNECTIONS);

  /** `isSettled`: all nodes follow the metadata of `views`. What is not passed is asked for again by who is waiting for it. */
  hear(views: Views, isSettled: boolean, heard: NamesPacket, pass: Pass): void {
    if (heard.protocol === TCP) this.#segment(views, isSettled, heard, pass);
    else this.#datagram(views, isSettled, heard, pass);
  }

  #datagram(views: Views, isSettled: boolean, { packet, server, asker }: NamesPacket, pass: Pass): void {
    const message = dataOf(packet);
    const answer = message ? answerFor(views, server, asker, message) : ({ kind: 'malformed' } as const);
    this.counters[COUNTERS[answer.kind]] += 1;
    // No answer is better than one that leads nowhere yet.
    if (answer.kind === 'malformed' || (answer.kind === 'changed' && !isSettled)) return;
    const isSame = answer.kind === 'same';
    pass(isSame ? packet : withData(packet, answer.message), isSame, isSettled && answer.kind !== 'failed' ? answer.sights : []);
  }

  #segment(views: Views, isSettled: boolean, { flow, packet, server, asker }: NamesPacket, pass: Pass): void {
    const segment = segmentOf(packet);
    if (!segment) {
      this.counters.namesMalformed += 1;
      return;
    }
    const key = flow.toString('latin1');
    const { number } = server.network;
    if (segment.opens) this.#streams.open(number, key, (segment.sequence + 1) >>> 0);
    if (segment.data.length === 0) {
      pass(packet, true, []);
      return;
    }
    // Of a connection that began elsewhere nothing is known; its asker opens another one.
    const stream = this.#streams.of(number, key);
    if (!stream || !isSettled) return;
    const translate = (message: Buffer): Buffer | undefined => {
      const answer = answerFor(views, server, asker, message);
      this.counters[COUNTERS[answer.kind]] += 1;
      return answer.kind === 'malformed' ? undefined : padded(answer.message, message.length);
    };
    const outcome = stream.hear(segment, translate, (data) => pass(withSegmentData(packet, data), false, []));
    if (outcome !== 'broken') return;
    this.#streams.close(number, key);
    pass(asReset(packet), false, []);
  }
}
