/**
 * One short cell of every system, as a user runs it: its invariants hold, whatever the machine is busy with. What is
 * measured is decided by lab/nightly.sh, with repeats.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Verdict } from '../../src/checks/verdict.ts';
import { labState, netrig, ROOT, scratch } from '../support/netrig.ts';

const CELLS: readonly (readonly [topology: string, cell: string, ...filter: string[]])[] = [
  ['gatekeeper-churn', ''],
  ['gatekeeper-adversaries', 'provider-gatekeeper', 'gatekeeper', 'provider'],
  ['replication-direction', ''],
  ['pop-forms', 'gre', 'gre'],
  ['hub-basics', ''],
  ['hub-overlap', ''],
  ['hub-dns', ''],
  ['hub-cache', 'short', 'short'],
  ['mesh-basic', ''],
  ['mesh-oneway', ''],
  ['mesh-move', ''],
];

for (const [topology, cell, ...filter] of CELLS) {
  test(`${topology}${cell ? `, ${cell}` : ''}: invariants hold`, () => {
    using files = scratch();
    const name = `t-${topology}`;
    const clean = labState(name);
    const { status, stdout, stderr } = netrig(
      ['run', join(ROOT, `topologies/${topology}.yaml`), '--name', name, '--results', files.dir, ...filter.flatMap((f) => ['--filter', f])],
      {},
      600_000,
    );
    assert.ok(status !== null && status !== 2 && status !== 4, `exit ${status}\n${stderr}\n${stdout}`);
    const { verdicts } = JSON.parse(readFileSync(join(/report: (\S+)/.exec(stdout)?.[1] ?? '', '../report.json'), 'utf8')) as {
      verdicts: Verdict[];
    };
    assert.deepEqual([...new Set(verdicts.map((v) => v.cell))], [cell]);
    const invariants = verdicts.filter((v) => v.kind === 'invariant');
    assert.ok(invariants.length >= 2, `${invariants.length} invariants`);
    assert.deepEqual(
      invariants.filter((v) => v.outcome !== 'pass').map((v) => `${v.target}: ${v.measured}, wanted ${v.wanted} (${v.reason})`),
      [],
    );
    assert.deepEqual(labState(name), clean);
  });
}
