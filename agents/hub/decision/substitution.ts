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

/** A policy and the prefixes of its network, as numbers. */
export interface SourceRange {
  readonly addresses: Prefix;
  readonly firstPort: number;
  readonly ports: bigint;
  /** What the addresses can stand for, of one family: in one order everywhere. */
  readonly own: readonly Prefix[];
}

const sizeOf = ({ family, length }: Prefix): bigint => 1n << BigInt(bitsOf(family) - length);

export function sourceRange(
  { addresses, firstPort, lastPort }: Pick<Policy, 'addresses' | 'firstPort' | 'lastPort'>,
  prefixes: readonly string[],
): SourceRange {
  const to = prefixOf(addresses);
  const own = prefixes.map(prefixOf).filter((p) => p.family === to.family);
  return { addresses: to, firstPort, ports: BigInt(lastPort - firstPort + 1), own: own.sort((a, b) => (a.value < b.value ? -1 : 1)) };
}

/** Has it room for every address and port of the network? */
export function isWideEnough({ addresses, ports, own }: SourceRange): boolean {
  const hosts = own.reduce((sum, p) => sum + sizeOf(p), 0n);
  return hosts > 0n && hosts * PORTS <= sizeOf(addresses) * ports;
}

/** undefined: the address is not of the network, or the range has no room for it. */
export function substitute({ addresses, firstPort, ports, own }: SourceRange, { address, port }: Endpoint): Endpoint | undefined {
  let before = 0n;
  for (const prefix of own) {
    if (contains(prefix, address)) {
      const index = (before + address.value - prefix.value) * PORTS + BigInt(port);
      const found: Address = { family: addresses.family, value: addresses.value + index / ports };
      // A network that has grown has addresses that the range has no room for.
      return contains(addresses, found) ? { address: found, port: firstPort + Number(index % ports) } : undefined;
    }
    before += sizeOf(prefix);
  }
  return undefined;
}

/** Whom a substitute stands for. undefined: nobody. */
export function original({ addresses, firstPort, ports, own }: SourceRange, { address, port }: Endpoint): Endpoint | undefined {
  const offset = BigInt(port - firstPort);
  if (!contains(addresses, address) || offset < 0n || offset >= ports) return undefined;
  const index = (address.value - addresses.value) * ports + offset;
  let host = index / PORTS;
  for (const prefix of own) {
    if (host < sizeOf(prefix)) return { address: { family: prefix.family, value: prefix.value + host }, port: Number(index % PORTS) };
    host -= sizeOf(prefix);
  }
  return undefined;
}
