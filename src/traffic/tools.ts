/** What each traffic tool is started with, and what its output says. Pure. */
import { Type } from 'typebox';
import { parseJson } from '../core/json.ts';
import type { Described } from '../core/readonly.ts';
import type { DatagramCount, FlowResult } from '../evidence/records.ts';
import type { Flow } from '../topology/model.ts';

export interface FlowCommands {
  /** Started in the receiving node before the phase, once per flow. */
  readonly server: readonly string[];
  /**
   * Started in the sending node `leadMs` before the flow's start, which is given in epoch milliseconds of the node's
   * clock, as is what that clock shows now.
   */
  readonly client: (startMs: number, nowMs: number) => readonly string[];
  readonly leadMs: number;
  readonly port: number;
}

/** Command words that run the prober, in either node of a flow. */
export interface ProberCommands {
  readonly sender: readonly string[];
  readonly receiver: readonly string[];
}

export function flowCommands(flow: Flow, port: number, prober: ProberCommands): FlowCommands {
  const seconds = flow.durationUs / 1e6;
  switch (flow.tool) {
    case 'iperf3':
      return {
        port,
        server: ['iperf3', '-s', '-1', '-J', '-i', '0.1', '-p', String(port)],
        leadMs: 0,
        client: () => [
          'iperf3',
          '-c',
          flow.address,
          '-p',
          String(port),
          '-t',
          String(seconds),
          '-J',
          '-i',
          '0.1',
          '--connect-timeout',
          '3000',
          ...(flow.parallel > 1 ? ['-P', String(flow.parallel)] : []),
          ...(flow.protocol === 'udp' ? ['-u', '-l', String(flow.sizeBytes ?? 1400)] : []),
          // iperf3 applies -b to each stream.
          ...(flow.rateBps === null ? [] : ['-b', String(Math.round(flow.rateBps / flow.parallel))]),
          ...(flow.congestion === null ? [] : ['-C', flow.congestion]),
        ],
      };
    case 'netperf':
      return {
        port,
        server: ['netserver', '-D', '-p', String(port)],
        leadMs: 0,
        client: () => [
          'netperf',
          '-H',
          flow.address,
          '-p',
          String(port),
          '-l',
          String(Math.max(1, Math.round(seconds))),
          '-t',
          flow.protocol === 'udp' ? 'UDP_STREAM' : 'TCP_STREAM',
          '--',
          ...(flow.protocol === 'udp' ? ['-m', String(flow.sizeBytes ?? 1400)] : []),
          '-k',
          'THROUGHPUT,THROUGHPUT_UNITS,ELAPSED_TIME',
        ],
      };
    case 'mgen':
      return {
        port,
        server: [
          'mgen',
          'event',
          `LISTEN UDP ${port}`,
          ...(flow.multicast ? ['event', `JOIN ${flow.multicast.group} INTERFACE ${flow.multicast.toDevice}`] : []),
        ],
        leadMs: MGEN_LEAD_MS,
        // A start that has passed would mean tomorrow.
        client: (startMs, nowMs) => [
          'mgen',
          ...(flow.counted ? ['txlog'] : []),
          ...(startMs > nowMs + MGEN_READY_MS ? ['start', `${new Date(startMs).toISOString().slice(11, 23)}GMT`] : []),
          ...(flow.multicast ? ['interface', flow.multicast.fromDevice] : []),
          ...mgenEvents(flow, port, seconds).flatMap((event) => ['event', event]),
        ],
      };
    case 'prober':
      return {
        port,
        server: [...prober.receiver, 'answer', String(port)],
        leadMs: 0,
        client: () => [
          ...prober.sender,
          'ask',
          flow.address,
          String(port),
          String(seconds),
          String(flow.intervalUs),
          String(flow.sizeBytes ?? 64),
        ],
      };
  }
}

