/** pop-offload: who serves what, what became of connections, and what the packets say (R3 section 8). */
import { Type } from 'typebox';
import { missing, type Check, type Figures } from '../../../src/checks/check.ts';
import { defectOf } from '../../../src/evidence/captures.ts';
import { phaseStartUs } from '../../../src/evidence/phases.ts';
import type { KeysOf } from '../../../src/topology/checks.ts';
import { parseDurationUs, parseFraction } from '../../../src/core/units.ts';
import { needsCapture, needsKeys, refuseWindow } from '../../../src/checks/problems.ts';
import { expandAll } from '../../../src/core/config/ranges.ts';
import { duration, names, oneOrMany, opt, percent, text } from '../../../src/core/config/parts.ts';
import { configOf, timelineOf, type Connection, type Timeline } from './evidence.ts';
import {
  addedUs,
  aliveIn,
  altered,
  differing,
  prematureChanges,
  incomplete,
  indirect,
  loadSeries,
  malformed,
  wrongSources,
  modifications,
  redundantChanges,
  reaction,
  relayed,
  settling,
  sigmas,
  split,
  startedIn,
  misdelivered,
  turns,
  uneven,
  untrue,
  wrongAnswers,
} from './measures.ts';
import { packetsAt, type SeenPacket } from './packets.ts';

const METRICS = {
  share: 'New connections that a PoP takes, a part of all (R3-2 to R3-6).',
  sigma: 'How far that share is from `policy`, in standard deviations of the binomial (R3-2).',
  connections: 'New connections; with `pop`, those that it takes.',
  broken:
    'Connections that were reset, refused or not answered, of those that lived in the window and, where it has a `to`, ended in it (R3-15, R3-16).',
  moved: 'Connections that more than one PoP answered (R3-10).',
  split: 'Connections that one PoP answered and another got packets of, by the tunnels at a capture (R3-10).',
  replies: 'Replies from anycast addresses, not in a tunnel, at a capture (R3-13).',
  live: 'Connections that were open at `event`.',
  'wrong-source-logs': 'Requests whose client, as the server logged it, had no such connection (R3-14).',
  differing: 'Bodies that differ from the others of their service (R3-39).',
  misplaced: 'Connections that a server answered which their service does not have (R3-34).',
  servers: 'Servers of a PoP that answered (R3-35).',
  uneven: "Servers' parts of a PoP's new connections: the farthest from equal parts, in standard deviations of the binomial (R3-35).",
  entries: "Entries of a PoP's table of a service that point to the PoP `beside`, in the last table of the window (R3-34).",
  untrue:
    'How far the parts of new flows that a capture shows in tunnels are from what GetPolicies answered: the farthest, in standard deviations of the binomial (R3-38).',
  incomplete: 'PoPs whose feedback, as PullFeedback answered, lacks the load or the latency of a server (R3-29).',
  reaction: 'From when a policy was sent (or `event` happened) until the first new connection at the PoP that gets more (R3-30).',
  queried: 'Entries that GetPolicies told otherwise than the tables had them (R3-38).',
  latency: "First answers of a PoP's connections, a quantile.",
  added: "First answers of a PoP's connections less the median of those of the PoP `beside`, a quantile (R3-33).",
  modifications: 'Entries that a PoP changed (R3-19).',
  'redundant-changes': 'Entries that it changed beyond those that had to be (R3-19).',
  'premature-changes': 'Entries that it changed although another, as good, had been changed longer ago (R3-20).',
  load: "Load of a PoP, the mean of its servers' (R3-27).",
  settling: 'Control intervals from the first load above `limit` until the load keeps it.',
  turns: 'Turns of what a PoP sheds, from more to less or back.',
  versions: 'Versions of policies (R3-26, R3-28).',
  tunnelled: 'Packets in tunnels at a capture (R3-5, R3-32).',
  relayed: 'Packets that went through more than one tunnel, all captures together (R3-21, R3-22).',
  altered: 'Packets that tunnels or first hops changed, all captures together (R3-9).',
  malformed: 'Packets in tunnels of another kind than configured, or between others than edges (R3-8).',
  'misdelivered-packets': 'Packets in tunnels to another PoP than the one that serves their connection.',
  hops: 'First hops at a capture that carry a secondary (R3-18).',
  'hops-without-secondary': 'First hops of entries that point away, without a secondary (R3-18).',
  indirect: 'Replies at a capture of connections that another PoP served (R3-12).',
} as const;

