/** Measures every declared link, both directions, and says which are not what the topology declares. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { parseJson } from '../core/json.ts';
import type { Described } from '../core/readonly.ts';
import { sleep, type Context } from '../core/context.ts';
import { wilson } from '../core/wilson.ts';
import { NetrigError } from '../core/errors.ts';
import { formatDurationUs, formatPercent, formatRate } from '../core/units.ts';
import type { LinkMeasurement } from '../evidence/records.ts';
import type { Machine } from '../rig/machines/machine.ts';
import type { DeployedLab } from '../rig/deployment/deployed-lab.ts';
import type { EndpointRef, Fabric, Impairment, Link, Tolerance } from '../topology/model.ts';
import { endpointName, isImpaired } from '../topology/lab.ts';

/** A line of native/linkprobe. */
const probeReport = Type.Object({
  id: Type.String(),
  sent: Type.Number(),
  sendErrors: Type.Number(),
  received: Type.Number(),
  rateBps: Type.Number(),
  offeredBps: Type.Number(),
  delayMedianUs: Type.Number(),
  delayP90Us: Type.Number(),
});
type ProbeReport = Described<typeof probeReport>;

interface ProbeResult extends ProbeReport {
  readonly clockBoundUs: number;
}

interface Direction {
  readonly id: string;
  readonly link: Link;
  readonly from: EndpointRef;
  readonly to: EndpointRef;
  readonly declared: Impairment;
}

const ATTEMPTS = 5;
/** linkprobe's own limit, halved. */
const MAX_JOBS = 256;
const FRAME_BYTES = 1514;
const SMALL_FRAME_BYTES = 128;
const OVERLOAD = 1.25;
const RATE_TEST_S = 0.16;
/** Sum of the rates that are measured at once: what two cores generate and receive without becoming the limit. */
const CONCURRENT_BPS = 400e6;
/** Frames that see a quiet link one by one; fewer where nothing but reachability is declared. */
const DELAY_FRAMES = 100;
const REACHABILITY_FRAMES = 20;
const DELAY_INTERVAL_NS = 1_000_000;
/** z of a two-sided 99.9 % interval: with hundreds of links a rarer false alarm is wanted than 95 %. */
const Z = 3.29;
/** At most this many directions at once, so that latency is the link's and not the probe's; fewer where machines may be emulated. */
const DELAY_CONCURRENCY = { here: 24, elsewhere: 6 } as const;
/** What is measured again has this much less beside it. */
const CALMER = 4;

export interface LinkTestInput {
  readonly fabric: Fabric;
  readonly tolerance: Tolerance;
  readonly deployed: DeployedLab;
}

export async function testLinks(ctx: Context, input: LinkTestInput): Promise<LinkMeasurement[]> {
  const directions = input.fabric.links.flatMap((link, i): Direction[] => [
    { id: `${i}>`, link, from: link.ends[0], to: link.ends[1], declared: link.impairments[0] },
    { id: `${i}<`, link, from: link.ends[1], to: link.ends[0], declared: link.impairments[1] },
  ]);
  let measured = await measure(ctx, input, directions, 1);
  // What looks wrong is measured again: a stalled machine passes, a wrong link stays wrong.
  for (let attempt = 2; attempt <= ATTEMPTS && measured.some((m) => m.problems.length > 0); attempt++) {
    const again = await measure(
      ctx,
      input,
      directions.filter((_, i) => (measured[i] as LinkMeasurement).problems.length > 0),
      attempt,
    );
    measured = measured.map((m) => again.find((n) => n.from === m.from && n.to === m.to) ?? m);
  }
  return measured;
}