/** One mgen flow per parallel stream, each from a port of its own. */
function mgenEvents(flow: Flow, port: number, seconds: number): string[] {
  const perSecond = (flow.rateBps ?? 0) / flow.parallel / 8 / mgenBytes(flow);
  const periodic = (rate: number) => `PERIODIC [${rate.toFixed(3)} ${mgenBytes(flow)}]`;
  const burst = (everyS: number, rate: number, forS: number) =>
    `BURST [REGULAR ${everyS.toFixed(7)} ${periodic(rate)} FIXED ${forS.toFixed(7)}]`;
  const paced = flow.burst
    ? burst(flow.burst.everyUs / 1e6, perSecond, flow.burst.forUs / 1e6)
    : perSecond < TRAINS_FROM
      ? periodic(perSecond)
      : burst(TRAIN / perSecond, TRAIN_PER_SECOND, (TRAIN - 0.5) / TRAIN_PER_SECOND);
  return Array.from({ length: flow.parallel }, (_, i) => [
    `0.0 ON ${i + 1} UDP SRC ${MGEN_SOURCE_PORT + i} DST ${flow.multicast?.group ?? flow.address}/${port} ${paced}`,
    `${seconds} OFF ${i + 1}`,
  ]).flat();
}

/**
 * Above so many packets a second they leave in trains, as from a NIC with offloads and as iperf3 sends: a wake-up of
 * sender and switch for every packet costs more than the packet, and would measure this machine.
 */
const TRAINS_FROM = 1000;
const TRAIN = 8;
const TRAIN_PER_SECOND = 200_000;

/** mgen starts by the clock, once it is up: a dozen senders begin in the same millisecond. */
const MGEN_LEAD_MS = 400;
const MGEN_READY_MS = 50;
const MGEN_SOURCE_PORT = 20_000;
const mgenBytes = (flow: Flow): number => flow.sizeBytes ?? 1400;

const nothing = (flow: Flow): FlowResult => ({
  flow: flow.name,
  ok: false,
  started: false,
  receivedBytes: 0,
  seconds: flow.durationUs / 1e6,
  intervals: [],
});
const failed = (flow: Flow, error: string): FlowResult => ({ ...nothing(flow), error });

/** `receiverAheadMs`: the receiver's clock minus the sender's. */
export function parseFlow(flow: Flow, clientOutput: string, serverOutput: string, receiverAheadMs = 0): FlowResult {
  try {
    switch (flow.tool) {
      case 'iperf3':
        return parseIperf3(flow, clientOutput, serverOutput);
      case 'netperf':
        return parseNetperf(flow, clientOutput);
      case 'mgen':
        return parseMgen(flow, clientOutput, serverOutput, receiverAheadMs);
      case 'prober':
        return parseProber(flow, clientOutput);
    }
  } catch (error) {
    return failed(flow, `unreadable output of ${flow.tool}: ${(error as Error).message}`);
  }
}

const optional = Type.Optional;
const counts = { packets: optional(Type.Number()), lost_packets: optional(Type.Number()) };
const iperf3Interval = Type.Object({
  start: Type.Number(),
  end: Type.Number(),
  bytes: Type.Number(),
  bits_per_second: Type.Number(),
  ...counts,
});
const iperf3Total = Type.Object({ ...counts, retransmits: optional(Type.Number()) });
/** What is read of `iperf3 -J`; it tells more. */
const iperf3Output = Type.Object({
  error: optional(Type.String()),
  start: optional(Type.Object({ connected: optional(Type.Array(Type.Unknown())) })),
  intervals: optional(Type.Array(Type.Object({ sum: iperf3Interval }))),
  end: optional(
    Type.Object({
      streams: optional(Type.Array(Type.Object({ udp: optional(Type.Object({ out_of_order: optional(Type.Number()) })) }))),
      sum_sent: optional(iperf3Total),
      sum: optional(iperf3Total),
    }),
  ),
});
type Iperf3 = Described<typeof iperf3Output>;
/** Of an interval or of the whole. */
type Iperf3Counts = Described<typeof iperf3Total>;

/** What the kernel says of a peer that it has no way to: that nothing comes is measured by it; not so a connection that starved. */
const NO_WAY = /unable to connect.*(Network is unreachable|No route to host)/;
const NOTHING_EVERY_S = 0.1;

