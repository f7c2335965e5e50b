/** Metrics of captures: paths through tunnels, what is in them, and who talks to whom on the control plane. */
import { missing, type Figures, type Window } from '../../../src/checks/check.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { PhaseRecord } from '../../../src/evidence/records.ts';
import { ETCD_PORT } from '../../lib/etcd/server.ts';
import { exact, many, metrics } from '../../lib/metric.ts';
import { WIREGUARD_PORT } from '../../lib/wireguard.ts';
import { framesAt, type SeenFrame, type SeenPacket } from './frames.ts';
import type { Keys } from './keys.ts';
import { doneIn, placesOf, whereabouts, type Whereabouts } from './places.ts';

interface SeenFrames {
  readonly target: Keys;
  readonly evidence: CellEvidence;
  readonly phase: PhaseRecord;
  /** By capture point. */
  readonly frames: ReadonlyMap<string, readonly SeenFrame[]>;
  /** Packets in tunnels, of all of them, in the order of time; as the keys choose. */
  readonly tunnelled: readonly Tunnelled[];
  readonly endpoints: ReadonlyMap<string, Whereabouts>;
  readonly places: ReadonlyMap<string, string>;
}

interface Tunnelled {
  readonly atUs: number;
  /** Outer addresses. */
  readonly from: string;
  readonly to: string;
  readonly inner: SeenPacket & { readonly vnid: number };
}

/** A text says why there are none. */
export function seenFrames(target: Keys, evidence: CellEvidence, phase: PhaseRecord, { fromUs, toUs }: Window): SeenFrames | string {
  const frames = new Map<string, readonly SeenFrame[]>();
  for (const at of many(target.capture) ?? []) {
    const found = framesAt(evidence, at, phase);
    if (typeof found === 'string') return found;
    frames.set(
      at,
      found.filter((f) => f.atUs >= fromUs && f.atUs < toUs),
    );
  }
  const endpoints = whereabouts(evidence, phase);
  const isMeant = (packet: SeenPacket): boolean =>
    (target.source === undefined || packet.source === target.source) &&
    (target.destination === undefined || packet.destination === target.destination) &&
    (target.port === undefined || packet.destinationPort === target.port);
  const tunnelled = [...frames.values()]
    .flat()
    .flatMap(({ atUs, source, destination, inner }): Tunnelled[] =>
      inner && isMeant(inner) ? [{ atUs, from: source, to: destination, inner }] : [],
    );
  tunnelled.sort((a, b) => a.atUs - b.atUs);
  const own = new Map([...frames].map(([at, all]) => [at, all.filter((f) => f.inner !== null || isMeant(f))] as const));
  return { target, evidence, phase, frames: own, tunnelled, endpoints, places: placesOf(evidence) };
}

const connectionOf = ({ inner: p }: { readonly inner: SeenPacket }): string =>
  [p.protocol, p.source, p.sourcePort, p.destination, p.destinationPort].join(' ');

const NO_TUNNEL = missing('no packet in a tunnel was captured');
const ofTunnels = (seen: SeenFrames, count: () => Figures): Figures => (seen.tunnelled.length === 0 ? NO_TUNNEL : count());

const isAt = (endpoint: Whereabouts | undefined, host: string | undefined, atUs: number): boolean =>
  endpoint?.stays.some((s) => s.host === host && atUs >= s.fromUs && atUs < s.untilUs) ?? false;

/** Between other hosts than those of its endpoints. */
const isDetour = ({ endpoints, places }: SeenFrames, { atUs, from, to, inner }: Tunnelled): boolean =>
  !isAt(endpoints.get(inner.source), places.get(from), atUs) || !isAt(endpoints.get(inner.destination), places.get(to), atUs);

const isBetween = ({ source, destination }: SeenPacket, a: string | undefined, b: string | undefined): boolean =>
  (source === a && destination === b) || (source === b && destination === a);

/** From the start of an operation to the first packet in a tunnel to the host that its destination is on then. */
function convergenceUs(seen: SeenFrames): number | string {
  const { target, evidence, phase, tunnelled } = seen;
  const last = doneIn(evidence, phase.phase, target.operation ?? '').at(-1);
  if (!last) return `no ${target.operation ?? 'operation'} was done in this phase`;
  const first = tunnelled.find((t) => {
    const stay = seen.endpoints.get(t.inner.destination)?.stays.at(-1);
    return t.atUs >= last.beganUs && stay?.host === seen.places.get(t.to);
  });
  return first ? first.atUs - last.beganUs : 'no packet went the new way';
}

const keyOf = (f: SeenFrame): string => `${f.source} ${f.destination} ${f.bytes} ${f.identity}`;

/** Those that the others do not have. */
function without(packets: readonly SeenFrame[], others: readonly SeenFrame[]): Figures {
  const known = new Set(others.map(keyOf));
  return exact(packets.filter((f) => !known.has(keyOf(f))).length, `of ${packets.length}`);
}

function ofBothEnds({ frames }: SeenFrames, compare: (sent: readonly SeenFrame[], arrived: readonly SeenFrame[]) => Figures): Figures {
  const [sent, arrived] = [[...frames.values()].at(0), [...frames.values()].at(-1)];
  if (!sent || !arrived || frames.size < 2) return missing('packets of two captures are compared');
  return sent.length === 0 || arrived.length === 0 ? missing('one of the captures has no such packet') : compare(sent, arrived);
}

