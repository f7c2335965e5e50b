/**
 * The street, from a plan to evidence: deploy, gates, agents, capture and traffic, destroy.
 * Nothing is judged here; checks read what this leaves behind.
 */
import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { startCapture, type RunningCapture } from '../capture/live.ts';
import { stage, throwIfAborted, type Context } from '../core/context.ts';
import { formatRate } from '../core/units.ts';
import { cellFolder, writePart, type AgentRecord, type EventRecord } from '../evidence/cell.ts';
import type { FabricCapabilities } from '../fabric/capabilities.ts';
import { requireGoodLinks, testLinks, type LinkMeasurement } from '../fabric/linktest.ts';
import { ovsDir, planDeployment } from '../fabric/plan.ts';
import { stateDirOf } from '../rig/journal.ts';
import { deploy } from '../rig/deploy.ts';
import { namespaceOf, Rig, wiresNamespace } from '../rig/rig.ts';
import { removeAfterFailure } from '../rig/teardown.ts';
import type { DeployPlan } from '../rig/steps.ts';
import { BUILD_DIR } from '../systems/bundle.ts';
import { planSystems } from '../systems/registry.ts';
import { Supervisor } from '../systems/supervisor.ts';
import type { Lab } from '../topology/model.ts';
import { runPhase, type PhaseRecord } from '../traffic/run.ts';
import type { ToolPaths } from '../traffic/tools.ts';
import { Happenings } from './happenings.ts';
import { LoadSampler } from './machine.ts';
import { WireRates } from './wirerates.ts';

export interface Deployment {
  readonly rig: Rig;
  readonly lab: Lab;
  readonly links: readonly LinkMeasurement[];
}

export function planLab(lab: Lab, capabilities: FabricCapabilities): DeployPlan {
  return planDeployment({
    lab: lab.name, fabric: lab.fabric, capabilities, stateDir: stateDirOf(lab.name),
    namespaceOf: (node) => namespaceOf(lab.name, node), wiresNamespace: wiresNamespace(lab.name), nativeDir: BUILD_DIR,
  });
}

/** Deploys a lab and measures its links; refuses, and removes it again, if a link is not what the file says. */
export async function deployLab(ctx: Context, lab: Lab, capabilities: FabricCapabilities, topologyPath: string, onLinks?: (links: readonly LinkMeasurement[]) => Promise<void>): Promise<Deployment> {
  const rig = await stage(ctx, 'deploy', () => deploy(ctx, planLab(lab, capabilities), topologyPath, lab.fabric), { detail: `${lab.fabric.nodes.length} nodes, ${lab.fabric.links.length} links` });
  try {
    const links = await stage(ctx, 'linktest', () => measureLinks(ctx, lab), { result: summarizeLinks });
    await onLinks?.(links);
    requireGoodLinks(links);
    return { rig, lab, links };
  } catch (error) {
    await removeAfterFailure(ctx, lab.name);
    throw error;
  }
}

export const measureLinks = (ctx: Context, lab: Lab): Promise<LinkMeasurement[]> => testLinks(ctx, {
  fabric: lab.fabric, tolerance: lab.tolerance, machine: Rig.machine(lab.name), netnsPath: (node) => Rig.netnsPath(lab.name, node), nativeDir: BUILD_DIR,
});

function summarizeLinks(links: readonly LinkMeasurement[]): string {
  const bad = links.filter((l) => l.problems.length > 0).length;
  return bad === 0 ? `${links.length} directions as declared` : `${bad} of ${links.length} directions out of tolerance`;
}

/** Cells with the same fabric use the same deployment. */
export const sameFabric = (a: Lab, b: Lab): boolean => isDeepStrictEqual(a.fabric, b.fabric);

/**
 * Agents, captures and traffic of one repeat of one cell; every part of the evidence is written as soon as it exists.
 * Not clean: an agent left something in its node.
 */