async function measure(ctx: Context, input: LinkTestInput, directions: readonly Direction[], attempt: number): Promise<LinkMeasurement[]> {
  const local = [...input.deployed.machines.values()].every((machine) => machine.isHere);
  const atOnce = Math.max(1, DELAY_CONCURRENCY[local ? 'here' : 'elsewhere'] / CALMER ** (attempt - 1));
  const quiet = await probeInWaves(
    ctx,
    input,
    directions,
    waves(directions, () => 1, atOnce),
    quietJob,
  );
  const limited = input.tolerance.reachabilityOnly ? [] : directions.filter((d) => d.declared.rateBps !== null);
  // Measured again, it is measured longer and with fewer others: a busy machine passes, a wrong rate does not.
  const loaded = await probeInWaves(
    ctx,
    input,
    limited,
    waves(limited, (d) => d.declared.rateBps ?? 0, CONCURRENT_BPS / CALMER ** (attempt - 1)),
    (d) => loadJob(d, RATE_TEST_S * 2 ** (attempt - 1)),
  );
  return directions.map((d) => ({ ...evaluate(d, quiet.get(d.id), loaded.get(d.id), input.tolerance), attempts: attempt }));
}

/** Groups items so that the sum of their weights stays below `limit` (a single one may exceed it). */
function waves<T>(items: readonly T[], weight: (item: T) => number, limit: number): T[][] {
  const groups: T[][] = [];
  let sum = Infinity;
  for (const item of items) {
    if (sum + weight(item) > limit || (groups.at(-1)?.length ?? 0) >= MAX_JOBS) {
      groups.push([]);
      sum = 0;
    }
    groups.at(-1)?.push(item);
    sum += weight(item);
  }
  return groups;
}

/** Frames far enough apart to meet an empty queue; enough of them to see the declared loss. */
function quietJob({ declared }: Direction): Job {
  const frames =
    declared.loss > 0
      ? Math.min(4000, Math.max(400, Math.ceil(40 / declared.loss)))
      : isImpaired(declared)
        ? DELAY_FRAMES
        : REACHABILITY_FRAMES;
  const serializationNs = declared.rateBps === null ? 0 : (SMALL_FRAME_BYTES * 8e9) / declared.rateBps;
  return {
    frames,
    bytes: SMALL_FRAME_BYTES,
    intervalNs: Math.max(declared.loss > 0 ? DELAY_INTERVAL_NS / 4 : DELAY_INTERVAL_NS, 2 * serializationNs),
  };
}

function loadJob({ declared }: Direction, seconds: number): Job {
  const offeredBps = (declared.rateBps ?? 0) * OVERLOAD;
  const intervalNs = (FRAME_BYTES * 8e9) / offeredBps;
  return { frames: Math.max(60, Math.ceil((seconds * 1e9) / intervalNs)), bytes: FRAME_BYTES, intervalNs };
}

async function probeInWaves(
  ctx: Context,
  input: LinkTestInput,
  all: readonly Direction[],
  groups: readonly Direction[][],
  job: (d: Direction) => Job,
): Promise<Map<string, ProbeResult>> {
  const results = new Map<string, ProbeResult>();
  let done = 0;
  for (const group of groups) {
    const lingerMs = Math.ceil(
      100 +
        Math.max(
          ...group.map(
            (d) => (d.declared.delayUs + d.declared.jitterUs) / 1000 + ((d.declared.queueBytes ?? 0) * 8e3) / (d.declared.rateBps ?? 1e9),
          ),
        ),
    );
    for (const result of await probe(ctx, input.deployed, group, job, lingerMs)) results.set(result.id, result);
    done += group.length;
    ctx.events.emit({
      type: 'progress',
      stage: 'linktest',
      elapsedSeconds: 0,
      expectedSeconds: 0,
      detail: `${done} of ${all.length} directions`,
    });
  }
  return results;
}

const PROBE_TIMEOUT_MS = 120_000;

/** One group, each pair of machines side by side with the others. */
async function probe(
  ctx: Context,
  deployed: DeployedLab,
  group: readonly Direction[],
  job: (d: Direction) => Job,
  lingerMs: number,
): Promise<ProbeResult[]> {
  const pairs = Map.groupBy(group, (d) => `${deployed.carrier(d.from.node).name} ${deployed.carrier(d.to.node).name}`);
  const measured = await Promise.all(
    [...pairs.values()].map((pair) => {
      const first = pair[0] as Direction;
      const [sender, receiver] = [deployed.carrier(first.from.node), deployed.carrier(first.to.node)];
      return sender === receiver
        ? probeHere(ctx, deployed, sender, pair, job, lingerMs)
        : probeAcross(ctx, deployed, sender, receiver, pair, job, lingerMs);
    }),
  );
  return measured.flat();
}