const keys = {
  metric: Type.Enum(Object.keys(METRICS) as (keyof typeof METRICS)[], {
    description: Object.entries(METRICS)
      .map(([name, what]) => `${name}: ${what}`)
      .join(' '),
  }),
  pop: opt(text('PoP that is judged.')),
  beside: opt(text('added: PoP that it is compared with. entries: PoP that they point to.')),
  service: opt(oneOrMany(text('Services (default: all).'))),
  clients: opt(oneOrMany(names('Nodes of clients (default: all).'))),
  policy: opt(percent('sigma: what the share should be.')),
  quantile: opt(percent('Quantile (default 50%).')),
  capture: opt(text('Capture point, "node:interface".')),
  event: opt(duration('live, settling, reaction: when, within the phase.')),
  limit: opt(percent('settling: of the load.')),
};
type Keys = KeysOf<typeof keys>;

const NEEDS: Partial<Record<keyof typeof METRICS, readonly (keyof Keys)[]>> = {
  share: ['pop'],
  sigma: ['pop', 'policy'],
  live: ['event'],
  servers: ['pop'],
  uneven: ['pop'],
  entries: ['pop', 'beside', 'service'],
  untrue: ['pop', 'capture'],
  reaction: ['pop'],
  latency: ['pop'],
  added: ['pop', 'beside'],
  modifications: ['pop'],
  'redundant-changes': ['pop'],
  'premature-changes': ['pop'],
  load: ['pop'],
  settling: ['pop', 'event', 'limit'],
  turns: ['pop'],
  tunnelled: ['capture'],
  malformed: ['capture'],
  'misdelivered-packets': ['capture'],
  split: ['capture'],
  replies: ['capture'],
  hops: ['capture'],
  'hops-without-secondary': ['capture'],
  indirect: ['capture', 'pop'],
};
/** Of everything that the run left, whenever it was. */
const WHOLE: readonly (keyof typeof METRICS)[] = ['live', 'queried', 'incomplete', 'redundant-changes', 'premature-changes'];
const many = (value: string | readonly string[] | undefined): string[] | undefined => (value === undefined ? undefined : expandAll(value));

