/** Sources that packets from one network to another may have (R1-50). Pure. */
import { isWideEnough, sourceRange } from '../decision/substitution.ts';
import type { Metadata, Policy } from '../model.ts';
import { refuse } from '../../lib/params.ts';
import { checkedPrefix } from '../operations.ts';
import { networkOf, type Edit, type Params } from './edit.ts';
import { released, unresolved } from './attachments.ts';
import { occupiedProblem } from './overlap.ts';

export function setPolicy(metadata: Metadata, { network, to, source }: Params<'SetSourcePolicy'>): Edit<{ policies: number }> {
  const [own, other] = [networkOf(metadata, network), networkOf(metadata, to)];
  if (own === other) refuse('InvalidRequest', `${network} sends nothing to itself through the hub`);
  const others = metadata.policies.filter((p) => p.network !== network || p.to !== to);
  if (!source && others.length === metadata.policies.length) refuse('UnknownPolicy', `no policy for what ${network} sends to ${to}`);
  const policies = source ? [...others, checkedPolicy({ ...metadata, policies: others }, network, to, source)] : others;
  const concerned = metadata.attachments.filter((a) => a.network === network || a.network === to).map((a) => a.domain);
  const next = released({ ...metadata, policies });
  const [clash] = unresolved(next);
  if (clash)
    refuse('AddressOverlapDetected', `${clash.range} of ${clash.network} and ${clash.other}: without the policy nothing resolves it`);
  const isSettled = next.attachments.every((a, i) => a.state === metadata.attachments[i]?.state);
  return { metadata: next, concerns: isSettled ? new Set(concerned) : null, answer: { policies: policies.length } };
}

function checkedPolicy(
  metadata: Metadata,
  network: string,
  to: string,
  { addresses, ports }: NonNullable<Params<'SetSourcePolicy'>['source']>,
): Policy {
  const [firstPort = 0, lastPort = 0] = ports;
  const policy: Policy = { network, to, addresses: checkedPrefix(addresses), firstPort, lastPort };
  if (firstPort > lastPort) refuse('InvalidRequest', `ports ${firstPort} to ${lastPort}: the first one is the lower`);
  const problem = occupiedProblem(metadata, policy.addresses);
  if (problem !== undefined) refuse('InvalidRequest', problem);
  const { prefixes } = networkOf(metadata, network);
  if (!isWideEnough(sourceRange(policy, prefixes)))
    refuse('NoCapacity', `${addresses} with ${lastPort - firstPort + 1} ports has not room for every port of every address of ${network}`);
  return policy;
}
