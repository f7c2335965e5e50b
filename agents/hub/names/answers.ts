/** What becomes of an answer of a name server on its way to another network (R1-37 to R1-39, R1-42). Pure. */
import { contains, mapped, type Address } from '../../lib/prefix.ts';
import type { View, Views } from '../decision/view.ts';
import { dataOf, withData } from './datagram.ts';
import { failure, translateAnswer, type Seen } from './message.ts';

/** Names are asked again so soon: a mapping may change. */
export const TTL_SECONDS = 30;

/**
 * An address belongs to the network whose server says it, if that has it; else to the asker's own, if that has it; else to the only
 * other network that has it.
 */
export function seenBy(views: Views, server: View, asker: View, address: Address): Seen {
  const has = ({ own }: View): boolean => own.some((p) => contains(p, address));
  if (!has(server)) {
    if (has(asker)) return 'same';
    const [owner, ...more] = [...views.byName.values()].filter(has);
    if (more.length > 0) return 'ambiguous';
    return owner ? asSeen(views, owner, asker, address) : 'same';
  }
  const seen = asSeen(views, server, asker, address);
  // It would lead to the asker's own stranger.
  return seen === 'same' && has(asker) ? 'ambiguous' : seen;
}

function asSeen(views: Views, owner: View, asker: View, address: Address): Seen {
  const translation = views.translations(owner.network.name, asker.network.name).find(({ real }) => contains(real, address));
  return translation ? mapped(address, translation.real, translation.as) : 'same';
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
