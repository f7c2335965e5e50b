/** traffic-hub: who answered whom, and what the wire shows of decisions, paths and translations (R1 section 8). */
import { Type } from 'typebox';
import { missing, type Check, type Figures, type Window } from '../../../src/checks/check.ts';
import { needsCapture, needsKeys } from '../../../src/checks/problems.ts';
import { names, oneOrMany, opt, pattern, percent, text } from '../../../src/core/config/parts.ts';
import { expandAll } from '../../../src/core/config/ranges.ts';
import { conform } from '../../../src/core/json.ts';
import { parseFraction } from '../../../src/core/units.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isRequest } from '../../../src/evidence/events.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { validated } from '../../lib/params.ts';
import { contains, parseAddress, prefixOf } from '../../lib/prefix.ts';
import { CONTROL_OPERATIONS } from '../operations.ts';
import { ainDevices, cellOfAddress, hubConfigOf } from './config.ts';
import { framesAt, type SeenFrame } from './frames.ts';
import {
  branchesOf,
  crossed,
  early,
  handedOver,
  outageUs,
  largestAction,
  miscopied,
  misdirected,
  type RouteChange,
  outside,
  overtaken,
  passages,
  sourcesOf,
  unlikeFlows,
} from './measures.ts';
import { probesOf } from './probes.ts';

const METRICS = {
  answered: 'Probes that anybody answered (R1-1).',
  unanswered: 'Probes that the host that is meant did not answer (R1-2, R1-43).',
  astray: 'Probes that another host answered than the one that is meant (R1-29, R1-38).',
  altered: 'Answers whose data are not what was sent (R1-4).',
  outage: 'From the first probe that nobody answered to the last (R1-21).',
  latency: 'Until the answer, a quantile; what nobody answered took for ever.',
  versions: 'Different versions of the metadata that decision master nodes tell in answers to probes, at captures of theirs (R1-15).',
  branches: 'Branches that packets at a capture, of a gateway, went to (R1-10).',
  'split-flows': 'Flows at a capture, of a gateway, whose packets went to more than one branch (R1-10).',
  queries: 'Queries to decision master nodes, at captures of theirs (R1-3, R1-36).',
  early: 'Packets that came back before their action, at captures of decision master nodes (R1-4).',
  'action-bytes': 'The longest action, at captures of decision master nodes (R1-5).',
  segments: 'Segments that actions of more than one had (R1-5).',
  handed: 'Packets that one AIN handed to another, at a capture (R1-9).',
  delay: 'Through an AIN, from one frame to the next of the same packet at its capture, a quantile (R1-51).',
  miscounted: 'Packets by which GetMetrics of AINs, last less first, differ from the frames at the capture, which is of a gateway (R1-48).',
  sources: 'Different source addresses of packets from hosts to `port`, at a capture (R1-29).',
  miscopied:
    'Datagrams to `destination`, a group, at the first capture, of which another capture has not one copy, and copies of others (R1-47).',
  strayed:
    'Packets of the network that another worker executed than the first of their flow, as GetMetrics of AINs says, last less first (R1-16).',
  overtaken: 'Datagrams to beacons, at a capture, that come after a later one of their flow (R1-16).',
  outside: 'Packets to `port` at a capture whose sources are not in `addresses` and `ports` (R1-50).',
  'unlike-flows':
    'Flows to `port`, each by its number of packets, that are at the first capture and not at the second one, or there only (R1-50).',
  crossings: 'Packets at captures from a node of one cell to a node of another one (R1-18, R1-20).',
  tunnelled: 'Messages of WireGuard at captures (R1-45).',
  untunnelled: 'Packets at captures that are no messages of WireGuard (R1-45).',
  questions: 'Questions to name servers at a capture, of the zone `zone` (R1-41).',
  reworded: 'Answers of name servers at the last capture that are not, byte for byte, at another one (R1-39).',
  staleness: 'From the end of the last `operation` of the phase to the last packet at a capture with `destination` (R1-12).',
  misdirected:
    'Packets with `destination` at captures of gateways, after a ModifyVTHConfig with a route for it was answered, that the route does not lead to (R1-13).',
  late: 'Packets at a capture with `destination` after the last `operation` of the phase was done (R1-13).',
} as const;
type Metric = keyof typeof METRICS;

