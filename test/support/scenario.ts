/**
 * Topologies as a user runs them. Shapes are asserted, not times: on a machine that is too busy a target may be
 * inconclusive or narrowly missed, which is printed; what fails the test is a figure that is far from its bound, or a
 * negative control in which the check did not fail. Durations are the benchmarks' and reports' business.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { machineState, netrig, ROOT, scratch } from './netrig.ts';

interface Verdict {
  readonly cell: string; readonly target: string; readonly outcome: 'pass' | 'fail' | 'inconclusive'; readonly control: boolean; readonly measured: string; readonly wanted: string; readonly reason: string | null;
  readonly unit: string; readonly estimate: { readonly value: number | null } | null; readonly bounds: { readonly atLeast?: number; readonly atMost?: number };
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Of the matrix. */
  readonly cells: number;
  /** Targets that are met even on a machine that has other things to do. */
  readonly met: number;
  readonly args?: readonly string[];
  /** Durations and counts may be this many times their bound; without it, durations decide nothing. */
  readonly slack?: number;
}

/** Of the bound, and at least so many points of a percentage. */
const FAR = 0.15;
const FAR_POINTS = 0.05;

function isFar({ unit, estimate, bounds, outcome, control }: Verdict, slack: number | undefined): boolean {
  if (outcome !== 'fail' || (unit === 'durationUs' && slack === undefined)) return false;
  if (control) return true;
  const value = estimate?.value ?? Infinity;
  const margin = (bound: number): number => (slack !== undefined && unit !== 'fraction' ? bound * (slack - 1) : Math.max(bound * FAR, unit === 'fraction' ? FAR_POINTS : 0));
  const { atLeast, atMost } = bounds;
  return (atLeast !== undefined && value < atLeast - margin(atLeast)) || (atMost !== undefined && value > atMost + margin(atMost));
}

export function testScenarios(scenarios: readonly Scenario[]): void {
  for (const { name, title, cells, met, args = [], slack } of scenarios) {
    test(`${title}: ${name}`, () => {
      using files = scratch();
      const clean = machineState();
      const { status, stdout, stderr } = netrig(['run', join(ROOT, `topologies/${name}.yaml`), '--results', files.dir, ...args], {}, 600_000);
      assert.ok(status === 0 || status === 1 || status === 3, `exit ${status}\n${stderr}\n${stdout}`);
      const { verdicts } = JSON.parse(readFileSync(join(/report: (\S+)/.exec(stdout)?.[1] ?? '', '../report.json'), 'utf8')) as { verdicts: Verdict[] };
      for (const v of verdicts.filter((v) => v.outcome !== 'pass')) process.stdout.write(`${v.outcome}: ${v.cell} ${v.target}: ${v.measured}, wanted ${v.wanted}${v.reason ? ` (${v.reason})` : ''}\n`);
      assert.deepEqual(verdicts.filter((v) => isFar(v, slack)).map((v) => `${v.cell} ${v.target}: ${v.measured}${v.reason ? ` (${v.reason})` : ''}`), []);
      assert.equal(new Set(verdicts.map((v) => v.cell)).size, cells);
      assert.ok(verdicts.filter((v) => v.outcome === 'pass').length >= met, stdout);
      assert.deepEqual(machineState(), clean);
    });
  }
}
