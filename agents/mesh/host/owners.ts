/**
 * Whose addresses are: by prefixes that a network and its peers have, and by routes to what is behind their routers (R2 section 3.5). The
 * longest prefix is used; of one length endpoints' before those behind routers, what the network has itself before what peers have, and
 * among peers the lower name. Pure.
 */
import { formatPrefix, prefixOf, PrefixTable, type Address, type Prefix } from '../../lib/prefix.ts';

export interface Owner {
  readonly peer: string;
  /** The route of the peer's that it is behind; null: the peer has it itself. */
  readonly route: string | null;
}

interface Claims {
  /** Networks that have the prefix. */
  readonly having: Set<string>;
  /** Of routes to it, the one that is used. */
  winner: Owner | null;
}

export class Owners {
  readonly #own: string;
  /** By network, also of those that have none. */
  readonly #prefixes = new Map<string, readonly string[]>();
  /** By prefix. */
  readonly #claims = new Map<string, Claims>();
  readonly #table = new PrefixTable<Owner>();

  /** `own`: the network for which this is. */
  constructor(own: string) {
    this.#own = own;
  }

  find(address: Address): Owner | undefined {
    return this.#table.find(address)?.value;
  }

  /** A network has these, and no others. Prefixes that are somebody else's now. */
  put(network: string, prefixes: readonly string[]): Prefix[] {
    const before = this.#prefixes.get(network);
    const now = prefixes.map((p) => formatPrefix(prefixOf(p)));
    this.#prefixes.set(network, now);
    for (const prefix of before ?? []) this.#at(prefix).having.delete(network);
    for (const prefix of now) this.#at(prefix).having.add(network);
    return this.#decide([...(before ?? this.#won(network)), ...now]);
  }

  /** It is no peer any more, and routes of it are not used. */
  remove(network: string): Prefix[] {
    const before = this.#prefixes.get(network) ?? [];
    this.#prefixes.delete(network);
    for (const prefix of before) this.#at(prefix).having.delete(network);
    return this.#decide([...before, ...this.#won(network)]);
  }

  /** Whose route is used; null: nobody's. */
  win(route: string, network: string | null): Prefix[] {
    const prefix = formatPrefix(prefixOf(route));
    this.#at(prefix).winner = network === null ? null : { peer: network, route };
    return this.#decide([prefix]);
  }

  /** All prefixes that somebody has. */
  get prefixes(): string[] {
    return [...this.#table].map(({ prefix }) => formatPrefix(prefix));
  }

  #at(prefix: string): Claims {
    let claims = this.#claims.get(prefix);
    if (!claims) this.#claims.set(prefix, (claims = { having: new Set(), winner: null }));
    return claims;
  }

  /** Prefixes that a network's routes have won. */
  #won(network: string): string[] {
    return [...this.#claims].flatMap(([prefix, { winner }]) => (winner?.peer === network ? [prefix] : []));
  }

  #decide(prefixes: readonly string[]): Prefix[] {
    return [...new Set(prefixes)].map(prefixOf).filter((prefix) => {
      const text = formatPrefix(prefix);
      const before = this.#table.get(prefix);
      const claims = this.#at(text);
      const now = this.#ownerOf(claims);
      if (claims.having.size === 0 && claims.winner === null) this.#claims.delete(text);
      if (before?.peer === now?.peer && before?.route === now?.route) return false;
      if (now) this.#table.set(prefix, now);
      else this.#table.delete(prefix);
      return true;
    });
  }

  #ownerOf({ having, winner }: Claims): Owner | undefined {
    if (having.has(this.#own)) return { peer: this.#own, route: null };
    const [lowest] = [...having].sort();
    if (lowest !== undefined) return { peer: lowest, route: null };
    return winner && this.#prefixes.has(winner.peer) ? winner : undefined;
  }
}