const keys = {
  metric: Type.Enum(Object.keys(METRICS) as Metric[], {
    description: Object.entries(METRICS)
      .map(([name, what]) => `${name}: ${what}`)
      .join(' '),
  }),
  hosts: opt(oneOrMany(names('Hosts that ask (default: all).'))),
  asked: opt(oneOrMany(text('What they ask: address, or name of a host (default: all).'))),
  by: opt(text('Host that is meant (default: the one that is asked by its name).')),
  protocol: opt(Type.Enum(['tcp', 'udp'], { description: 'Only of this protocol.' })),
  capture: opt(oneOrMany(text('Capture points, "node:interface".'))),
  packet: opt(Type.Enum(['first', 'later'], { description: 'delay: of flows, the first packets, or all others (default: all).' })),
  port: opt(Type.Integer({ minimum: 1, maximum: 65_535, description: 'sources, outside, unlike-flows: only to this port.' })),
  addresses: opt(pattern('^[0-9.]{7,15}/[0-9]{1,2}$', 'a prefix such as "100.127.0.0/20"', 'outside: allowed sources.')),
  ports: opt(
    Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), {
      minItems: 2,
      maxItems: 2,
      description: 'outside: the first and the last one.',
    }),
  ),
  destination: opt(text('handed, late, misdirected, staleness, miscopied, outside, unlike-flows: only to this address.')),
  operation: opt(text('late, staleness: operation.')),
  zone: opt(text('questions: only for names of this zone.')),
  network: opt(text('miscounted, strayed: isolated network.')),
  quantile: opt(percent('Quantile (default 50%).')),
};
type Keys = KeysOf<typeof keys>;

const NEEDS: Partial<Record<Metric, readonly (keyof Keys)[]>> = {
  versions: ['capture'],
  branches: ['capture'],
  'split-flows': ['capture'],
  queries: ['capture'],
  early: ['capture'],
  'action-bytes': ['capture'],
  segments: ['capture'],
  handed: ['capture'],
  delay: ['capture'],
  miscounted: ['capture', 'network'],
  sources: ['capture', 'port'],
  miscopied: ['capture', 'destination'],
  strayed: ['network'],
  overtaken: ['capture'],
  outside: ['capture', 'port', 'addresses', 'ports'],
  'unlike-flows': ['capture', 'port'],
  crossings: ['capture'],
  tunnelled: ['capture'],
  untunnelled: ['capture'],
  questions: ['capture'],
  reworded: ['capture'],
  staleness: ['capture', 'destination', 'operation'],
  misdirected: ['capture', 'destination'],
  late: ['capture', 'destination', 'operation'],
};
const DURATIONS: readonly Metric[] = ['latency', 'delay', 'outage', 'staleness'];
const many = (value: string | readonly string[] | undefined): readonly string[] | undefined =>
  value === undefined ? undefined : typeof value === 'string' ? [value] : value;

const exact = (value: number, detail?: string): Figures => ({ kind: 'exact', value, ...(detail === undefined ? {} : { detail }) });

const trafficHub: Check<Keys> = {
  name: 'traffic-hub',
  keys,
  unit: ({ metric }) => (DURATIONS.includes(metric) ? 'durationUs' : 'count'),
  problems(target, lab) {
    return [
      ...needsKeys(target, target.metric, NEEDS[target.metric] ?? []),
      ...(many(target.capture) ?? []).flatMap((at) => needsCapture(at, lab)),
    ];
  },
  figures(target, evidence, phase, window) {
    if (target.metric === 'strayed') return strayed(target, evidence, phase);
    return target.capture === undefined ? ofProbes(target, evidence, phase, window) : ofFrames(target, evidence, phase, window);
  },
};