const popOffload: Check<Keys> = {
  name: 'pop-offload',
  keys,
  unit: ({ metric }) =>
    metric === 'share' || metric === 'load'
      ? 'fraction'
      : metric === 'reaction' || metric === 'latency' || metric === 'added'
        ? 'durationUs'
        : 'count',
  problems(target, lab) {
    const config = lab.systems.find((s) => s.name === 'pop')?.config as { pops?: object; services?: object } | undefined;
    const known = (key: 'pop' | 'beside' | 'service', names: string[]) =>
      (many(target[key]) ?? []).flatMap((name) =>
        names.includes(name)
          ? []
          : [{ path: [key], message: `no ${key === 'service' ? 'service' : 'PoP'} "${name}"`, hint: `there are: ${names.join(', ')}` }],
      );
    const pops = Object.keys(config?.pops ?? {});
    return [
      ...needsKeys(target, target.metric, NEEDS[target.metric] ?? []),
      ...(WHOLE.includes(target.metric) ? refuseWindow(target, target.metric) : []),
      ...known('pop', pops),
      ...known('beside', pops),
      ...known('service', Object.keys(config?.services ?? {})),
      ...needsCapture(target.capture, lab),
    ];
  },
  figures(target, evidence, phase, window) {
    const timeline = timelineOf(evidence, phase);
    if (typeof timeline === 'string') return missing(timeline);
    const { pop = '', metric } = target;
    const [services, clients] = [many(target.service), many(target.clients)];
    const exact = (value: number | undefined, otherwise: string): Figures =>
      value === undefined ? missing(otherwise) : { kind: 'exact', value };
    const chosen = timeline.connections.filter((c) => (services?.includes(c.service) ?? true) && (clients?.includes(c.client) ?? true));
    const fresh = startedIn(chosen, window);
    const during = <T extends { readonly atUs: number }>(list: readonly T[]): T[] =>
      list.filter((e) => e.atUs >= window.fromUs && e.atUs < window.toUs);
    const versions = timeline.policies.filter((p) => p.sentUs >= window.fromUs && p.sentUs < window.toUs);
    const quantile = parseFraction(target.quantile ?? '50%');
    const at = (): SeenPacket[] | undefined => {
      const packets = target.capture === undefined ? undefined : packetsAt(evidence, target.capture, phaseStartUs(phase));
      const addresses =
        services === undefined ? undefined : new Set(timeline.services.filter((s) => services.includes(s.name)).map((s) => s.address));
      const sources =
        clients === undefined ? undefined : new Set(timeline.nodes.filter((n) => clients.includes(n.name)).map((n) => n.address));
      return (
        packets &&
        during(packets).filter(
          (p) =>
            (addresses?.has(p.inner.destination) ?? true) &&
            ((sources?.has(p.inner.source) ?? true) || (metric === 'replies' && (sources?.has(p.inner.destination) ?? true))),
        )
      );
    };
    const counted = (count: (packets: SeenPacket[]) => number): Figures => {
      const packets = at();
      return exact(packets && count(packets), `the capture at ${target.capture} shows nothing`);
    };
    /** Packets are told from each other by the connections that clients logged. */
    const matched = (count: (packets: SeenPacket[]) => number): Figures =>
      timeline.connections.length === 0 ? missing('no client left a log') : counted(count);
    const logged = (figures: () => Figures): Figures => (timeline.controllerLogged ? figures() : missing('the controller left no log'));
    /** undefined: a capture is incomplete, or none shows a packet. */
    const points = (): SeenPacket[][] | undefined => {
      if (evidence.captures.some((c) => defectOf(c) !== undefined)) return undefined;
      const all = evidence.captures.flatMap((c) => {
        const packets = packetsAt(evidence, c.at, phaseStartUs(phase));
        return packets ? [during(packets)] : [];
      });
      return all.length === 0 ? undefined : all;
    };
    const taken = (list: readonly Connection[]): number => list.filter((c) => c.pops[0] === pop).length;
    const ofPop = <T extends { readonly pop: string }>(list: readonly T[]): T[] => list.filter((e) => e.pop === pop);
    switch (metric) {
      case 'share':
        return fresh.length === 0
          ? missing('no connection began in the window')
          : { kind: 'share', independent: true, trials: [{ count: taken(fresh), of: fresh.length }] };
      case 'sigma':
        return fresh.length === 0
          ? missing('no connection began in the window')
          : exact(sigmas(taken(fresh), fresh.length, parseFraction(target.policy ?? '0%')), '');
      case 'connections':
        return exact(pop === '' ? fresh.length : taken(fresh), '');
      case 'broken': {
        const alive = aliveIn(chosen, window);
        return alive.length === 0
          ? missing('no connection lived in the window')
          : exact(alive.filter((c) => c.fate !== 'ok' && (target.to === undefined || c.endedUs < window.toUs)).length, '');
      }
      case 'moved': {
        const alive = aliveIn(chosen, window);
        return alive.length === 0 ? missing('no connection lived in the window') : exact(alive.filter((c) => c.pops.length > 1).length, '');
      }
      case 'live': {
        if (chosen.length === 0) return missing('there were no connections');
        const t = parseDurationUs(target.event ?? '0s');
        return exact(chosen.filter((c) => c.startedUs < t && c.endedUs > t && (pop === '' || c.pops[0] === pop)).length, '');
      }
      case 'wrong-source-logs':
        return during(timeline.accesses).length === 0
          ? missing('no server logged a request in the window')
          : exact(wrongSources(timeline, window), '');
      case 'differing':
        return fresh.length === 0 ? missing('no connection began in the window') : exact(differing(fresh), '');
      case 'misplaced': {
        if (fresh.length === 0) return missing('no connection began in the window');
        const own = new Map(timeline.services.map((s) => [s.name, s.servers]));
        return exact(fresh.filter((c) => c.servers.some((s) => !own.get(c.service)?.includes(s))).length, '');
      }
      case 'servers':
        return timeline.accesses.length === 0
          ? missing('no server left a log')
          : exact(new Set(during(ofPop(timeline.accesses)).map((a) => a.server)).size, '');
      case 'uneven':
        return taken(fresh) === 0
          ? missing(`no connection was served by ${pop}`)
          : exact(uneven(fresh, serversOf(timeline, pop, services), pop), `${pop} has fewer than two servers of these services`);
      case 'entries': {
        const dump = ofPop(timeline.tables)
          .filter((t) => t.atUs < window.toUs)
          .at(-1);
        return exact(
          dump && (services ?? []).reduce((sum, name) => sum + (dump.tables[name] ?? []).filter((to) => to === target.beside).length, 0),
          `the edge of ${pop} left no tables`,
        );
      }
      case 'untrue': {
        const packets = at();
        if (!packets) return missing(`nothing was captured at ${target.capture}`);
        return exact(untrue(packets, timeline, pop), 'nobody asked for policies, or no flow began in the window');
      }
      case 'reaction':
        return exact(
          reaction(timeline.policies, chosen, pop, window, target.event === undefined ? undefined : parseDurationUs(target.event)),
          `no policy that gives ${pop} more was sent in the window`,
        );
      case 'incomplete':
        return timeline.feedback.length === 0 ? missing('nobody pulled feedback') : exact(incomplete(timeline), '');
      case 'queried':
        return timeline.answers.length === 0 ? missing('nobody asked for policies') : exact(wrongAnswers(timeline), '');
      case 'latency':
        return taken(fresh) === 0
          ? missing(`no connection was served by ${pop}`)
          : { kind: 'quantile', quantile, values: fresh.filter((c) => c.fate === 'ok' && c.pops[0] === pop).map((c) => c.firstUs) };
      case 'added': {
        const values = addedUs(fresh, pop, target.beside ?? '');
        return values.length === 0 ? missing(`no connection was served by ${pop}`) : { kind: 'quantile', quantile, values };
      }
      case 'modifications':
      case 'redundant-changes':
      case 'premature-changes': {
        const dumps = ofPop(timeline.tables);
        if (dumps.length === 0) return missing(`the edge of ${pop} left no tables`);
        if (metric === 'modifications')
          return exact(modifications(during(dumps), dumps.filter((d) => d.atUs < window.fromUs).at(-1), timeline.slots), '');
        return exact(
          metric === 'redundant-changes' ? redundantChanges(dumps, timeline.slots) : prematureChanges(dumps, timeline.slots),
          '',
        );
      }
      case 'load': {
        const values = during(loadSeries(timeline.loads, pop, timeline.feedbackUs)).map((l) => l.load);
        return values.length === 0 ? missing(`no server of ${pop} left its load`) : { kind: 'series', values };
      }
      case 'settling':
        return exact(
          settling(
            during(loadSeries(timeline.loads, pop, timeline.intervalUs)),
            parseDurationUs(target.event ?? '0s'),
            parseFraction(target.limit ?? '100%'),
          ),
          `the load of ${pop} was never above the limit`,
        );
      case 'turns':
        return logged(() => exact(turns(timeline.policies, pop, window), ''));
      case 'versions':
        return logged(() =>
          exact(
            pop === ''
              ? versions.length
              : versions.filter(
                  (v) =>
                    v.policies[pop] !== undefined ||
                    Object.values(v.policies).some((s) => Object.values(s).some((shares) => shares[pop] !== undefined)),
                ).length,
            '',
          ),
        );
      case 'tunnelled':
        return counted((packets) => packets.filter((p) => p.kind === 'gre' || p.kind === 'gue').length);
      case 'malformed':
        return counted((packets) => malformed(packets, timeline, configOf(evidence)?.encapsulation ?? 'gre'));
      case 'misdelivered-packets':
        return matched((packets) => misdelivered(packets, timeline));
      case 'split':
        return matched((packets) => split(packets, timeline));
      case 'replies':
        return counted((packets) => {
          const anycast = new Set(timeline.services.map((s) => s.address));
          return packets.filter((p) => p.kind === 'plain' && anycast.has(p.inner.source)).length;
        });
      case 'hops':
        return counted((packets) => packets.filter((p) => p.kind === 'hop' && p.secondary !== null).length);
      case 'hops-without-secondary':
        return counted((packets) => packets.filter((p) => p.kind === 'hop' && p.away && p.secondary === null).length);
      case 'indirect':
        return matched((packets) => indirect(packets, timeline, pop));
      case 'relayed': {
        const all = points();
        return exact(all && relayed(all), 'the captures show nothing, or not all');
      }
      case 'altered': {
        const all = points();
        if (!all) return missing('the captures show nothing, or not all');
        const { altered: count, compared } = altered(all, new Set(timeline.services.map((s) => s.address)));
        return compared === 0 ? missing('no packet was captured both before and inside a tunnel or a first hop') : exact(count, '');
      }
    }
  },
};

/** Of a PoP, those that have one of the services (default: all). */
const serversOf = ({ pops, services }: Timeline, pop: string, names: readonly string[] | undefined): string[] =>
  (pops.find((p) => p.name === pop)?.servers ?? []).filter((server) =>
    services.some((s) => (names?.includes(s.name) ?? true) && s.servers.includes(server)),
  );

export const checks: readonly Check[] = [popOffload];
