/** A validated file (one cell, variables substituted) to the resolved model. Pure; collects problems instead of throwing. */
import { parseDurationUs, parseFraction, parseSizeBytes } from '../core/units.ts';
import type { CheckDefinitions } from './checks.ts';
import { tooLong } from './bounds.ts';
import { resolveFabric } from './fabric.ts';
import { resolveTraffic } from './flows.ts';
import { matches } from './matrix.ts';
import type { CapturePoint, ClockSettings, Lab, System } from './model.ts';
import type { Findings, Path, Problem } from '../core/config/problems.ts';
import { listed } from '../core/config/validate.ts';
import { expandRange } from '../core/config/ranges.ts';
import { orProblem, requireNode, type Nodes } from './references.ts';
import type { TopologyFile } from './schema.ts';
import { checkTargets } from './targets.ts';

export interface CellFile {
  readonly file: TopologyFile;
  readonly cell: string;
  readonly variant: Readonly<Record<string, string>>;
}

export function resolveLab({ file, cell, variant }: CellFile, labName: string, checks: CheckDefinitions, findings: Findings): Lab {
  const { problems } = findings;
  const fabric = resolveFabric(file, labName, findings);
  const nodes = new Map(fabric.nodes.map((n) => [n.name, n]));
  problems.push(...settingProblems(file));
  const systems = resolveSystems(file, nodes, problems);
  const phases = resolveTraffic(file, { nodes, links: fabric.links, systems, checks }, problems);
  const captures = resolveCaptures(file, nodes, variant, problems);
  const targets = (file.targets ?? []).filter((t) => matches(t.when, variant));
  const lab: Lab = {
    name: labName,
    cell,
    variant,
    fabric,
    phases,
    targets,
    tolerance: {
      rate: parseFraction(file.linktest?.['rate-tolerance'] ?? '5%'),
      delayUs: parseDurationUs(file.linktest?.['delay-tolerance'] ?? '1ms'),
      reachabilityOnly: file.linktest?.skip ?? false,
    },
    clocks: resolveClocks(file, nodes, problems),
    systems,
    captures,
    saturation: parseFraction(file.saturation ?? '95%'),
  };
  problems.push(...checkTargets(file.targets ?? [], lab, checks));
  return lab;
}

/** Of the lab as a whole. */
function settingProblems({ linktest, clocks, saturation }: TopologyFile): Problem[] {
  const problems: Problem[] = [];
  const tolerance = linktest?.['rate-tolerance'];
  if (tolerance !== undefined && parseFraction(tolerance) >= 1)
    problems.push({ path: ['linktest', 'rate-tolerance'], message: `a tolerance of ${tolerance} tolerates everything` });
  if (saturation !== undefined && (parseFraction(saturation) > 1 || parseFraction(saturation) === 0))
    problems.push({ path: ['saturation'], message: `a saturation of ${saturation}: more than 0%, at most 100%` });
  for (const key of ['max-offset', 'settle'] as const) {
    const problem = tooLong(parseDurationUs(clocks?.[key] ?? '0s'), ['clocks', key]);
    if (problem) problems.push(problem);
  }
  return problems;
}

function resolveClocks({ clocks }: TopologyFile, nodes: Nodes, problems: Problem[]): ClockSettings {
  const grandmaster = clocks?.grandmaster ?? null;
  if (grandmaster !== null) requireNode(grandmaster, nodes, ['clocks', 'grandmaster'], problems);
  return {
    sync: clocks?.sync ?? null,
    maxOffsetUs: parseDurationUs(clocks?.['max-offset'] ?? '10ms'),
    settleUs: parseDurationUs(clocks?.settle ?? '60s'),
    grandmaster,
  };
}

function resolveSystems(file: TopologyFile, nodes: Nodes, problems: Problem[]): System[] {
  return Object.entries(file.systems ?? {}).map(([name, system]) => {
    const written = typeof system.on === 'string' ? [system.on] : system.on;
    const on = written.flatMap((text, i) => {
      const path = ['systems', name, 'on', ...(typeof system.on === 'string' ? [] : [i])];
      const expanded = orProblem(() => expandRange(text), path, problems);
      for (const node of expanded) requireNode(node, nodes, path, problems);
      return expanded;
    });
    return { name, on, crash: system.crash ?? 'void', config: system.config ?? {} };
  });
}

function resolveCaptures(file: TopologyFile, nodes: Nodes, variant: Readonly<Record<string, string>>, problems: Problem[]): CapturePoint[] {
  const taken = new Set<string>();
  return (file.capture ?? []).flatMap((capture, c) =>
    orProblem(() => expandRange(capture.at), ['capture', c, 'at'], problems).flatMap((at) => {
      const [node, itf] = at.split(':') as [string, string];
      const path: Path = ['capture', c, 'at'];
      const interfaces = requireNode(node, nodes, path, problems)?.interfaces;
      if (!interfaces) return [];
      if (!interfaces.some((i) => i.name === itf))
        problems.push({
          path,
          message: `node "${node}" has no interface "${itf}"`,
          hint: `interfaces: ${listed(interfaces.map((i) => i.name))}`,
        });
      if (!matches(capture.when, variant)) return [];
      if (taken.has(at)) problems.push({ path, message: `two captures at ${at}`, hint: 'one with direction: both sees everything' });
      taken.add(at);
      return [
        {
          at: { node, interface: itf },
          direction: capture.direction ?? 'both',
          filter: capture.filter ?? null,
          snapBytes: snapOf(capture.snap, ['capture', c, 'snap'], problems),
        },
      ];
    }),
  );
}

/** Below, there is no header to read; above, tcpdump takes no more. */
const MIN_SNAP_BYTES = 14;
const MAX_SNAP_BYTES = 262_144;

function snapOf(snap = '96B', path: Path, problems: Problem[]): number {
  const bytes = parseSizeBytes(snap);
  if (bytes < MIN_SNAP_BYTES || bytes > MAX_SNAP_BYTES)
    problems.push({ path, message: `${snap} of each packet: at least ${MIN_SNAP_BYTES}B, at most ${MAX_SNAP_BYTES}B` });
  return bytes;
}
