/** Which hosts of peers may read which sets: introductions, held against what both owners have agreed on (R2-5). Pure. */
import type { Admission, Membership } from '../rows.ts';
import { setOf } from './policies.ts';
import { policyFor, type Surroundings } from './published.ts';
import type { Network } from './state.ts';

export interface Introduction {
  /** Who wrote it: etcd lets a host write under its own name only. */
  readonly host: string;
  /** Whose endpoints it carries, and whom it wants to reach. */
  readonly network: string;
  readonly peer: string;
  readonly claim: Membership | 'malformed';
}

export interface Bench {
  readonly networks: ReadonlyMap<string, Network>;
  around(network: Network): Surroundings;
  readonly owners: ReadonlyMap<string, string>;
  isGenuine(claim: Membership): boolean;
  readonly nowMs: number;
}

export function admissionOf({ host, network, peer, claim }: Introduction, bench: Bench): Admission {
  const owner = bench.owners.get(network);
  const fits = claim !== 'malformed' && claim.host === host && claim.network === network && claim.controller === owner;
  if (!fits || !bench.isGenuine(claim)) return { refused: 'forged' };
  if (claim.untilMs <= bench.nowMs) return { refused: 'expired' };
  const target = bench.networks.get(peer);
  const policy = target && policyFor(target, network, bench.around(target));
  if (!target || !policy) return { refused: 'not agreed' };
  return { set: setOf(policy), access: target.peerings[network]!.access, untilMs: claim.untilMs };
}
