/**
 * Sources of a policy (R1-50): a sender's address and port become others of an allowed range, one to one, so that every node finds them,
 * and what leads back, without keeping anything. Pure.
 */
import { bitsOf, contains, prefixOf, type Address, type Prefix } from '../../lib/prefix.ts';
import type { Policy } from '../model.ts';

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

const PORTS = 65_536n;

const sizeOf = ({ family, length }: Prefix): bigint => 1n << BigInt(bitsOf(family) - length);
const portsOf = ({ firstPort, lastPort }: Pick<Policy, 'firstPort' | 'lastPort'>): bigint => BigInt(lastPort - firstPort + 1);

/** Prefixes of the network that the policy's addresses can stand for, of one family: in one order everywhere. */
const ownOf = (prefixes: readonly string[], to: Prefix): Prefix[] =>
  prefixes
    .map(prefixOf)
    .filter((p) => p.family === to.family)
    .sort((a, b) => (a.value < b.value ? -1 : 1));

/** Has it room for every address and port of the network? */
export function isWideEnough(policy: Pick<Policy, 'addresses' | 'firstPort' | 'lastPort'>, prefixes: readonly string[]): boolean {
  const to = prefixOf(policy.addresses);
  const hosts = ownOf(prefixes, to).reduce((sum, p) => sum + sizeOf(p), 0n);
  return hosts > 0n && hosts * PORTS <= sizeOf(to) * portsOf(policy);
}

/** undefined: the address is not of the network, or the range has no room for it. */
export function substitute(policy: Policy, prefixes: readonly string[], { address, port }: Endpoint): Endpoint | undefined {
  const to = prefixOf(policy.addresses);
  let before = 0n;
  for (const own of ownOf(prefixes, to)) {
    if (contains(own, address)) {
      const index = (before + address.value - own.value) * PORTS + BigInt(port);
      const ports = portsOf(policy);
      const found: Address = { family: to.family, value: to.value + index / ports };
      // A network that has grown has addresses that the range has no room for.
      return contains(to, found) ? { address: found, port: policy.firstPort + Number(index % ports) } : undefined;
    }
    before += sizeOf(own);
  }
  return undefined;
}

/** Whom a substitute stands for. undefined: nobody. */
export function original(policy: Policy, prefixes: readonly string[], { address, port }: Endpoint): Endpoint | undefined {
  const to = prefixOf(policy.addresses);
  if (!contains(to, address) || port < policy.firstPort || port > policy.lastPort) return undefined;
  const index = (address.value - to.value) * portsOf(policy) + BigInt(port - policy.firstPort);
  let host = index / PORTS;
  for (const own of ownOf(prefixes, to)) {
    if (host < sizeOf(own)) return { address: { family: own.family, value: own.value + host }, port: Number(index % PORTS) };
    host -= sizeOf(own);
  }
  return undefined;
}