function ofProbes(target: Keys, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): Figures {
  const hosts = target.hosts === undefined ? undefined : expandAll(target.hosts);
  const asked = many(target.asked);
  const probes = probesOf(evidence, phase).filter(
    (p) =>
      p.atUs >= fromUs &&
      p.atUs < toUs &&
      (hosts?.includes(p.from) ?? true) &&
      (asked?.includes(p.to) ?? true) &&
      (target.protocol === undefined || p.protocol === target.protocol),
  );
  if (probes.length === 0) return missing('no host asked');
  const meant = (p: { to: string }): string => target.by ?? p.to;
  switch (target.metric) {
    case 'answered':
      return exact(probes.filter((p) => p.by !== null).length);
    case 'unanswered':
      return exact(probes.filter((p) => p.by !== meant(p)).length, `of ${probes.length}`);
    case 'astray': {
      const wrong = probes.filter((p) => p.by !== null && p.by !== meant(p));
      const answered = probes.filter((p) => p.by !== null);
      if (answered.length === 0) return missing('nobody answered');
      return exact(wrong.length, wrong[0] && `${wrong[0].by} answered ${wrong[0].from}`);
    }
    case 'outage':
      return probes.some((p) => p.by !== null) ? exact(outageUs(probes)) : missing('nobody answered');
    case 'altered': {
      const answered = probes.filter((p) => p.by !== null);
      return answered.length === 0 ? missing('nobody answered') : exact(answered.filter((p) => !p.intact).length);
    }
    default:
      return { kind: 'quantile', values: probes.map((p) => p.us), quantile: parseFraction(target.quantile ?? '50%') };
  }
}

const toTarget = (frames: readonly SeenFrame[], { port, destination }: Keys): SeenFrame[] =>
  frames.filter((f) => f.destinationPort === port && (destination ?? f.destination) === f.destination);

function strayed(target: Keys, evidence: CellEvidence, phase: PhaseRecord): Figures {
  const told = metricsOf(evidence, phase, target.network ?? '');
  if (!told) return missing('GetMetrics was not answered twice');
  return told.hits === 0 ? missing('no packet had an action') : exact(told.strayed, `of ${told.hits}`);
}

