/** Metrics of captures: decisions, paths, and what packets have on them. */
import { missing, type Figures, type Window } from '../../../src/checks/check.ts';
import { parseFraction } from '../../../src/core/units.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { prefixOf } from '../../lib/prefix.ts';
import { ainDevices, cellOfAddress } from './config.ts';
import { framesAt, type Message, type SeenFrame } from './frames.ts';
import {
  branchesOf,
  crossed,
  early,
  handedOver,
  largestAction,
  miscopied,
  misdirected,
  outside,
  overtaken,
  passages,
  sourcesOf,
  unlikeFlows,
} from './measures.ts';
import { exact, many, metrics } from '../../lib/metric.ts';
import type { Keys } from './metric.ts';
import { gatewayOf, lastDoneUs, metricsOf, networkAt, routesTo } from './told.ts';

interface SeenFrames {
  readonly target: Keys;
  readonly evidence: CellEvidence;
  readonly phase: PhaseRecord;
  /** Of each capture point, and of all together. */
  readonly frames: readonly (readonly SeenFrame[])[];
  readonly all: readonly SeenFrame[];
  readonly messages: readonly (Message & { readonly atUs: number })[];
}

/** A text says why there are none. */
export function seenFrames(target: Keys, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): SeenFrames | string {
  const frames: (readonly SeenFrame[])[] = [];
  for (const at of many(target.capture) ?? []) {
    const found = framesAt(evidence, at, phase);
    if (typeof found === 'string') return found;
    frames.push(found.filter((f) => f.atUs >= fromUs && f.atUs < toUs));
  }
  const all = frames.flat();
  return { target, evidence, phase, frames, all, messages: all.flatMap((f) => (f.message ? [{ ...f.message, atUs: f.atUs }] : [])) };
}

const NO_PACKET = missing('no packet was captured');
const NOT_TOLD = missing('GetMetrics was not answered twice');
const toDestination = (frames: readonly SeenFrame[], { destination }: Keys): SeenFrame[] =>
  frames.filter((f) => (destination ?? f.destination) === f.destination);
const toPort = (frames: readonly SeenFrame[], target: Keys): SeenFrame[] =>
  toDestination(frames, target).filter((f) => f.destinationPort === target.port);
const ofMessages = ({ messages }: SeenFrames, count: () => Figures): Figures =>
  messages.length === 0 ? missing('no message between AINs and DMNs was captured') : count();

/** Frames to the destination after the last operation of the phase. */
function after({ target, evidence, phase, all }: SeenFrames): { readonly sinceUs: number; readonly late: readonly SeenFrame[] } | string {
  const sinceUs = lastDoneUs(evidence, phase, target.operation);
  if (sinceUs === undefined) return `no ${target.operation} was done in this phase`;
  const own = toDestination(all, target);
  return own.length === 0
    ? `no packet to ${target.destination ?? ''} was captured`
    : { sinceUs, late: own.filter((f) => f.atUs > sinceUs) };
}

