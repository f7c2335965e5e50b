/** A flow and what the hub knows become an action: the list of operations that its AIN executes (R1 section 3). Pure. */
import { branchMac, UNATTACHED, type Ain, type Network } from '../model.ts';
import { TTL_SECONDS } from '../names/message.ts';
import { deliveringAin } from './path.ts';
import { judge, type Copy, type Ports, type View, type Views } from './view.ts';
import type { Flow, Op, Output } from './wire.ts';

const [TCP, UDP] = [6, 17];
export const NAMES_PORT = 53;

/** `names`: the packet is an answer of a name server, or a question for one, between networks that may see its addresses otherwise. */
export interface Decision {
  readonly ops: readonly Op[];
  readonly names?: { readonly from: View; readonly to: View };
}

export function decide(views: Views, ains: ReadonlyMap<string, Ain>, at: Ain, flow: Flow): Decision {
  const view = views.byNumber.get(flow.network);
  // Until the next change, whatever it concerns.
  const untilThen: Op = { op: 'valid', domain: UNATTACHED, generation: views.version };
  const unreachable: Decision = { ops: [{ op: 'drop', reason: 'no-route' }, untilThen] };
  if (!view) return unreachable;
  const valid: Op = { op: 'valid', domain: view.domain.number, generation: view.domain.generation };
  const verdict = judge(views, view, flow.source, flow.destination, portsOf(flow));
  if (verdict.kind === 'drop') return { ops: [{ op: 'drop', reason: verdict.reason }, valid] };
  const output = (to: Network): Output | undefined => outputTo(at, to, deliveringAin(at, to, ains, hashOf(flow), views.lost));
  if (verdict.kind === 'copy') {
    const copies = verdict.copies.flatMap(({ to, ...addresses }) => {
      const out = output(to);
      return out ? [{ ...addresses, ...out }] : [];
    });
    return copies.length === 0
      ? unreachable
      : { ops: [{ op: 'hop' }, ...replicated(copies), copies.length === verdict.copies.length ? valid : untilThen] };
  }
  const { to, source, destination, sourcePort, destinationPort } = verdict;
  const names = namesOf(views, view, to, flow);
  const out = output(to);
  if (!out) return unreachable;
  const ops: Op[] = [
    { op: 'hop' },
    ...(source ? [{ op: 'source' as const, address: source }] : []),
    ...(destination ? [{ op: 'destination' as const, address: destination }] : []),
    ...(sourcePort === undefined ? [] : [{ op: 'source-port' as const, port: sourcePort }]),
    ...(destinationPort === undefined ? [] : [{ op: 'destination-port' as const, port: destinationPort }]),
    { op: 'output', ...out },
    ...(names ? [{ op: 'ask' as const, asker: to.number, ttlSeconds: TTL_SECONDS }] : []),
    valid,
  ];
  return names ? { ops, names } : { ops };
}

/** By TCP, questions pass as they are. */
function namesOf(views: Views, from: View, network: Network, { protocol, sourcePort, destinationPort }: Flow): Decision['names'] {
  const isAnswer = sourcePort === NAMES_PORT && (protocol === UDP || protocol === TCP);
  const isQuestion = destinationPort === NAMES_PORT && protocol === UDP;
  const to = views.byName.get(network.name);
  const isTranslated =
    (isAnswer && views.translatesNames(from.network.name, network.name)) ||
    (isQuestion && views.translatesNames(network.name, from.network.name));
  return to && isTranslated ? { from, to } : undefined;
}

const portsOf = ({ protocol, isFragment, sourcePort, destinationPort }: Flow): Ports =>
  !isFragment && (protocol === TCP || protocol === UDP) ? { source: sourcePort, destination: destinationPort } : null;

/** `by`: the AIN that delivers it. */
function outputTo(at: Ain, to: Network, by: Ain | undefined): Output | undefined {
  if (!by) return undefined;
  return by === at
    ? { to: to.gateway, from: branchMac(at.number, to.number), network: to.number }
    : { to: branchMac(by.number, to.number), from: at.mac, network: 0 };
}

/** One copy after the other; the last one is the packet itself, which the one before has left with its own addresses. */
function replicated(copies: readonly (Output & Pick<Copy, 'source' | 'destination'>)[]): Op[] {
  const last = copies.at(-1);
  if (!last) return [];
  const { source, destination, ...output } = last;
  return [
    ...copies.slice(0, -1).map((copy): Op => ({ op: 'replica', ...copy })),
    { op: 'source', address: source },
    { op: 'destination', address: destination },
    { op: 'output', ...output },
  ];
}

/** The same for all packets of a flow, and no other. */
function hashOf({ protocol, sourcePort, destinationPort, source, destination }: Flow): number {
  let h = 0x811c9dc5;
  for (const word of [protocol, sourcePort, destinationPort, Number(source.value & 0xffffffffn), Number(destination.value & 0xffffffffn)])
    h = Math.imul(h ^ word, 0x01000193);
  return h >>> 0;
}