function ofFrames(target: Keys, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): Figures {
  const frames: (readonly SeenFrame[])[] = [];
  for (const at of many(target.capture) ?? []) {
    const found = framesAt(evidence, at, phase);
    if (typeof found === 'string') return missing(found);
    frames.push(found.filter((f) => f.atUs >= fromUs && f.atUs < toUs));
  }
  const all = frames.flat();
  const messages = all.flatMap((f) => (f.message ? [{ ...f.message, atUs: f.atUs }] : []));
  const ofMessages = (count: () => Figures): Figures =>
    messages.length === 0 ? missing('no message between AINs and DMNs was captured') : count();
  switch (target.metric) {
    case 'queries':
      return ofMessages(() => exact(messages.filter((m) => m.type === 'query').length));
    case 'versions': {
      const told = messages.flatMap((m) => m.version ?? []);
      return told.length === 0 ? missing('no answer to a probe was captured') : exact(new Set(told).size);
    }
    case 'branches':
    case 'split-flows': {
      const { branches, splitFlows } = branchesOf(all);
      if (branches === 0) return missing('no packet to a branch was captured');
      return exact(target.metric === 'branches' ? branches : splitFlows);
    }
    case 'early':
      return ofMessages(() => (messages.some((m) => m.type === 'packet') ? exact(early(messages)) : missing('no packet came back')));
    case 'action-bytes':
      return ofMessages(() => exact(largestAction(messages)));
    case 'segments':
      return ofMessages(() => exact(messages.filter((m) => m.segment && m.segment.offset > 0).length));
    case 'handed':
      return all.length === 0
        ? missing('no packet was captured')
        : exact(
            handedOver(
              target.destination === undefined ? all : all.filter((f) => f.destination === target.destination),
              ainDevices(evidence),
            ),
          );
    case 'delay': {
      const values = frames.flatMap((own) => passages(own, target.packet, ainDevices(evidence)));
      return values.length === 0
        ? missing('no packet passed')
        : { kind: 'quantile', values, quantile: parseFraction(target.quantile ?? '50%') };
    }
    case 'miscounted': {
      const told = metricsOf(evidence, phase, target.network ?? '');
      if (!told) return missing('GetMetrics was not answered twice');
      const seen = crossed(all, gatewayOf(evidence, many(target.capture)?.[0] ?? ''));
      if (seen.in + seen.out === 0) return missing('no packet was captured');
      return exact(
        Math.abs(told.in - seen.in) + Math.abs(told.out - seen.out),
        `in ${told.in}, captured ${seen.in}; out ${told.out}, captured ${seen.out}`,
      );
    }
    case 'sources': {
      const found = sourcesOf(all, target.port ?? 0);
      return found.length === 0 ? missing('no packet was captured') : exact(found.length, found.join(', '));
    }
    case 'miscopied': {
      const [sent = [], ...members] = frames;
      const own = sent.filter((f) => f.destination === target.destination && f.data);
      if (own.length === 0 || members.length === 0) return missing(`nothing to ${target.destination ?? ''} was captured`);
      const came = members.map((f) => f.filter((m) => m.data));
      if ([own, ...came].flat().some((f) => !f.data?.isWhole)) return missing('datagrams are not captured whole: a longer snap');
      return exact(miscopied(own, came), `${own.length} to ${members.length} members`);
    }
    case 'overtaken': {
      const { datagrams, overtaken: count } = overtaken(all);
      return datagrams === 0 ? missing('no datagram to a beacon was captured') : exact(count, `of ${datagrams}`);
    }
    case 'outside': {
      const own = toTarget(all, target);
      const [first = 0, last = 0] = target.ports ?? [];
      return own.length === 0
        ? missing('no packet was captured')
        : exact(outside(own, prefixOf(target.addresses ?? ''), [first, last]), `of ${own.length}`);
    }
    case 'unlike-flows': {
      const [sent = [], arrived = []] = frames.map((own) => toTarget(own, target));
      const { flows, unlike } = unlikeFlows(sent, arrived);
      return flows === 0 ? missing('no packet was captured') : exact(unlike, `of ${flows}`);
    }
    case 'crossings': {
      const cellOf = cellOfAddress(evidence);
      const ofCells = all.filter(({ from, to }) => cellOf(from) !== undefined && cellOf(to) !== undefined);
      return ofCells.length === 0
        ? missing('no packet between nodes of cells was captured')
        : exact(ofCells.filter(({ from, to }) => cellOf(from) !== cellOf(to)).length, `of ${ofCells.length}`);
    }
    case 'misdirected': {
      const changes = routesTo(evidence, phase, target.destination ?? '');
      if (changes.length === 0) return missing(`no route to ${target.destination ?? ''} was set in this phase`);
      const seen = (many(target.capture) ?? []).map((at, i) => ({ network: networkAt(evidence, at), frames: frames[i] ?? [] }));
      return all.some((f) => f.destination === target.destination)
        ? exact(misdirected(seen, changes, target.destination ?? ''), `${changes.length} changes`)
        : missing(`no packet to ${target.destination ?? ''} was captured`);
    }
    case 'tunnelled':
      return all.length === 0 ? missing('no packet was captured') : exact(all.filter((f) => f.isTunnelled).length);
    case 'untunnelled': {
      const bare = all.filter((f) => !f.isTunnelled);
      return all.length === 0 ? missing('no packet was captured') : exact(bare.length, `of ${all.length}`);
    }
    case 'questions': {
      const asked = all.flatMap((f) => f.question ?? []);
      if (asked.length === 0) return missing('no question to a name server was captured');
      const { zone } = target;
      return exact(asked.filter((name) => zone === undefined || name === zone || name.endsWith(`.${zone}`)).length, `of ${asked.length}`);
    }
    case 'reworded': {
      const answers = frames.map((own) => own.flatMap((f) => f.answer ?? []));
      const given = new Set(answers.slice(0, -1).flatMap((own) => own.map((a) => a.bytes)));
      const got = answers.at(-1) ?? [];
      if (got.length === 0) return missing('no answer of a name server was captured');
      if (answers.flat().some((a) => !a.isWhole)) return missing('answers are not captured whole: a longer snap');
      return exact(got.filter((a) => !given.has(a.bytes)).length, `of ${got.length}`);
    }
    default: {
      const done = (evidence.events[phase.phase] ?? [])
        .filter((e) => isRequest(e) && e.action.operation === target.operation && e.outcome.state === 'done')
        .at(-1);
      if (!done) return missing(`no ${target.operation} was done in this phase`);
      const afterUs = done.beganUs + done.tookUs;
      if (!all.some((f) => f.destination === target.destination)) return missing(`no packet to ${target.destination ?? ''} was captured`);
      const late = all.filter((f) => f.atUs > afterUs && f.destination === target.destination);
      if (target.metric === 'staleness') {
        return exact(late.length === 0 ? 0 : late.at(-1)!.atUs - afterUs, `${late.length} packets`);
      }
      return exact(late.length, late[0] && `the last ${((late.at(-1)!.atUs - afterUs) / 1000).toFixed(1)} ms after it`);
    }
  }
}