/** As iperf3 would tell it of a connection that carries nothing. */
function nothingCame(flow: Flow): FlowResult {
  const result = nothing(flow);
  const intervals = Array.from({ length: Math.round(result.seconds / NOTHING_EVERY_S) }, (_, i) => ({
    startS: i * NOTHING_EVERY_S,
    endS: (i + 1) * NOTHING_EVERY_S,
    rateBps: 0,
  }));
  return { ...result, started: true, intervals };
}

function parseIperf3(flow: Flow, clientOutput: string, serverOutput: string): FlowResult {
  const read = (output: string): Iperf3 => (output.trim() ? parseJson(iperf3Output, output) : {});
  const [client, server] = [read(clientOutput), read(serverOutput)];
  if (client.error !== undefined && NO_WAY.test(client.error)) return nothingCame(flow);
  const intervals = (server.intervals ?? []).map(({ sum }) => ({ startS: sum.start, endS: sum.end, rateBps: sum.bits_per_second }));
  const receivedBytes = (server.intervals ?? []).reduce((total, { sum }) => total + sum.bytes, 0);
  const error = client.error ?? (intervals.length === 0 ? (server.error ?? 'the receiver reported nothing') : undefined);
  return {
    flow: flow.name,
    ok: receivedBytes > 0 && client.error === undefined,
    started: (client.start?.connected ?? []).length > 0,
    ...(error === undefined ? {} : { error }),
    receivedBytes,
    seconds: flow.durationUs / 1e6,
    intervals,
    ...(flow.protocol === 'udp' ? iperf3Datagrams(client, server) : {}),
    ...(client.end?.sum_sent?.retransmits === undefined ? {} : { retransmits: client.end.sum_sent.retransmits }),
  };
}

/**
 * What the sender sent in each interval less what the receiver got of it. The receiver tells highest sequence numbers
 * and gaps; a datagram that comes twice fills a gap that it did not make, so that order must have been kept.
 */
function iperf3Datagrams(client: Iperf3, server: Iperf3): Pick<FlowResult, 'datagrams' | 'uncounted'> {
  const total = client.end?.sum?.packets;
  if (total === undefined || !server.end) return { uncounted: 'iperf3 ended without its counts' };
  const disordered = (server.end.streams ?? []).reduce((sum, { udp }) => sum + (udp?.out_of_order ?? 0), 0);
  if (disordered > 0) return { uncounted: `${disordered} datagrams came late or twice, which iperf3 cannot tell apart: use tool: mgen` };
  const received = (sum: Iperf3Counts | undefined): number => (sum?.packets ?? 0) - (sum?.lost_packets ?? 0);
  const [own, theirs] = [client.intervals ?? [], server.intervals ?? []];
  const counts = Array.from({ length: Math.max(own.length, theirs.length) }, (_, i): DatagramCount => {
    const sum = own[i]?.sum ?? theirs[i]?.sum;
    const sent = own[i]?.sum.packets ?? 0;
    return { startS: sum?.start ?? 0, endS: sum?.end ?? 0, sent, lost: sent - received(theirs[i]?.sum) };
  });
  const counted = counts.reduce((sum, c) => ({ sent: sum.sent + c.sent, lost: sum.lost + c.lost }), { sent: 0, lost: 0 });
  const lost = total - received(server.end.sum);
  // Intervals leave out what came between the last of them and the end.
  if (counted.sent === total && counted.lost === lost) return { datagrams: counts };
  const end = counts.at(-1)?.endS ?? 0;
  return { datagrams: [...counts, { startS: end, endS: end, sent: total - counted.sent, lost: lost - counted.lost }] };
}

function parseNetperf(flow: Flow, output: string): FlowResult {
  const values = new Map(output.split('\n').map((line) => line.split('=', 2) as [string, string]));
  const rate = Number(values.get('THROUGHPUT')) * (values.get('THROUGHPUT_UNITS') === '10^6bits/s' ? 1e6 : NaN);
  const seconds = Number(values.get('ELAPSED_TIME'));
  if (!Number.isFinite(rate) || !(seconds > 0)) return failed(flow, output.trim().split('\n').at(-1) || 'no figures');
  return {
    flow: flow.name,
    ok: rate > 0,
    started: true,
    receivedBytes: (rate * seconds) / 8,
    seconds,
    intervals: [{ startS: 0, endS: seconds, rateBps: rate }],
  };
}

