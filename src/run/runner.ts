/**
 * The run pipeline, from a plan to evidence: deploy, gates, agents, capture and traffic, destroy.
 * Nothing is judged here; checks read what this leaves behind.
 */
import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startCapture, type RunningCapture } from '../capture/live.ts';
import type { ClockWatch } from '../clocks/watch.ts';
import { stage, throwIfAborted, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import { formatDurationUs, formatRate } from '../core/units.ts';
import { cellFolder, ONE_CLOCK } from '../evidence/cell.ts';
import { writePart } from '../evidence/parts.ts';
import type { AgentRecord, ClockOffset, EventRecord, LinkMeasurement, PhaseRecord } from '../evidence/records.ts';
import { requireGoodLinks, testLinks } from '../fabric/linktest.ts';
import { ovsDir } from '../fabric/plan.ts';
import type { Machine } from '../rig/machines/machine.ts';
import { destroyAfterFailure } from '../rig/deployment/destroy.ts';
import type { DeployedLab } from '../rig/deployment/deployed-lab.ts';
import { planSystems } from '../systems/registry.ts';
import { Supervisor, type StoppedAgent } from '../systems/supervisor.ts';
import type { Lab } from '../topology/model.ts';
import { endpointName } from '../topology/lab.ts';
import { runPhase } from '../traffic/run.ts';
import { EventRunner } from './events.ts';
import { LoadSampler } from './machine.ts';
import type { Testbed } from './testbed.ts';
import { LinkRates } from './linkrates.ts';

const QUIET_TIMEOUT_MS = 20_000;

export interface Deployment {
  readonly deployed: DeployedLab;
  readonly lab: Lab;
  readonly links: readonly LinkMeasurement[];
  /** null: all nodes share one clock. */
  readonly clocks: ClockWatch | null;
  /** Delays are the kernel's on that machine. */
  readonly netem: (machine: string) => boolean;
}

const openClockGate = (ctx: Context, clocks: ClockWatch): Promise<string> =>
  stage(ctx, 'clocks', () => clocks.gate(ctx), { result: (text) => text });

/** Deploys a lab and measures its links; refuses, and removes it again, if a link is not what the file says. */
export async function deployLab(
  ctx: Context,
  testbed: Testbed,
  lab: Lab,
  topologyPath: string,
  options: { gate?: boolean; replace?: boolean; onLinks?: (links: readonly LinkMeasurement[]) => Promise<void> } = {},
): Promise<Deployment> {
  const deployed = await stage(ctx, 'deploy', () => testbed.deploy(ctx, lab, topologyPath, options), {
    detail: `${lab.fabric.nodes.length} nodes, ${lab.fabric.links.length} links${testbed.rig ? `, ${testbed.machines.size} machines` : ''}`,
  });
  try {
    if (testbed.clocks && options.gate) await openClockGate(ctx, testbed.clocks);
    const links = await stage(ctx, 'linktest', () => measureLinks(ctx, deployed, { ...lab, tolerance: testbed.tolerance(lab.tolerance) }), {
      result: summarizeLinks,
    });
    await options.onLinks?.(links);
    requireGoodLinks(links);
    return { deployed, lab, links, clocks: testbed.clocks, netem: (machine) => testbed.factsOf(machine).fabric.netem };
  } catch (error) {
    await destroyAfterFailure(ctx, deployed);
    throw error;
  }
}

export const measureLinks = (ctx: Context, deployed: DeployedLab, lab: Pick<Lab, 'fabric' | 'tolerance'>): Promise<LinkMeasurement[]> =>
  testLinks(ctx, { fabric: lab.fabric, tolerance: lab.tolerance, deployed });

function summarizeLinks(links: readonly LinkMeasurement[]): string {
  const bad = links.filter((l) => l.problems.length > 0).length;
  return bad === 0 ? `${links.length} directions as declared` : `${bad} of ${links.length} directions out of tolerance`;
}

/**
 * Agents, captures and traffic of one repeat of one cell; every part of the evidence is written as soon as it exists.
 * Not clean: an agent left something in its node, or a link is not as it was declared.
 */
export async function runCell(
  ctx: Context,
  deployment: Deployment,
  lab: Lab,
  repeat: number,
  results: string,
  proberBundle: string,
): Promise<{ clean: boolean }> {
  const folder = cellFolder(results, lab.cell, repeat);
  for (const part of ['traffic', 'captures']) mkdirSync(join(folder, part), { recursive: true });
  await writePart(folder, 'lab', lab);
  await writePart(folder, 'links', deployment.links);
  const { deployed, clocks } = deployment;
  if (clocks) await openClockGate(ctx, clocks);
  const startedMs = Date.now();
  const lostBefore = new Map([...deployed.machines.values()].map((m) => [m.name, m.lost.length]));
  const load = new LoadSampler(deployed.machines.values(), (machine) => machine.isHere);
  const captures: RunningCapture[] = [];
  const voided: string[] = [];
  let supervisor: Supervisor | undefined;
  let agents: readonly StoppedAgent[] = [];
  let restored = true;
  try {
    supervisor = await startAgents(ctx, deployed, lab, folder);
    await startCaptures(deployed, lab, folder, captures);
    // Where a program takes seconds to start, its start would be measured.
    if (clocks) await stage(ctx, 'quiet', () => load.untilQuiet(QUIET_TIMEOUT_MS, ctx.signal));
    restored = await drivePhases(ctx, deployment, lab, supervisor, { folder, proberBundle, load });
    voided.push(...((await supervisor?.voids()) ?? []));
    for (const machine of deployed.machines.values())
      voided.push(...machine.lost.slice(lostBefore.get(machine.name)).map((why) => `the connection to ${machine.name} was lost at ${why}`));
  } finally {
    // First: its timers would keep a process alive whose disk is full.
    const samples = load.stop();
    // Also on the way out of a failure: whatever was gathered is kept.
    const [records, stopped] = await Promise.all([Promise.all(captures.map((c) => c.stop())), supervisor?.stop() ?? []]);
    agents = stopped;
    await writePart(folder, 'captures', records);
    const ahead = new Map(
      await Promise.all(
        [...deployed.machines.values()].map(async (m) => [m.name, await deployed.clocks.ahead(m).catch(() => null)] as const),
      ),
    );
    voided.push(...[...ahead].flatMap(([name, offset]) => (offset ? [] : [`the clock of ${name} was not known when the repeat ended`])));
    await writePart(
      folder,
      'agents',
      agents.map((a) => withClock(a, deployed, ahead)),
    );
    await writePart(folder, 'load', samples);
    await writePart(folder, 'clocks', clocks?.record(startedMs) ?? ONE_CLOCK);
  }
  // Written last: its presence says that the repeat is whole.
  await writePart(folder, 'voided', voided);
  return { clean: restored && agents.every((a) => a.clean) };
}

/** Its log is dated by the clock of its machine. */
function withClock(agent: StoppedAgent, deployed: DeployedLab, ahead: ReadonlyMap<string, ClockOffset | null>): AgentRecord {
  const machine = deployed.carrier(agent.node).name;
  return { ...agent, machine, clock: ahead.get(machine) ?? null };
}

export async function startAgents(ctx: Context, deployed: DeployedLab, lab: Lab, folder: string): Promise<Supervisor | undefined> {
  const systems = await planSystems(lab);
  if (systems.length === 0) return undefined;
  const switches = new Set(lab.fabric.nodes.filter((n) => n.kind === 'ovs-bridge').map((n) => n.name));
  return stage(
    ctx,
    'agents',
    () =>
      Supervisor.start(ctx, systems, {
        host: (node) => deployed.node(node),
        script: (node, bundle) => deployed.script(node, bundle),
        folder: join(folder, 'agents'),
        nativeDir: (node) => deployed.carrier(node).runtime.nativeDir,
        labDir: (node) => join(deployed.carrier(node).runtime.stateRoot, lab.name),
        ovsDir: (node) => (switches.has(node) ? ovsDir(deployed.carrier(node).runtime.stateRoot, lab.name, node) : null),
      }),
    { detail: systems.map((s) => `${s.definition.name} on ${s.agents.length} nodes`).join(', ') },
  );
}

/** What a machine's clock is ahead now. CLOCK_OUT_OF_BOUNDS where that is not known: `what` could not be dated. */
async function knownClock(deployed: DeployedLab, machine: Machine, what: string): Promise<ClockOffset> {
  const ahead = await deployed.clocks.ahead(machine);
  if (!ahead)
    throw new NetrigError('CLOCK_OUT_OF_BOUNDS', `the clock of ${machine.label} is not known: ${what} could not be dated`, {
      hint: 'netrig rig check shows whether the machine answers',
    });
  return ahead;
}

/** Fills `running` as captures start, so that those that run are stopped even if another one does not start. */
async function startCaptures(deployed: DeployedLab, lab: Lab, folder: string, running: RunningCapture[]): Promise<void> {
  const starts = await Promise.allSettled(
    lab.captures.map(async (point) => {
      const file = join('captures', `${point.at.node}.${point.at.interface}.pcap`);
      const machine = deployed.carrier(point.at.node);
      const ahead = await knownClock(deployed, machine, `the capture at ${endpointName(point.at)}`);
      running.push(await startCapture(deployed.network(point.at.node), machine, ahead, point, folder, file));
    }),
  );
  const failed = starts.find((s) => s.status === 'rejected');
  if (failed) throw failed.reason;
}

interface Drive {
  readonly folder: string;
  readonly proberBundle: string;
  readonly load: LoadSampler;
}

/** Traffic and events of all phases, one after the other. false: events have left hosts or links other than declared. */
async function drivePhases(
  ctx: Context,
  { deployed, clocks, netem }: Deployment,
  lab: Lab,
  supervisor: Supervisor | undefined,
  { folder, proberBundle, load }: Drive,
): Promise<boolean> {
  const linkRates = new LinkRates(deployed, lab);
  const eventRunner = new EventRunner(ctx, deployed, lab, supervisor, netem);
  const phases: PhaseRecord[] = [];
  const events: Record<string, readonly EventRecord[]> = {};
  const ahead = new Map<string, number>();
  let restored = false;
  const input = {
    host: (node: string) => deployed.node(node),
    network: (node: string) => deployed.network(node),
    prober: (node: string) => deployed.script(node, proberBundle),
    clockAheadMs: (node: string) => ahead.get(deployed.carrier(node).name) ?? 0,
    isRemote: (node: string) => !deployed.carrier(node).isHere,
    keep: (file: string, content: string) => writeFile(join(folder, 'traffic', file), content),
  };
  try {
    for (const phase of lab.phases) {
      throwIfAborted(ctx.signal);
      await clocks?.refresh();
      for (const machine of deployed.machines.values()) {
        const { offsetNs } = await knownClock(deployed, machine, `what it stamps in phase ${phase.name}`);
        ahead.set(machine.name, offsetNs / 1e6);
      }
      const expectedSeconds = phase.durationUs / 1e6;
      const name = `traffic ${phase.name}`;
      const onTick = (elapsedSeconds: number) =>
        void linkRates.read().then(
          (rates) =>
            ctx.events.emit({
              type: 'progress',
              stage: name,
              elapsedSeconds,
              expectedSeconds,
              detail: `${rates} · CPU ${Math.round(load.current * 100)}%`,
            }),
          () => undefined,
        );
      const alongside = async (startedMs: number, signal: AbortSignal) => {
        events[phase.name] = await eventRunner.run(phase, startedMs, signal);
      };
      phases.push(
        await stage(ctx, name, () => runPhase(ctx, input, phase, alongside, onTick), {
          expectedSeconds,
          detail: `${phase.flows.length} flows, ${expectedSeconds} s`,
          result: summarizePhase,
        }),
      );
      await writePart(folder, 'phases', phases);
      await writePart(folder, 'events', events);
    }
  } finally {
    restored = await eventRunner.restore();
  }
  return restored;
}

function summarizePhase(record: PhaseRecord): string {
  if (record.flows.length === 0) return `no flows of the testbed's own; ${formatDurationUs(record.durationUs)}`;
  const failed = record.flows.filter((f) => !f.ok);
  const total = record.flows.reduce((sum, f) => sum + f.receivedBytes, 0);
  const rate = formatRate((total * 8e6) / record.durationUs);
  return failed.length === 0
    ? `${rate} delivered`
    : `${rate} delivered, ${failed.map((f) => `${f.flow}: ${f.error ?? 'nothing received'}`).join('; ')}`;
}