export async function runCell(ctx: Context, deployment: Deployment, lab: Lab, repeat: number, results: string, tools: ToolPaths): Promise<{ clean: boolean }> {
  const folder = cellFolder(results, lab.cell, repeat);
  for (const part of ['traffic', 'captures']) mkdirSync(join(folder, part), { recursive: true });
  await writePart(folder, 'lab', lab);
  await writePart(folder, 'links', deployment.links);
  const { rig } = deployment;
  const load = new LoadSampler();
  const captures: RunningCapture[] = [];
  const voided: string[] = [];
  let supervisor: Supervisor | undefined;
  let agents: readonly AgentRecord[] = [];
  try {
    supervisor = await startAgents(ctx, rig, lab, folder);
    await startCaptures(rig, lab, folder, captures);
    await drivePhases(ctx, deployment, lab, supervisor, { folder, tools, load });
    voided.push(...((await supervisor?.voids()) ?? []));
  } finally {
    // Also on the way out of a failure: whatever was gathered is kept.
    const [records, stopped] = await Promise.all([Promise.all(captures.map((c) => c.stop())), supervisor?.stop() ?? []]);
    agents = stopped;
    await writePart(folder, 'captures', records);
    await writePart(folder, 'agents', agents);
    await writePart(folder, 'load', load.stop());
  }
  // Written last: its presence says that the repeat is whole.
  await writePart(folder, 'voided', voided);
  return { clean: agents.every((a) => a.clean) };
}

async function startAgents(ctx: Context, rig: Rig, lab: Lab, folder: string): Promise<Supervisor | undefined> {
  const systems = await planSystems(lab);
  if (systems.length === 0) return undefined;
  const switches = new Set(lab.fabric.nodes.filter((n) => n.kind === 'ovs-bridge').map((n) => n.name));
  return stage(ctx, 'agents', () => Supervisor.start(ctx, systems, {
    host: (node) => rig.node(node), folder: join(folder, 'agents'),
    ovsDir: (node) => (switches.has(node) ? ovsDir(stateDirOf(lab.name), node) : null),
  }), { detail: systems.map((s) => `${s.definition.name} on ${s.agents.length} nodes`).join(', ') });
}

/** Fills `running` as captures start, so that those that run are stopped even if another one does not start. */
async function startCaptures(rig: Rig, lab: Lab, folder: string, running: RunningCapture[]): Promise<void> {
  const starts = await Promise.allSettled(lab.captures.map(async (point) => {
    const file = join('captures', `${point.at.node}.${point.at.interface}.pcap`);
    running.push(await startCapture(rig.node(point.at.node), point, join(folder, file), file));
  }));
  const failed = starts.find((s) => s.status === 'rejected');
  if (failed) throw failed.reason;
}

interface Drive {
  readonly folder: string;
  readonly tools: ToolPaths;
  readonly load: LoadSampler;
}

/** Traffic and events of all phases, one after the other. */
async function drivePhases(ctx: Context, { rig }: Deployment, lab: Lab, supervisor: Supervisor | undefined, { folder, tools, load }: Drive): Promise<void> {
  const wires = new WireRates(rig, lab);
  const happenings = new Happenings(ctx, rig, lab, supervisor);
  const phases: PhaseRecord[] = [];
  const events: Record<string, readonly EventRecord[]> = {};
  const input = { host: (node: string) => rig.node(node), tools, keep: (file: string, content: string) => writeFile(join(folder, 'traffic', file), content) };
  try {
    for (const phase of lab.phases) {
      throwIfAborted(ctx.signal);
      const expectedSeconds = phase.durationUs / 1e6;
      const name = `traffic ${phase.name}`;
      const onTick = (elapsedSeconds: number) => void wires.read().then((rates) => ctx.events.emit({ type: 'progress', stage: name, elapsedSeconds, expectedSeconds, detail: `${rates} · CPU ${Math.round(load.current * 100)}%` }), () => undefined);
      const alongside = async (startedMs: number, signal: AbortSignal) => { events[phase.name] = await happenings.run(phase, startedMs, signal); };
      phases.push(await stage(ctx, name, () => runPhase(ctx, input, phase, alongside, onTick), { expectedSeconds, detail: `${phase.flows.length} flows, ${expectedSeconds} s`, result: summarizePhase }));
      await writePart(folder, 'phases', phases);
      await writePart(folder, 'events', events);
    }
  } finally {
    await happenings.restore();
  }
}

function summarizePhase(record: PhaseRecord): string {
  const failed = record.flows.filter((f) => !f.ok);
  const total = record.flows.reduce((sum, f) => sum + f.receivedBytes, 0);
  const rate = formatRate((total * 8e6) / record.durationUs);
  return failed.length === 0 ? `${rate} delivered` : `${rate} delivered, ${failed.map((f) => `${f.flow}: ${f.error ?? 'nothing received'}`).join('; ')}`;
}
