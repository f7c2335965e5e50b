/** What becomes of questions, and of answers of name servers, on their way to another network (R1-37 to R1-39, R1-42). Pure. */
import { mapped, type Address } from '../../lib/prefix.ts';
import { has, standIn, type View, type Views } from '../decision/view.ts';
import { addressAsked, failure, isResponse, translateAnswer, TTL_SECONDS, type Seen } from './message.ts';
import { Malformed } from './parse.ts';
import { renamed } from './rename.ts';

/** A network's address, in its own terms. */
interface Owned {
  readonly owner: View;
  readonly real: Address;
}

/** Whose an address is that a server of `view` says: it says what its own network sees. undefined: that sees nobody there. */
function ownerOf(views: Views, view: View, address: Address): Owned | undefined {
  if (has(view, address)) return { owner: view, real: address };
  const way = view.ways.find(address)?.value;
  const owner = way?.to ? views.byName.get(way.to.name) : undefined;
  // A substitute stands for an address and a port.
  if (!way || !owner || way.policy) return undefined;
  return { owner, real: way.translation ? mapped(address, way.translation.as, way.translation.real) : address };
}

/** Of an address that the server's network does not see: the asker's own, or the only other network's that has it. */
function otherwiseOf(views: Views, asker: View, address: Address): Owned | 'nobody' | 'ambiguous' {
  if (has(asker, address)) return { owner: asker, real: address };
  const [owner, ...more] = [...views.byName.values()].filter((view) => has(view, address));
  if (!owner) return 'nobody';
  return more.length > 0 ? 'ambiguous' : { owner, real: address };
}

/** What an address is for its asker that a name server of another network says. */
export function seenBy(views: Views, server: View, asker: View, address: Address): Seen {
  const owned = ownerOf(views, server, address) ?? otherwiseOf(views, asker, address);
  if (owned === 'nobody') return 'same';
  if (owned === 'ambiguous') return owned;
  const { owner, real } = owned;
  // By a policy its asker reaches no address of it.
  if (owner !== asker && views.policy(owner.network.name, asker.network.name)) return 'ambiguous';
  const stand = owner === asker ? null : standIn(views, owner.network.name, asker.network.name, real);
  // It would lead to the asker's own stranger.
  if (!stand && owner !== asker && has(asker, real)) return 'ambiguous';
  const seen = stand ?? real;
  return seen.value === address.value ? 'same' : seen;
}

/** The same as an address. */
function seenAs(views: Views, server: View, asker: View, address: Address): Address | 'ambiguous' {
  const is = seenBy(views, server, asker, address);
  return is === 'same' ? address : is;
}

/** An address in an answer, and what its asker sees. */
export interface Sight {
  readonly address: Address;
  readonly as: Address;
}

export type Answer =
  /** Passes as it is. */
  | { readonly kind: 'same'; readonly message: Buffer; readonly sights: readonly Sight[] }
  | { readonly kind: 'changed'; readonly message: Buffer; readonly sights: readonly Sight[] }
  /** It would mislead: its asker is told that its server has failed. */
  | { readonly kind: 'failed'; readonly message: Buffer }
  | { readonly kind: 'malformed' };

/** `message`: from port 53 of a network to another one. */
export function answerFor(views: Views, server: View, asker: View, message: Buffer): Answer {
  const sights: Sight[] = [];
  const seen = (address: Address): Seen => {
    const is = seenBy(views, server, asker, address);
    if (is !== 'ambiguous') sights.push({ address, as: is === 'same' ? address : is });
    return is;
  };
  const outcome = translateAnswer(message, seen, TTL_SECONDS);
  switch (outcome.kind) {
    case 'changed':
      return { ...outcome, sights };
    case 'ambiguous':
      return { kind: 'failed', message: asAsked(views, server, asker, failure(message)) };
    case 'same':
      return { kind: 'same', message, sights };
    case 'malformed':
      return outcome;
  }
}

/** A failure, for the question as it was before it went to the server. */
function asAsked(views: Views, server: View, asker: View, message: Buffer): Buffer {
  const asked = addressAsked(message);
  const is = asked ? seenBy(views, server, asker, asked) : 'same';
  return typeof is === 'string' ? message : renamed(message, is);
}

export type Question =
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly message: Buffer }
  /** For the name of an address that its asker does not see: what its server says of it would be somebody else's. */
  | { readonly kind: 'unseen' };

/** `message`: to port 53 of another network. The name of an address becomes that of what the server's network sees there. */
export function questionFor(views: Views, asker: View, server: View, message: Buffer): Question {
  const asked = addressAsked(message);
  if (!asked) return { kind: 'same' };
  const address = seenAs(views, asker, server, asked);
  if (address === 'ambiguous') return { kind: 'unseen' };
  // Its answer leads back to what was asked, or it is somebody else's.
  const back = seenAs(views, server, asker, address);
  if (back === 'ambiguous' || back.value !== asked.value) return { kind: 'unseen' };
  if (address === asked) return { kind: 'same' };
  try {
    return { kind: 'changed', message: renamed(message, address) };
  } catch (error) {
    if (error instanceof Malformed || error instanceof RangeError) return { kind: 'unseen' };
    throw error;
  }
}

/** The same by TCP, where questions pass as they are: of an address that the two networks see differently, nothing can be told. */
export function answerByTcp(views: Views, server: View, asker: View, message: Buffer): Answer {
  const answer = answerFor(views, server, asker, message);
  if (answer.kind === 'malformed' || !isResponse(message)) return answer;
  const isSeenAlike = questionFor(views, asker, server, message).kind === 'same';
  return isSeenAlike && answer.kind !== 'failed' ? answer : { kind: 'failed', message: failure(message) };
}