interface Job {
  readonly frames: number;
  readonly bytes: number;
  readonly intervalNs: number;
}

function jobLines(
  deployed: DeployedLab,
  directions: readonly Direction[],
  job: (d: Direction) => Job,
  ends: { sends: boolean; receives: boolean },
): string {
  const end = (present: boolean, { node, interface: itf }: EndpointRef): string => (present ? `${deployed.netnsPath(node)} ${itf}` : '- -');
  return directions
    .map((d) => {
      const { frames, bytes, intervalNs } = job(d);
      return `${d.id} ${end(ends.sends, d.from)} ${end(ends.receives, d.to)} ${frames} ${Math.min(bytes, d.link.mtu + 14)} ${Math.round(intervalNs)}\n`;
    })
    .join('');
}

const parseResults = (stdout: string): ProbeReport[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => parseJson(probeReport, line));
const linkprobe = (machine: Machine, lingerMs: number): string[] => [join(machine.runtime.nativeDir, 'linkprobe'), String(lingerMs)];

async function probeHere(
  ctx: Context,
  deployed: DeployedLab,
  machine: Machine,
  directions: readonly Direction[],
  job: (d: Direction) => Job,
  lingerMs: number,
): Promise<ProbeResult[]> {
  const { stdout } = await deployed
    .host({ on: 'machine', machine: machine.name })
    .exec(linkprobe(machine, lingerMs), {
      stdin: jobLines(deployed, directions, job, { sends: true, receives: true }),
      timeoutMs: PROBE_TIMEOUT_MS,
      signal: ctx.signal,
    });
  return parseResults(stdout).map((report) => ({ ...report, clockBoundUs: 0 }));
}

/** How long the receiving half waits for the first frame of the sending one. */
const START_MS = 3000;

/** Each machine runs its half; what is between their clocks is measured beside it and taken off the delays. */
async function probeAcross(
  ctx: Context,
  deployed: DeployedLab,
  sender: Machine,
  receiver: Machine,
  directions: readonly Direction[],
  job: (d: Direction) => Job,
  lingerMs: number,
): Promise<ProbeResult[]> {
  const receiving = deployed.host({ on: 'machine', machine: receiver.name }).spawn(linkprobe(receiver, lingerMs + START_MS));
  let received = '';
  receiving.stdout.setEncoding('utf8').on('data', (text: string) => {
    received += text;
  });
  let said = '';
  const ready = new Promise<void>((resolve) => {
    receiving.stderr.setEncoding('utf8').on('data', (text: string) => {
      if ((said += text).includes('ready')) resolve();
    });
  });
  try {
    receiving.stdin.end(jobLines(deployed, directions, job, { sends: false, receives: true }));
    await Promise.race([ready, receiving.exited, sleep(START_MS, ctx.signal)]);
    const { stdout } = await deployed
      .host({ on: 'machine', machine: sender.name })
      .exec(linkprobe(sender, 0), {
        stdin: jobLines(deployed, directions, job, { sends: true, receives: false }),
        timeoutMs: PROBE_TIMEOUT_MS,
        signal: ctx.signal,
      });
    const offset = await deployed.clocks.between(sender, receiver);
    if (!offset)
      throw new NetrigError(
        'CLOCK_OUT_OF_BOUNDS',
        `the clocks of ${sender.label} and ${receiver.label} are not known: delays between them cannot be measured`,
        { hint: 'netrig rig check shows whether both machines answer' },
      );
    await receiving.exited;
    const arrivals = new Map(parseResults(received).map((r) => [r.id, r]));
    return parseResults(stdout).flatMap((sent): ProbeResult[] => {
      const arrived = arrivals.get(sent.id);
      if (!arrived) throw new NetrigError('HOST_COMMAND_FAILED', `${receiver.label}: linkprobe: ${said.trim()}`);
      return [
        {
          ...arrived,
          sent: sent.sent,
          sendErrors: sent.sendErrors,
          offeredBps: sent.offeredBps,
          delayMedianUs: arrived.delayMedianUs - offset.offsetNs / 1000,
          delayP90Us: arrived.delayP90Us - offset.offsetNs / 1000,
          clockBoundUs: offset.boundNs / 1000,
        },
      ];
    });
  } finally {
    receiving.kill('SIGKILL');
  }
}

