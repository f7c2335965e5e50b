/** Addresses that would be ambiguous, and mappings that make them unique (R1 section 3, overlap handling). Pure. */
import { bitsOf, formatPrefix, overlap, prefixOf, type Prefix } from '../../lib/prefix.ts';
import type { Attachment, Mapping, Metadata, Network } from '../model.ts';
import { translationsFor, untranslated, type Translation } from '../seen.ts';

/** Ranges that two networks have in common. */
export interface Overlap {
  readonly networks: readonly [string, string];
  readonly range: string;
}

export function overlapsAmong(networks: readonly Network[]): Overlap[] {
  return networks.flatMap((a, i) =>
    networks.slice(i + 1).flatMap((b) =>
      a.prefixes.flatMap((p) =>
        b.prefixes.flatMap((q): Overlap[] => {
          const common = overlap(prefixOf(p), prefixOf(q));
          return common ? [{ networks: [a.name, b.name], range: formatPrefix(common) }] : [];
        }),
      ),
    ),
  );
}

/** A viewer that sees `network` under addresses that `other` (perhaps the viewer itself) has for it too. */
export interface Conflict {
  readonly viewer: string;
  readonly network: string;
  readonly other: string;
  /** Of the network's own addresses: what has to be seen elsewhere. */
  readonly real: string;
  readonly range: string;
}

interface Seen extends Translation {
  readonly network: string;
}

/** Who comes first keeps its addresses: in the order of attachments; what comes over a link, by a change of another hub, last. */
function inOrder({ attachments, networks }: Metadata): Attachment[] {
  const ends = new Set(networks.filter((n) => n.link !== null).map((n) => n.name));
  // Who waits for approval is in nobody's way.
  const present = attachments.filter((a) => a.state !== 'unapproved');
  return [...present.filter((a) => !ends.has(a.network)), ...present.filter((a) => ends.has(a.network))];
}

/** Of two networks that cannot be told apart, it is the later one that conflicts. */
export function conflictsOf(metadata: Metadata): Conflict[] {
  const networks = new Map(metadata.networks.map((n) => [n.name, n]));
  const attachments = inOrder(metadata);
  return attachments.flatMap((viewer): Conflict[] => {
    const own = networks.get(viewer.network);
    if (!own) return [];
    const taken: Seen[] = own.prefixes.map((p) => ({ network: own.name, real: prefixOf(p), as: prefixOf(p) }));
    const conflicts: Conflict[] = [];
    for (const other of attachments.filter((a) => isVisible(a, viewer))) {
      const network = networks.get(other.network);
      if (!network) continue;
      for (const seen of seenBy(metadata, network, viewer.network)) {
        const clash = taken.find((t) => t.network !== network.name && overlap(t.as, seen.as));
        const range = clash && overlap(clash.as, seen.as);
        if (clash && range)
          conflicts.push({
            viewer: viewer.network,
            network: network.name,
            other: clash.network,
            real: formatPrefix(seen.real),
            range: formatPrefix(range),
          });
        taken.push(seen);
      }
    }
    return conflicts;
  });
}

const isVisible = (other: Attachment, viewer: Attachment): boolean =>
  other.network !== viewer.network && other.propagates.includes(viewer.domain);

function seenBy({ mappings, policies }: Metadata, network: Network, viewer: string): Seen[] {
  const policy = policies.find((p) => p.network === network.name && p.to === viewer);
  if (policy) return [{ network: network.name, real: prefixOf(policy.addresses), as: prefixOf(policy.addresses) }];
  const translations = translationsFor(mappings, network.name, viewer);
  const bare = untranslated(network, translations).map((p) => ({ real: p, as: p }));
  return [...translations, ...bare].map((seen) => ({ network: network.name, ...seen }));
}

interface Occupied {
  readonly prefix: string;
  /** In a sentence, after the prefix. */
  readonly whose: string;
}

/** Addresses that stand for others: nobody has them, and nobody may. */
const standIns = ({ mappings, groups, policies }: Metadata): Occupied[] => [
  ...mappings.map((m) => ({ prefix: m.as, whose: `, as which ${m.network} is seen` })),
  ...groups.map((g) => ({ prefix: g.address, whose: ', the address of a group' })),
  ...policies.map((p) => ({ prefix: p.addresses, whose: `, sources of ${p.network} by a policy` })),
];

const occupied = (metadata: Metadata): Occupied[] => [
  ...metadata.networks.flatMap(({ name, prefixes }) => prefixes.map((prefix) => ({ prefix, whose: ` of ${name}` }))),
  ...standIns(metadata),
];

