/** What becomes of an answer of a name server on its way to another network (R1-37 to R1-39, R1-42). Pure. */
import type { Address } from '../../lib/prefix.ts';
import { has, standIn, type View, type Views } from '../decision/view.ts';
import { dataOf, withData } from './datagram.ts';
import { failure, translateAnswer, type Seen } from './message.ts';

/** Names are asked again so soon: a mapping may change. */
export const TTL_SECONDS = 30;

/**
 * An address belongs to the network whose server says it, if that has it; else to the asker's own, if that has it; else to the only
 * other network that has it.
 */
export function seenBy(views: Views, server: View, asker: View, address: Address): Seen {
  const asSeen = (owner: View): Seen => standIn(views, owner.network.name, asker.network.name, address) ?? 'same';
  if (!has(server, address)) {
    if (has(asker, address)) return 'same';
    const [owner, ...more] = [...views.byName.values()].filter((view) => has(view, address));
    if (more.length > 0) return 'ambiguous';
    return owner ? asSeen(owner) : 'same';
  }
  const seen = asSeen(server);
  // It would lead to the asker's own stranger.
  return seen === 'same' && has(asker, address) ? 'ambiguous' : seen;
}

export type AnswerPacket =
  { readonly kind: 'same' } | { readonly kind: 'changed' | 'failed'; readonly packet: Buffer } | { readonly kind: 'malformed' };

/** `packet`: from port 53 of a network to another one. */
export function translatePacket(views: Views, server: View, asker: View, packet: Buffer): AnswerPacket {
  const message = dataOf(packet);
  if (!message) return { kind: 'malformed' };
  const outcome = translateAnswer(message, (address) => seenBy(views, server, asker, address), TTL_SECONDS);
  if (outcome.kind === 'changed') return { kind: 'changed', packet: withData(packet, outcome.message) };
  return outcome.kind === 'ambiguous' ? { kind: 'failed', packet: withData(packet, failure(message)) } : { kind: outcome.kind };
}