const proberOutput = Type.Object({ rttUs: Type.Array(Type.Union([Type.Number(), Type.Null()])), askedUs: Type.Array(Type.Number()) });

function parseProber(flow: Flow, output: string): FlowResult {
  const { rttUs, askedUs } = parseJson(proberOutput, output);
  const answered = rttUs.filter((rtt) => rtt !== null).length;
  const datagrams = binned(
    flow,
    askedUs.map((us, i) => ({ atS: us / 1e6, lost: rttUs[i] === null })),
  );
  return {
    flow: flow.name,
    ok: answered > 0,
    started: rttUs.length > 0,
    receivedBytes: answered * (flow.sizeBytes ?? 64),
    seconds: flow.durationUs / 1e6,
    intervals: [],
    datagrams,
    rttUs,
    askedUs,
  };
}

const INTERVAL_S = 0.1;
const DAY_S = 86_400;

const intervalsOf = (flow: Flow): number => Math.max(1, Math.ceil(flow.durationUs / 1e6 / INTERVAL_S - 1e-9));

/** Tools tell microseconds; a fraction of a second is not exact. */
const intervalAt = (atS: number): number => Math.floor(Math.round(atS * 1e6) / (INTERVAL_S * 1e6));

/** Datagrams by the interval that they were sent in; those that left late belong to the last one. */
function binned(flow: Flow, datagrams: readonly { readonly atS: number; readonly lost: boolean }[]): DatagramCount[] {
  const counts = Array.from({ length: intervalsOf(flow) }, (_, i) => ({
    startS: i * INTERVAL_S,
    endS: (i + 1) * INTERVAL_S,
    sent: 0,
    lost: 0,
  }));
  for (const { atS, lost } of datagrams) {
    const bin = counts[Math.min(counts.length - 1, Math.max(0, intervalAt(atS)))] as { sent: number; lost: number };
    bin.sent += 1;
    if (lost) bin.lost += 1;
  }
  return counts;
}

/** "15:18:54.814144" as seconds of the day. */
const clockSeconds = (text: string): number => text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);

/** Each log has its node's clock; intervals count from the sender's start. A datagram is known by its flow and sequence number. */
function parseMgen(flow: Flow, clientOutput: string, serverOutput: string, receiverAheadMs: number): FlowResult {
  const started = /^(\S+) ON /m.exec(clientOutput);
  if (!started) return failed(flow, clientOutput.trim().split('\n').at(-1) || 'mgen did not start');
  const sentS = clockSeconds(started[1] as string);
  const since = (text: string, startS: number): number => (clockSeconds(text) - startS + DAY_S) % DAY_S;
  const seconds = flow.durationUs / 1e6;
  const bytes = new Float64Array(intervalsOf(flow));
  const arrived = new Set<string>();
  let receivedBytes = 0;
  for (const [, at, id, sequence, size] of serverOutput.matchAll(/^(\S+) RECV .*? flow>(\d+) seq>(\d+) .* size>(\d+) /gm)) {
    arrived.add(`${id} ${sequence}`);
    receivedBytes += Number(size);
    const bin = intervalAt(since(at as string, sentS + receiverAheadMs / 1000));
    if (bin < bytes.length) bytes[bin] = (bytes[bin] as number) + Number(size);
  }
  const sent = flow.counted
    ? [...clientOutput.matchAll(/^(\S+) SEND .*? flow>(\d+) seq>(\d+) /gm)].map(([, at, id, sequence]) => ({
        atS: since(at as string, sentS),
        lost: !arrived.has(`${id} ${sequence}`),
      }))
    : [];
  return {
    flow: flow.name,
    ok: arrived.size > 0,
    started: true,
    receivedBytes,
    seconds,
    intervals: [...bytes].map((count, i) => ({ startS: i * INTERVAL_S, endS: (i + 1) * INTERVAL_S, rateBps: (count * 8) / INTERVAL_S })),
    ...(flow.counted ? { datagrams: binned(flow, sent) } : {}),
  };
}