function evaluate(
  d: Direction,
  quiet: ProbeResult | undefined,
  loaded: ProbeResult | undefined,
  tolerance: Tolerance,
): Omit<LinkMeasurement, 'attempts'> {
  const problems: string[] = [];
  const { declared } = d;
  const base = { link: d.link.id, from: endpointName(d.from), to: endpointName(d.to), declared };
  if (!quiet || quiet.received === 0) {
    return {
      ...base,
      rateBps: null,
      offeredBps: null,
      delayUs: null,
      delayP90Us: null,
      clockBoundUs: 0,
      lossSent: quiet?.sent ?? 0,
      lossReceived: 0,
      problems: ['nothing arrives'],
    };
  }
  const expectedDelayUs = declared.delayUs + (declared.rateBps === null ? 0 : (SMALL_FRAME_BYTES * 8e6) / declared.rateBps);
  if (!tolerance.reachabilityOnly) {
    const allowedUs = Math.max(tolerance.delayUs, 0.1 * declared.delayUs, 0.5 * declared.jitterUs) + quiet.clockBoundUs;
    if (Math.abs(quiet.delayMedianUs - expectedDelayUs) > allowedUs) {
      problems.push(
        `delay ${formatDurationUs(quiet.delayMedianUs)}, declared ${formatDurationUs(declared.delayUs)} ± ${formatDurationUs(allowedUs)}`,
      );
    }
    const [low, high] = wilson(quiet.sent - quiet.received, quiet.sent, Z);
    if (declared.loss < low || declared.loss > high)
      problems.push(
        `loss ${quiet.sent - quiet.received} of ${quiet.sent} (${formatPercent(low, 2)}–${formatPercent(high, 2)}), declared ${formatPercent(declared.loss, 2)}`,
      );
  }
  if (loaded && declared.rateBps !== null) {
    // Random loss takes its share of what is offered before the shaper or after it.
    const expected = declared.rateBps;
    const deviation = loaded.rateBps / expected - 1;
    const lossMargin = declared.loss * 1.5;
    if (loaded.offeredBps < expected * 1.05)
      problems.push(
        `this machine offered only ${formatRate(loaded.offeredBps)} to a link of ${formatRate(expected)}: its rate cannot be verified`,
      );
    else if (deviation > tolerance.rate || deviation < -(tolerance.rate + lossMargin))
      problems.push(`rate ${formatRate(loaded.rateBps)}, declared ${formatRate(expected)} ± ${formatPercent(tolerance.rate)}`);
  }
  return {
    ...base,
    rateBps: loaded?.rateBps ?? null,
    offeredBps: loaded?.offeredBps ?? null,
    delayUs: quiet.delayMedianUs,
    delayP90Us: quiet.delayP90Us,
    clockBoundUs: quiet.clockBoundUs,
    lossSent: quiet.sent,
    lossReceived: quiet.received,
    problems,
  };
}

/** Throws with all figures if any link is out of tolerance. */
export function requireGoodLinks(measurements: readonly LinkMeasurement[]): void {
  const bad = measurements.filter((m) => m.problems.length > 0);
  if (bad.length === 0) return;
  throw new NetrigError(
    'LINK_OUT_OF_TOLERANCE',
    `${bad.length} of ${measurements.length} link directions are not what the topology declares:\n${bad.map((m) => `  ${m.from} -> ${m.to}: ${m.problems.join('; ')}`).join('\n')}`,
    { hint: 'lower the declared rates, free the machine, or widen linktest.rate-tolerance / delay-tolerance' },
  );
}
