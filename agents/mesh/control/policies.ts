/** Export policies (R2 section 3.4): what a network tells a peer of what it has. Pure. */
import { Type } from 'typebox';
import { closed, opt } from '../../../src/core/config/parts.ts';
import { shortHash } from '../../../src/core/hash.ts';
import type { Described } from '../../../src/core/readonly.ts';
import { contains, formatAddress, parseAddress, prefixOf, type Prefix } from '../../lib/prefix.ts';

export const policySchema = closed({
  families: opt(Type.Array(Type.Enum(['ipv4', 'ipv6']), { minItems: 1, description: 'Only addresses of these.' })),
  prefixes: opt(Type.Array(Type.String(), { minItems: 1, description: 'Only addresses in these.' })),
  private: opt(Type.Boolean({ description: 'Only private addresses (RFC 1918, RFC 4193).' })),
});
export type Policy = Described<typeof policySchema>;

/** Everything. Every network has it. */
export const ALL = 'all';
export const EVERYTHING: Policy = {};

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(prefixOf);

/** By policy: thousands of peers may have one. */
const sets = new WeakMap<Policy, string>();

/** Policies that let the same through are one, whatever they are called: so many sets are published (R2-21). */
export function setOf(policy: Policy): string {
  let set = sets.get(policy);
  if (set === undefined) {
    const { families = ['ipv4', 'ipv6'], prefixes, private: isPrivate = false } = policy;
    set = shortHash(JSON.stringify([[...families].sort(), prefixes ? [...prefixes].sort() : null, isPrivate]));
    sets.set(policy, set);
  }
  return set;
}

/** All of its addresses must pass. */
export function exportsRoute(policy: Policy, text: string): boolean {
  const route = prefixOf(text);
  const isWithin = (p: Prefix): boolean => p.length <= route.length && contains(p, route);
  return (
    exports({ ...(policy.families ? { families: policy.families } : {}) }, formatAddress(route)) &&
    (policy.prefixes?.some((p) => isWithin(prefixOf(p))) ?? true) &&
    (!(policy.private ?? false) || PRIVATE.some(isWithin))
  );
}

export function exports({ families, prefixes, private: isPrivate = false }: Policy, text: string): boolean {
  const address = parseAddress(text);
  if (!address) return false;
  return (
    (families?.includes(address.family === 4 ? 'ipv4' : 'ipv6') ?? true) &&
    (prefixes?.some((p) => contains(prefixOf(p), address)) ?? true) &&
    (!isPrivate || PRIVATE.some((p) => contains(p, address)))
  );
}
