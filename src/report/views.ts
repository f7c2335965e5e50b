/** What the report draws, computed from evidence. Pure but for reading captures. */
import { join } from 'node:path';
import { existsSync } from 'node:fs';
import { meanInterval } from '../checks/statistics.ts';
import type { Checks, DrawnRates } from '../checks/check.ts';
import { groupSeries, windowRates, WINDOW_US } from '../checks/series.ts';
import { formatRate } from '../core/units.ts';
import type { CellEvidence } from '../evidence/cell.ts';
import { describeEvent } from '../evidence/events.ts';
import type { RunManifest } from '../evidence/records.ts';
import type { Level, Mark, Point, TimeSeries } from './charts.ts';
import type { JudgedRun } from './judge.ts';

/** A churn of a hundred events would be a grey area. */
const MOST_EVENTS = 4;

/** Rates over time: per group at the capture point that targets judge, or per flow where there is none. */
export function cellTimeSeries(evidence: CellEvidence, checks: Checks): TimeSeries | undefined {
  const drawn = evidence.lab.targets.flatMap((target): { phase: string | undefined; rates: DrawnRates }[] => {
    const rates = checks.get(target.check)?.drawn?.(target);
    return rates ? [{ phase: target.phase, rates }] : [];
  });
  const first = drawn[0];
  const phase = evidence.phases.find((p) => p.phase === first?.phase) ?? evidence.phases.at(-1);
  if (!phase) return undefined;
  const planned = evidence.lab.phases.find((p) => p.name === phase.phase);
  const happened = (evidence.events[phase.phase] ?? [])
    .slice(0, MOST_EVENTS)
    .map((e): Mark => ({ x: e.beganUs / 1e6, label: describeEvent(e) }));
  const marks = [...eventMarks(planned?.flows ?? []), ...happened];
  const capture = first?.rates.capture ?? evidence.captures[0]?.at;
  const record = evidence.captures.find((c) => c.at === capture);
  if (first && record?.error === null && existsSync(join(evidence.folder, record.file))) {
    const { label, capacityBps } = first.rates;
    const series = readableSeries(evidence, record.at, label, phase);
    if (!series) return undefined;
    const names = [...series.bytes.keys()].sort();
    const points = names.flatMap((name) =>
      windowRates(series.bytes.get(name) as Float64Array, series.binUs, WINDOW_US, 0, phase.durationUs).map((rate, i): Point => ({
        x: ((i + 0.5) * WINDOW_US) / 1e6,
        y: rate / 1e6,
        series: name,
      })),
    );
    const levels = drawn.flatMap(({ rates: { level } }): Level[] =>
      level ? [{ y: level.bps / 1e6, label: level.label, series: level.group }] : [],
    );
    const unique = levels.filter((l, i) => levels.findIndex((o) => o.y === l.y && o.series === l.series) === i);
    const yMax = capacityBps === null ? Math.max(1, ...points.map((p) => p.y)) : capacityBps / 1e6;
    return {
      points,
      series: names,
      marks,
      levels: unique,
      yLabel: 'Mbit/s',
      yMax: yMax * 1.1,
      description: `Received rate per ${label} at ${record.at} over ${phase.durationUs / 1e6} seconds`,
    };
  }
  const names = phase.flows.filter((f) => f.intervals.length > 0).map((f) => f.flow);
  if (names.length === 0 || names.length > 6) return undefined;
  const points = phase.flows.flatMap((f) => {
    const offset = (planned?.flows.find((p) => p.name === f.flow)?.startUs ?? 0) / 1e6;
    return f.intervals.map((i): Point => ({ x: offset + (i.startS + i.endS) / 2, y: i.rateBps / 1e6, series: f.flow }));
  });
  return {
    points,
    series: names,
    marks,
    levels: [],
    yLabel: 'Mbit/s',
    yMax: Math.max(1, ...points.map((p) => p.y)) * 1.1,
    description: `Goodput per flow over ${phase.durationUs / 1e6} seconds`,
  };
}

/** A damaged capture costs its chart, not the report. */
function readableSeries(...args: Parameters<typeof groupSeries>): ReturnType<typeof groupSeries> {
  try {
    return groupSeries(...args);
  } catch {
    return undefined;
  }
}

function eventMarks(
  flows: readonly { readonly name: string; readonly startUs: number; readonly durationUs: number; readonly protocol: string }[],
): Mark[] {
  const starts = Map.groupBy(
    flows.filter((f) => f.startUs > 0),
    (f) => f.startUs,
  );
  return [...starts].flatMap(([startUs, group]) => {
    const first = group[0];
    if (!first) return [];
    const what = `${group.length} ${first.protocol.toUpperCase()}`;
    return [
      { x: startUs / 1e6, label: `${what} start` },
      { x: (startUs + first.durationUs) / 1e6, label: 'stop' },
    ];
  });
}

export interface AgentCost {
  readonly cell: string;
  readonly agents: number;
  readonly crashes: number;
  readonly cpuPercent: number;
}

export function agentCosts({ cells }: JudgedRun): AgentCost[] {
  return [...cells].flatMap(([cell, repeats]) =>
    repeats
      .filter((r) => r.agents.length > 0)
      .slice(0, 1)
      .map((r): AgentCost => {
        const seconds = r.phases.reduce((total, p) => total + p.durationUs / 1e6, 0);
        const busiest = Math.max(...r.agents.map((a) => a.cpuSeconds));
        return {
          cell,
          agents: r.agents.length,
          crashes: r.agents.reduce((n, a) => n + a.crashes.length, 0),
          cpuPercent: seconds > 0 ? (busiest / seconds) * 100 : 0,
        };
      }),
  );
}

export interface LoadSummary {
  readonly machine: string;
  readonly mean: number;
  readonly max: number;
  readonly samples: readonly number[];
}

export function loadSummaries(repeats: readonly CellEvidence[]): LoadSummary[] {
  const byMachine = Map.groupBy(
    repeats.flatMap((r) => r.load),
    (s) => s.machine,
  );
  return [...byMachine].map(([machine, all]) => {
    const samples = all.map((s) => s.busy);
    return { machine, mean: meanInterval(samples).value, max: samples.reduce((a, b) => Math.max(a, b), 0), samples };
  });
}

export const describeRate = (bps: number | null): string => (bps === null ? '–' : formatRate(bps));

/** One line: what it ran on. */
export function describeMachines({ rig, machines }: RunManifest): string {
  const all = Object.values(machines);
  const kinds = [
    ...new Set(
      all.map(
        (m) =>
          `${m.cores} ${m.cores === 1 ? 'core' : 'cores'}, Linux ${m.kernel}, Open vSwitch in ${m.capabilities.ovsKernel ? 'the kernel' : 'user space'}`,
      ),
    ),
  ].join('; ');
  return rig === null ? kinds : `rig ${rig}, ${all.length} ${all.length === 1 ? 'machine' : 'machines'}: ${kinds}`;
}