function clash(among: readonly Occupied[], text: string): string | undefined {
  const found = among.find(({ prefix }) => overlap(prefixOf(prefix), prefixOf(text)));
  return found && `${text} overlaps ${found.prefix}${found.whose}`;
}

/** Why nothing new can be seen under these addresses. undefined: they are free. */
export const occupiedProblem = (metadata: Metadata, text: string): string | undefined => clash(occupied(metadata), text);

/** Why no network can have these addresses, whoever else has them. */
export const standInProblem = (metadata: Metadata, text: string): string | undefined => clash(standIns(metadata), text);

/** A prefix of the pool that nothing in the hub has. undefined: the pool is exhausted. */
function freePrefix(metadata: Metadata, pool: readonly Prefix[], like: Prefix): Prefix | undefined {
  const taken = occupied(metadata).map(({ prefix }) => prefixOf(prefix));
  for (const range of pool) {
    if (range.family !== like.family || range.length > like.length) continue;
    const step = 1n << BigInt(bitsOf(like.family) - like.length);
    const end = range.value + (1n << BigInt(bitsOf(range.family) - range.length));
    for (let value = range.value; value < end; value += step) {
      const prefix: Prefix = { family: like.family, length: like.length, value };
      const clash = taken.find((t) => overlap(t, prefix));
      if (!clash) return prefix;
      // A wide range that is taken is passed at once.
      const past = clash.value + (1n << BigInt(bitsOf(clash.family) - clash.length));
      if (past - step > value) value = ((past - range.value + step - 1n) / step) * step + range.value - step;
    }
  }
  return undefined;
}

/**
 * Mappings that leave no conflict: the later network of each pair is seen under addresses of the pool, by everybody where
 * another network is in its way, and by one viewer where it is the viewer's own addresses. An Error: the pool is exhausted.
 */
export function resolve(metadata: Metadata, pool: readonly Prefix[], atMs: number, approved: boolean): Mapping[] {
  const made: Mapping[] = [];
  const tried = new Set<string>();
  let next = metadata;
  for (;;) {
    const [conflict] = conflictsOf({ ...next, mappings: next.mappings.map((m) => ({ ...m, approved: true })) });
    if (!conflict) return made;
    // A mapping that leaves its conflict is in the way of another one.
    const key = `${conflict.viewer} ${conflict.network} ${conflict.real}`;
    if (tried.has(key)) throw new RangeError(`no mapping makes ${conflict.real} of ${conflict.network} unique for ${conflict.viewer}`);
    tried.add(key);
    const as = freePrefix(next, pool, prefixOf(conflict.real));
    if (!as) throw new RangeError(`no range of the pool is free for ${conflict.real} of ${conflict.network}`);
    const isOwn = conflict.other === conflict.viewer;
    const later = !isOwn || isLater(metadata, conflict.network, conflict.viewer);
    const mapping: Mapping = {
      network: conflict.network,
      real: conflict.real,
      as: formatPrefix(as),
      viewers: later ? null : [conflict.viewer],
      origin: 'service',
      approved,
      atMs,
    };
    made.push(mapping);
    next = { ...next, mappings: [...next.mappings, mapping] };
  }
}

function isLater(metadata: Metadata, a: string, b: string): boolean {
  const order = inOrder(metadata).map((x) => x.network);
  return order.indexOf(a) > order.indexOf(b);
}

/** Why a mapping cannot be used; undefined: it can. */
export function mappingProblem(
  metadata: Metadata,
  { network: name, real, as }: Pick<Mapping, 'network' | 'real' | 'as'>,
): string | undefined {
  const [from, to] = [prefixOf(real), prefixOf(as)];
  const network = metadata.networks.find((n) => n.name === name);
  // What comes over a link may not be there yet.
  if (
    !network?.link &&
    !network?.prefixes.map(prefixOf).some((p) => p.value === from.value && p.length === from.length && p.family === from.family)
  )
    return `${real} is no prefix of ${name}: a mapping is of a whole one`;
  if (from.family !== to.family || from.length !== to.length) return `${real} and ${as} are not of one size`;
  const problem = occupiedProblem(metadata, as);
  if (problem !== undefined) return problem;
  for (const other of metadata.mappings)
    if (other.network === name && overlap(prefixOf(other.real), from)) return `${real} is seen as ${other.as} already`;
  return undefined;
}
