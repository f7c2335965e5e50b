/** What a DMN makes of questions for names, and of answers of name servers, before they go on: by UDP and by TCP. */
import { NAMES_PORT } from '../decision/decide.ts';
import type { View, Views } from '../decision/view.ts';
import type { Flow } from '../decision/wire.ts';
import { answerByTcp, answerFor, questionFor, type Sight } from '../names/answers.ts';
import { dataOf, withData } from '../names/datagram.ts';
import { isResponse, padded } from '../names/message.ts';
import { asReset, segmentOf, withSegmentData } from '../names/segment.ts';
import { AnswerStreams } from '../names/stream.ts';
import { TCP } from '../../lib/ip.ts';

/** Of a network's servers, remembered at once. */
const MOST_CONNECTIONS = 64;

/** Counters of messages, by what became of them. */
const COUNTERS = {
  same: 'namesSame',
  changed: 'namesChanged',
  failed: 'namesFailed',
  malformed: 'namesMalformed',
  unseen: 'namesUnseen',
} as const;

export interface NamesPacket {
  readonly flow: Flow;
  /** The flow, as the hub's messages have it. */
  readonly key: Buffer;
  readonly packet: Buffer;
  readonly from: View;
  readonly to: View;
}

/** `isSame`: it is as it came. `sights`: what AINs may say themselves from now on. */
export type Pass = (packet: Buffer, isSame: boolean, sights: readonly Sight[]) => void;

export class NameMessages {
  readonly counters = { namesSame: 0, namesChanged: 0, namesFailed: 0, namesMalformed: 0, namesUnseen: 0 };
  readonly #streams = new AnswerStreams(MOST_CONNECTIONS);

  /** `isSettled`: all nodes follow the metadata of `views`. What is not passed is asked for again by who is waiting for it. */
  hear(views: Views, isSettled: boolean, heard: NamesPacket, pass: Pass): void {
    if (heard.flow.protocol === TCP) {
      this.#segment(views, isSettled, heard, pass);
      return;
    }
    const message = dataOf(heard.packet);
    if (!message) this.counters.namesMalformed += 1;
    else if (isResponse(message) && heard.flow.sourcePort === NAMES_PORT) this.#answer(views, isSettled, message, heard, pass);
    else if (!isResponse(message) && heard.flow.destinationPort === NAMES_PORT) this.#question(views, isSettled, message, heard, pass);
    else pass(heard.packet, true, []);
  }

  #answer(views: Views, isSettled: boolean, message: Buffer, { packet, from, to }: NamesPacket, pass: Pass): void {
    const answer = answerFor(views, from, to, message);
    this.counters[COUNTERS[answer.kind]] += 1;
    // No answer is better than one that leads nowhere yet.
    if (answer.kind === 'malformed' || (answer.kind === 'changed' && !isSettled)) return;
    const isSame = answer.kind === 'same';
    pass(isSame ? packet : withData(packet, answer.message), isSame, isSettled && answer.kind !== 'failed' ? answer.sights : []);
  }

  #question(views: Views, isSettled: boolean, message: Buffer, { packet, from, to }: NamesPacket, pass: Pass): void {
    const question = questionFor(views, from, to, message);
    this.counters[COUNTERS[question.kind]] += 1;
    if (question.kind === 'same') pass(packet, true, []);
    else if (question.kind === 'changed' && isSettled) pass(withData(packet, question.message), false, []);
  }

  #segment(views: Views, isSettled: boolean, { key: flow, packet, from: server, to: asker }: NamesPacket, pass: Pass): void {
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
      const answer = answerByTcp(views, server, asker, message);
      this.counters[COUNTERS[answer.kind]] += 1;
      return answer.kind === 'malformed' ? undefined : padded(answer.message, message.length);
    };
    const outcome = stream.hear(segment, translate, (data) => pass(withSegmentData(packet, data), false, []));
    if (outcome !== 'broken') return;
    this.#streams.close(number, key);
    pass(asReset(packet), false, []);
  }
}
