/**
 * The Gatekeeper topologies as a user runs them. Shapes are asserted, not times: on a machine that is too busy a target
 * may be inconclusive or narrowly missed, which is printed; what fails the test is a figure that is far from its bound,
 * or a negative control in which the check did not fail. Durations are the benchmarks' and reports' business.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { machineState, netrig, ROOT, scratch } from '../support/netrig.ts';

interface Verdict {
  readonly cell: string; readonly target: string; readonly outcome: 'pass' | 'fail' | 'inconclusive'; readonly control: boolean; readonly measured: string; readonly wanted: string; readonly reason: string | null;
  readonly unit: string; readonly estimate: { readonly value: number | null } | null; readonly bounds: { readonly atLeast?: number; readonly atMost?: number };
}

/** Of the bound, and at least so many points of a percentage. */
const FAR = 0.15;
const FAR_POINTS = 0.05;

/** `cells` of the matrix; at least `met` targets are met even on a machine that has other things to do. */
const SCENARIOS: readonly { name: string; title: string; cells: number; met: number; args?: readonly string[] }[] = [
  { name: 'gatekeeper-rx', title: 'R4-6 the paper\'s shape, receiving', cells: 12, met: 6 },
  { name: 'gatekeeper-tx', title: 'R4-6 the paper\'s shape, sending', cells: 12, met: 6 },
  { name: 'gatekeeper-contracts', title: 'R4-1 R4-2 R4-3 R4-4 R4-5 minimum, maximum, the idle link, determinism', cells: 7, met: 8 },
  { name: 'gatekeeper-crowd', title: 'R4-7 one flow against 99 flows and 99 senders', cells: 4, met: 2 },
  { name: 'gatekeeper-laws', title: 'R4-8 R4-9 R4-17 R4-20 response functions', cells: 4, met: 3, args: ['--repeat', '1'] },
  { name: 'gatekeeper-senders', title: 'R4-10 the slope does not depend on the number of senders', cells: 3, met: 0, args: ['--repeat', '2'] },
  { name: 'gatekeeper-churn', title: 'R4-11 R4-14 vNICs come and go', cells: 1, met: 3 },
  { name: 'gatekeeper-two-links', title: 'R4-13 several access links', cells: 2, met: 1 },
  { name: 'gatekeeper-adversaries', title: 'R4-2 R4-15 adversaries', cells: 6, met: 4 },
  { name: 'gatekeeper-faults', title: 'R4-16 R4-17 faults', cells: 8, met: 1 },
  { name: 'gatekeeper-latency', title: 'R4-19 latency of the victim', cells: 2, met: 1, args: ['--repeat', '1'] },
];

function isFar({ unit, estimate, bounds, outcome, control }: Verdict): boolean {
  if (outcome !== 'fail' || unit === 'durationUs') return false;
  if (control) return true;
  const value = estimate?.value ?? Infinity;
  const margin = (bound: number) => Math.max(bound * FAR, unit === 'fraction' ? FAR_POINTS : 0);
  const { atLeast, atMost } = bounds;
  return (atLeast !== undefined && value < atLeast - margin(atLeast)) || (atMost !== undefined && value > atMost + margin(atMost));
}

for (const { name, title, cells, met, args = [] } of SCENARIOS) {
  test(`${title}: ${name}`, () => {
    using files = scratch();
    const clean = machineState();
    const { status, stdout, stderr } = netrig(['run', join(ROOT, `topologies/${name}.yaml`), '--results', files.dir, ...args], {}, 600_000);
    assert.ok(status === 0 || status === 1 || status === 3, `exit ${status}\n${stderr}\n${stdout}`);
    const { verdicts } = JSON.parse(readFileSync(join(/report: (\S+)/.exec(stdout)?.[1] ?? '', '../report.json'), 'utf8')) as { verdicts: Verdict[] };
    for (const v of verdicts.filter((v) => v.outcome !== 'pass')) process.stdout.write(`${v.outcome}: ${v.cell} ${v.target}: ${v.measured}, wanted ${v.wanted}${v.reason ? ` (${v.reason})` : ''}\n`);
    assert.deepEqual(verdicts.filter(isFar).map((v) => `${v.cell} ${v.target}: ${v.measured}`), []);
    assert.equal(new Set(verdicts.map((v) => v.cell)).size, cells);
    assert.ok(verdicts.filter((v) => v.outcome === 'pass').length >= met, stdout);
    assert.deepEqual(machineState(), clean);
  });
}
