/** A validated file (one cell, variables substituted) to the resolved model. Pure; collects problems instead of throwing. */
import { parseDurationUs, parseFraction, parseSizeBytes } from '../core/units.ts';
import type { CheckDefinitions } from './checks.ts';
import { resolveFabric } from './fabric.ts';
import { resolveTraffic } from './flows.ts';
import { matches } from './matrix.ts';
import type { CapturePoint, ClockSettings, Lab, LabNode, System } from './model.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import { expandRange } from '../core/config/ranges.ts';
import { orProblem, requireNode } from './references.ts';
import type { TopologyFile } from './schema.ts';
import { checkTargets } from './targets.ts';

export interface CellFile {
  readonly file: TopologyFile;
  readonly cell: string;
  readonly variant: Readonly<Record<string, string>>;
}

export function resolveLab({ file, cell, variant }: CellFile, labName: string, checks: CheckDefinitions, problems: Problem[]): Lab {
  const fabric = resolveFabric(file, labName, problems);
  const systems = resolveSystems(file, fabric.nodes, problems);
  const phases = resolveTraffic(file, { nodes: fabric.nodes, links: fabric.links, systems, checks }, problems);
  const captures = resolveCaptures(file, fabric.nodes, variant, problems);
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
    clocks: resolveClocks(file, fabric.nodes, problems),
    systems,
    captures,
    saturation: parseFraction(file.saturation ?? '95%'),
  };
  problems.push(...checkTargets(file.targets ?? [], lab, checks));
  return lab;
}

function resolveClocks({ clocks }: TopologyFile, nodes: readonly LabNode[], problems: Problem[]): ClockSettings {
  const grandmaster = clocks?.grandmaster ?? null;
  if (grandmaster !== null) requireNode(grandmaster, nodes, ['clocks', 'grandmaster'], problems);
  return {
    sync: clocks?.sync ?? null,
    maxOffsetUs: parseDurationUs(clocks?.['max-offset'] ?? '10ms'),
    settleUs: parseDurationUs(clocks?.settle ?? '60s'),
    grandmaster,
  };
}

function resolveSystems(file: TopologyFile, nodes: readonly LabNode[], problems: Problem[]): System[] {
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

function resolveCaptures(
  file: TopologyFile,
  nodes: readonly LabNode[],
  variant: Readonly<Record<string, string>>,
  problems: Problem[],
): CapturePoint[] {
  const taken = new Set<string>();
  return (file.capture ?? []).flatMap((capture, c) =>
    orProblem(() => expandRange(capture.at), ['capture', c, 'at'], problems).flatMap((at) => {
      const [node, itf] = at.split(':') as [string, string];
      const path: Path = ['capture', c, 'at'];
      if (!requireNode(node, nodes, path, problems)) return [];
      const interfaces = nodes.find((n) => n.name === node)?.interfaces.map((i) => i.name) ?? [];
      if (!interfaces.includes(itf))
        problems.push({ path, message: `node "${node}" has no interface "${itf}"`, hint: `interfaces: ${interfaces.join(', ')}` });
      if (!matches(capture.when, variant)) return [];
      if (taken.has(at)) problems.push({ path, message: `two captures at ${at}`, hint: 'one with direction: both sees everything' });
      taken.add(at);
      return [
        {
          at: { node, interface: itf },
          direction: capture.direction ?? 'both',
          filter: capture.filter ?? null,
          snapBytes: parseSizeBytes(capture.snap ?? '96B'),
        },
      ];
    }),
  );
}
