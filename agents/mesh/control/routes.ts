/** The peer route manager (R2 section 3.5): of routes to the same prefix one wins, whatever came first. Pure. */
import { contains, parsePrefix, prefixOf } from '../../lib/prefix.ts';
import type { Network } from './state.ts';

/** Routes that a network offers, with what they are compared by. */
export interface Offer {
  readonly network: string;
  readonly vnid: number;
  readonly prefixes: readonly string[];
}

export interface Winner {
  /** Whose router has it. */
  readonly network: string;
  /** Why it won: there was no other one, it is the network's own, it is preferred, or its network has the lower identifier. */
  readonly rule: 'only' | 'local' | 'preference' | 'identifier';
}

interface Candidate {
  readonly network: string;
  readonly isLocal: boolean;
  readonly preference: number;
  readonly vnid: number;
}

/** By prefix: prefixes of different length do not compete, the longer one is used (RFC 4632). */
export function winnersOf(own: Network, offers: readonly Offer[]): Map<string, Winner> {
  const candidates = new Map<string, Candidate[]>();
  const add = ({ network, vnid, prefixes }: Offer): void => {
    const candidate = { network, vnid, isLocal: network === own.name, preference: own.peerings[network]?.preference ?? 0 };
    for (const prefix of prefixes.filter((p) => isElsewhere(own, p)))
      candidates.set(prefix, [...(candidates.get(prefix) ?? []), candidate]);
  };
  for (const offer of offers) add(offer);
  add({ network: own.name, vnid: own.vnid, prefixes: [...new Set(Object.values(own.learned).flat())] });
  return new Map([...candidates].map(([prefix, list]) => [prefix, winnerOf(list)]));
}

/** Nobody's router draws away what is sent to the network's own endpoints. */
function isElsewhere({ prefixes }: Network, text: string): boolean {
  const route = parsePrefix(text);
  return route !== undefined && !prefixes.map(prefixOf).some((p) => p.length <= route.length && contains(p, route));
}

function winnerOf(candidates: readonly Candidate[]): Winner {
  const [first, second] = [...candidates].sort(
    (a, b) => Number(b.isLocal) - Number(a.isLocal) || b.preference - a.preference || a.vnid - b.vnid,
  );
  const { network, isLocal, preference } = first!;
  if (!second) return { network, rule: 'only' };
  return { network, rule: isLocal ? 'local' : preference > second.preference ? 'preference' : 'identifier' };
}