/** Of the packets of the control plane between two nodes. */
function ofControl({ target, frames, places }: SeenFrames, figure: (packets: readonly SeenFrame[]) => number): Figures {
  const [a, b] = (target.between ?? []).map((name) => [...places].find(([, n]) => n === name)?.[0]);
  const control = [...frames.values()].flat().filter((f) => f.sourcePort === ETCD_PORT || f.destinationPort === ETCD_PORT);
  if (control.length === 0) return missing('no packet of the control plane was captured');
  return exact(figure(control.filter((f) => isBetween(f, a, b))));
}

export const FRAME_METRICS = metrics<SeenFrames, keyof Keys>()({
  tunnelled: {
    what: 'Packets in tunnels.',
    needs: ['capture'],
    figures: ({ target: { via }, tunnelled, places }) =>
      exact(tunnelled.filter((t) => via === undefined || places.get(t.to) === via).length),
  },
  rerouted: {
    what: 'Connections whose packets went in tunnels to one node, and then to another one (R2-24).',
    needs: ['capture'],
    figures: (seen) =>
      ofTunnels(seen, () => {
        const ways = [...Map.groupBy(seen.tunnelled, connectionOf).values()].map((own) => new Set(own.map((t) => seen.places.get(t.to))));
        const concerned = ways.filter((way) => !way.has(seen.target.via));
        return concerned.length === 0
          ? missing('no such connection was captured')
          : exact(concerned.filter((way) => way.size > 1).length, `of ${concerned.length}`);
      }),
  },
  begun: {
    what: 'Connections of TCP that are begun at captures, as source, destination and port choose (R2-25, R2-26).',
    needs: ['capture'],
    figures: ({ frames }) =>
      exact(
        new Set(
          [...frames.values()]
            .flat()
            .filter((f) => f.begins)
            .map((f) => connectionOf({ inner: f })),
        ).size,
      ),
  },
  detours: {
    what: 'Packets in tunnels between other hosts than those that their endpoints are on (R2-2).',
    needs: ['capture'],
    figures: (seen) =>
      ofTunnels(seen, () => {
        const wrong = seen.tunnelled.filter((t) => isDetour(seen, t));
        return exact(wrong.length, wrong[0] && `${wrong[0].inner.destination} by ${wrong[0].from} to ${wrong[0].to}`);
      }),
  },
  mislabelled: {
    what: 'Packets in tunnels whose key is not the identifier of the network of their destination (R2-3).',
    needs: ['capture'],
    figures: (seen) =>
      ofTunnels(seen, () => exact(seen.tunnelled.filter((t) => seen.endpoints.get(t.inner.destination)?.vnid !== t.inner.vnid).length)),
  },
  bare: {
    what: 'Packets of endpoints that are in no tunnel, at captures of the underlay (R2-3).',
    needs: ['capture'],
    figures: (seen) =>
      ofTunnels(seen, () =>
        exact([...seen.frames.values()].flat().filter((f) => seen.endpoints.has(f.source) || seen.endpoints.has(f.destination)).length),
      ),
  },
  unlike: {
    what: 'Packets at the last capture, of the receiver, that are not as they were at the first one, of the sender (R2-2, R2-3).',
    needs: ['capture'],
    figures: (seen) => ofBothEnds(seen, (sent, arrived) => without(arrived, sent)),
  },
  lost: {
    what: 'Packets at the first capture, of the sender, that the last one, of the receiver, does not have (R2-12).',
    needs: ['capture'],
    figures: (seen) => ofBothEnds(seen, (sent, arrived) => without(sent, arrived)),
  },
  arrived: {
    what: 'Packets at captures, as source, destination and port choose (R2-8, R2-19).',
    needs: ['capture'],
    figures: ({ frames }) => exact([...frames.values()].reduce((sum, all) => sum + all.filter((f) => f.inner === null).length, 0)),
  },
  clear: {
    what: 'Packets at captures of the way between the ends of a VPN that are no messages of WireGuard (R2-23).',
    needs: ['capture'],
    figures: ({ frames }) => {
      // What kernels say to their neighbours carries nobody's packets.
      const all = [...frames.values()].flat().filter((f) => !f.source.startsWith('fe80:') && f.source !== '::');
      const open = all.filter((f) => f.sourcePort !== WIREGUARD_PORT || f.destinationPort !== WIREGUARD_PORT);
      return all.length === 0 ? missing('no packet was captured') : exact(open.length, `of ${all.length}`);
    },
  },
  late: {
    what: 'Packets in tunnels to the host that an endpoint has left, after the last operation (R2-7).',
    needs: ['capture', 'operation'],
    figures: (seen) =>
      ofTunnels(seen, () => {
        const last = doneIn(seen.evidence, seen.phase.phase, seen.target.operation ?? '').at(-1);
        if (!last) return missing(`no ${seen.target.operation ?? 'operation'} was done in this phase`);
        return exact(seen.tunnelled.filter((t) => t.atUs > last.doneUs && isDetour(seen, t)).length);
      }),
  },
  convergence: {
    what: 'From the start of the last operation to the first packet that goes the new way (R2-7).',
    needs: ['capture', 'operation'],
    unit: 'durationUs',
    figures: (seen) => {
      const us = convergenceUs(seen);
      return typeof us === 'string' ? missing(us) : exact(us);
    },
  },
  'control-bytes': {
    what: 'Bytes of the control plane between two nodes, both ways (R2-4, R2-5).',
    needs: ['capture', 'between'],
    figures: (seen) => ofControl(seen, (packets) => packets.reduce((sum, f) => sum + f.bytes, 0)),
  },
  sessions: {
    what: 'Connections of the control plane between two nodes (R2-13).',
    needs: ['capture', 'between'],
    figures: (seen) =>
      ofControl(seen, (packets) => new Set(packets.map((f) => (f.destinationPort === ETCD_PORT ? f.sourcePort : f.destinationPort))).size),
  },
});