export const FRAME_METRICS = metrics<SeenFrames, keyof Keys>()({
  versions: {
    what: 'Different versions of the metadata that decision master nodes tell in answers to probes, at captures of theirs (R1-15).',
    needs: ['capture'],
    figures: ({ messages }) => {
      const told = messages.flatMap((m) => m.version ?? []);
      return told.length === 0 ? missing('no answer to a probe was captured') : exact(new Set(told).size);
    },
  },
  branches: {
    what: 'Branches that packets at a capture, of a gateway, went to (R1-10).',
    needs: ['capture'],
    figures: ({ all }) => {
      const { branches } = branchesOf(all);
      return branches === 0 ? missing('no packet to a branch was captured') : exact(branches);
    },
  },
  'split-flows': {
    what: 'Flows at a capture, of a gateway, whose packets went to more than one branch (R1-10).',
    needs: ['capture'],
    figures: ({ all }) => {
      const { branches, splitFlows } = branchesOf(all);
      return branches === 0 ? missing('no packet to a branch was captured') : exact(splitFlows);
    },
  },
  queries: {
    what: 'Queries to decision master nodes, at captures of theirs (R1-3, R1-36).',
    needs: ['capture'],
    figures: (seen) => ofMessages(seen, () => exact(seen.messages.filter((m) => m.type === 'query').length)),
  },
  early: {
    what: 'Packets that came back before their action, at captures of decision master nodes (R1-4).',
    needs: ['capture'],
    figures: (seen) =>
      ofMessages(seen, () =>
        seen.messages.some((m) => m.type === 'packet') ? exact(early(seen.messages)) : missing('no packet came back'),
      ),
  },
  'action-bytes': {
    what: 'The longest action, at captures of decision master nodes (R1-5).',
    needs: ['capture'],
    figures: (seen) => ofMessages(seen, () => exact(largestAction(seen.messages))),
  },
  segments: {
    what: 'Segments that actions of more than one had (R1-5).',
    needs: ['capture'],
    figures: (seen) => ofMessages(seen, () => exact(seen.messages.filter((m) => m.segment && m.segment.offset > 0).length)),
  },
  handed: {
    what: 'Packets that one AIN handed to another, at a capture (R1-9).',
    needs: ['capture'],
    figures: ({ target, evidence, all }) =>
      all.length === 0 ? NO_PACKET : exact(handedOver(toDestination(all, target), ainDevices(evidence))),
  },
  delay: {
    what: 'Through an AIN, from one frame to the next of the same packet at its capture, a quantile (R1-51).',
    needs: ['capture'],
    unit: 'durationUs',
    figures: ({ target, evidence, frames }) => {
      const values = frames.flatMap((own) => passages(own, target.packet, ainDevices(evidence)));
      return values.length === 0
        ? missing('no packet passed')
        : { kind: 'quantile', values, quantile: parseFraction(target.quantile ?? '50%') };
    },
  },
  miscounted: {
    what: 'Packets by which GetMetrics of AINs, last less first, differ from the frames at the capture, which is of a gateway (R1-48).',
    needs: ['capture', 'network'],
    figures: ({ target, evidence, phase, all }) => {
      const told = metricsOf(evidence, phase, target.network ?? '');
      if (!told) return NOT_TOLD;
      const seen = crossed(all, gatewayOf(evidence, many(target.capture)?.[0] ?? ''));
      if (seen.in + seen.out === 0) return NO_PACKET;
      return exact(
        Math.abs(told.in - seen.in) + Math.abs(told.out - seen.out),
        `in ${told.in}, captured ${seen.in}; out ${told.out}, captured ${seen.out}`,
      );
    },
  },
  strayed: {
    what: 'Packets of the network that another worker executed than the first of their flow, as GetMetrics of AINs says, last less first (R1-16).',
    needs: ['network'],
    figures: ({ target, evidence, phase }) => {
      const told = metricsOf(evidence, phase, target.network ?? '');
      if (!told) return NOT_TOLD;
      return told.hits === 0 ? missing('no packet had an action') : exact(told.strayed, `of ${told.hits}`);
    },
  },
  overtaken: {
    what: 'Datagrams to beacons, at a capture, that come after a later one of their flow (R1-16).',
    needs: ['capture'],
    figures: ({ all }) => {
      const { datagrams, overtaken: count } = overtaken(all);
      return datagrams === 0 ? missing('no datagram to a beacon was captured') : exact(count, `of ${datagrams}`);
    },
  },
  sources: {
    what: 'Different source addresses of packets from hosts to `port`, at a capture (R1-29).',
    needs: ['capture', 'port'],
    figures: ({ target, all }) => {
      const found = sourcesOf(all, target.port ?? 0);
      return found.length === 0 ? NO_PACKET : exact(found.length, found.join(', '));
    },
  },
  outside: {
    what: 'Packets to `port` at a capture whose sources are not in `addresses` and `ports` (R1-50).',
    needs: ['capture', 'port', 'addresses', 'ports'],
    figures: ({ target, all }) => {
      const own = toPort(all, target);
      const [first = 0, last = 0] = target.ports ?? [];
      return own.length === 0 ? NO_PACKET : exact(outside(own, prefixOf(target.addresses ?? ''), [first, last]), `of ${own.length}`);
    },
  },
  'unlike-flows': {
    what: 'Flows to `port`, each by its number of packets, that are at the first capture and not at the second one, or there only (R1-50).',
    needs: ['capture', 'port'],
    figures: ({ target, frames }) => {
      const [sent = [], arrived = []] = frames.map((own) => toPort(own, target));
      const { flows, unlike } = unlikeFlows(sent, arrived);
      return flows === 0 ? NO_PACKET : exact(unlike, `of ${flows}`);
    },
  },
  miscopied: {
    what: 'Datagrams to `destination`, a group, at the first capture, of which another capture has not one copy, and copies of others (R1-47).',
    needs: ['capture', 'destination'],
    figures: ({ target, frames }) => {
      const [sent = [], ...members] = frames;
      const own = toDestination(sent, target).filter((f) => f.data);
      if (own.length === 0 || members.length === 0) return missing(`nothing to ${target.destination ?? ''} was captured`);
      const came = members.map((f) => f.filter((m) => m.data));
      if ([own, ...came].flat().some((f) => !f.data?.isWhole)) return missing('datagrams are not captured whole: a longer snap');
      return exact(miscopied(own, came), `${own.length} to ${members.length} members`);
    },
  },
  crossings: {
    what: 'Packets at captures from a node of one cell to a node of another one (R1-18, R1-20).',
    needs: ['capture'],
    figures: ({ evidence, all }) => {
      const cellOf = cellOfAddress(evidence);
      const ofCells = all.filter(({ from, to }) => cellOf(from) !== undefined && cellOf(to) !== undefined);
      return ofCells.length === 0
        ? missing('no packet between nodes of cells was captured')
        : exact(ofCells.filter(({ from, to }) => cellOf(from) !== cellOf(to)).length, `of ${ofCells.length}`);
    },
  },
  tunnelled: {
    what: 'Messages of WireGuard at captures (R1-45).',
    needs: ['capture'],
    figures: ({ all }) => (all.length === 0 ? NO_PACKET : exact(all.filter((f) => f.isTunnelled).length)),
  },
  untunnelled: {
    what: 'Packets at captures that are no messages of WireGuard (R1-45).',
    needs: ['capture'],
    figures: ({ all }) => (all.length === 0 ? NO_PACKET : exact(all.filter((f) => !f.isTunnelled).length, `of ${all.length}`)),
  },
  questions: {
    what: 'Questions to name servers at a capture, of the zone `zone` (R1-41).',
    needs: ['capture'],
    figures: ({ target: { zone }, all }) => {
      const asked = all.flatMap((f) => f.question ?? []);
      if (asked.length === 0) return missing('no question to a name server was captured');
      return exact(asked.filter((name) => zone === undefined || name === zone || name.endsWith(`.${zone}`)).length, `of ${asked.length}`);
    },
  },
  reworded: {
    what: 'Answers of name servers at the last capture that are not, byte for byte, at another one (R1-39).',
    needs: ['capture'],
    figures: ({ frames }) => {
      const answers = frames.map((own) => own.flatMap((f) => f.answer ?? []));
      const given = new Set(answers.slice(0, -1).flatMap((own) => own.map((a) => a.bytes)));
      const got = answers.at(-1) ?? [];
      if (got.length === 0) return missing('no answer of a name server was captured');
      if (answers.flat().some((a) => !a.isWhole)) return missing('answers are not captured whole: a longer snap');
      return exact(got.filter((a) => !given.has(a.bytes)).length, `of ${got.length}`);
    },
  },
  staleness: {
    what: 'From the end of the last `operation` of the phase to the last packet at a capture with `destination` (R1-12).',
    needs: ['capture', 'destination', 'operation'],
    unit: 'durationUs',
    figures: (seen) => {
      const found = after(seen);
      if (typeof found === 'string') return missing(found);
      const { sinceUs, late } = found;
      return exact(late.length === 0 ? 0 : late.at(-1)!.atUs - sinceUs, `${late.length} packets`);
    },
  },
  misdirected: {
    what: 'Packets with `destination` at captures of gateways, after a ModifyVTHConfig with a route for it was answered, that the route does not lead to (R1-13).',
    needs: ['capture', 'destination'],
    figures: ({ target, evidence, phase, frames, all }) => {
      const { destination = '' } = target;
      const changes = routesTo(evidence, phase, destination);
      if (changes.length === 0) return missing(`no route to ${destination} was set in this phase`);
      const seen = (many(target.capture) ?? []).map((at, i) => ({ network: networkAt(evidence, at), frames: frames[i] ?? [] }));
      return toDestination(all, target).length > 0
        ? exact(misdirected(seen, changes, destination), `${changes.length} changes`)
        : missing(`no packet to ${destination} was captured`);
    },
  },
  late: {
    what: 'Packets at a capture with `destination` after the last `operation` of the phase was done (R1-13).',
    needs: ['capture', 'destination', 'operation'],
    figures: (seen) => {
      const found = after(seen);
      if (typeof found === 'string') return missing(found);
      const { sinceUs, late } = found;
      return exact(late.length, late[0] && `the last ${((late.at(-1)!.atUs - sinceUs) / 1000).toFixed(1)} ms after it`);
    },
  },
});