/** Routes to an address, as operations of the phase have set them: when they were answered, and when the next one was asked. */
function routesTo(evidence: CellEvidence, phase: PhaseRecord, destination: string): RouteChange[] {
  const address = parseAddress(destination);
  const set = (evidence.events[phase.phase] ?? []).flatMap((e) => {
    if (!isRequest(e) || e.action.operation !== 'ModifyVTHConfig' || e.outcome.state !== 'done') return [];
    const { addRoutes = [] } = validated(CONTROL_OPERATIONS.ModifyVTHConfig, e.action.params);
    const route = addRoutes.find((r) => address && contains(prefixOf(r.prefix), address));
    return route ? [{ askedUs: e.beganUs, answeredUs: e.beganUs + e.tookUs, to: route.to ?? null }] : [];
  });
  return set.map(({ answeredUs, to }, i) => ({ fromUs: answeredUs, untilUs: set[i + 1]?.askedUs ?? phase.durationUs, to }));
}

/** Of the gateway that a capture is at. */
function networkAt({ lab }: CellEvidence, at: string): string | undefined {
  const { networks = {} } = hubConfigOf(lab) ?? {};
  return Object.entries(networks).find(([, n]) => n.gateway === at.split(':')[0])?.[0];
}

const COUNTED = ['in', 'out', 'hits', 'strayed'] as const;
const tallies = Type.Record(Type.String(), Type.Record(Type.String(), Type.Number()));

/** What AINs counted of a network from their first answer of the phase to their last. undefined: one of them answered less than twice. */
function metricsOf(evidence: CellEvidence, phase: PhaseRecord, network: string): Record<(typeof COUNTED)[number], number> | undefined {
  const answers = (evidence.events[phase.phase] ?? []).flatMap((e) =>
    isRequest(e) && e.action.operation === 'GetMetrics' && e.outcome.state === 'done'
      ? [{ node: e.action.node, of: conform(tallies, e.outcome.answer)[network] }]
      : [],
  );
  const sum = { in: 0, out: 0, hits: 0, strayed: 0 };
  const byNode = [...Map.groupBy(answers, (a) => a.node).values()];
  for (const own of byNode) {
    const [first, last] = [own[0]?.of, own.at(-1)?.of];
    if (own.length < 2 || !first || !last) return undefined;
    for (const what of COUNTED) sum[what] += (last[what] ?? 0) - (first[what] ?? 0);
  }
  return byNode.length === 0 ? undefined : sum;
}

/** Address of the device that a capture is at. */
const gatewayOf = ({ lab }: CellEvidence, at: string): string => {
  const [node, name] = at.split(':');
  return lab.fabric.nodes.find((n) => n.name === node)?.interfaces.find((i) => i.name === name)?.mac ?? '';
};

export const checks: readonly Check<Keys>[] = [trafficHub];
