/**
 * One lab of containers and one of virtual machines: the same file as in namespaces, from up to down. Whether links and
 * figures are right there is decided at night; this holds always.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { netrig, rigState } from '../support/netrig.ts';
import { containersImpossible, spreadLab, testRig, verdictsOf, vmsImpossible, type TestRig } from '../support/rigs.ts';

const TIMEOUT_MS = 300_000;

/** Speed is not asked for: reachability only, on links and of the flow. */
const lab = (name: string): string =>
  spreadLab(name, 3, 'linktest: { skip: true }\n').replace(
    /targets:\n.*\n/,
    'targets:\n  - { name: it flows, kind: invariant, check: reachability, flow: transfer }\n',
  );

const kinds: readonly (readonly [what: string, base: string, impossible: string | undefined, change?: (text: string) => string])[] = [
  ['containers', 'containers', containersImpossible()],
  ['virtual machines', 'vm-3', vmsImpossible()],
];

for (const [what, base, impossible] of kinds) {
  if (impossible) process.stdout.write(`${what} cannot run here: ${impossible}\n`);
  (impossible ? test.skip : test)(`a lab of ${what}, from up to down`, (t) => {
    const dir = mkdtempSync(join(tmpdir(), `netrig-${base}-`));
    const clean = rigState(`t-smoke-${base}`);
    const rig: TestRig = testRig(dir, base, `t-smoke-${base}`);
    t.teardown(() => {
      netrig(['destroy', `t-smoke-${base}`, '--force'], {}, TIMEOUT_MS);
      rig.down();
      rmSync(dir, { recursive: true, force: true });
    });
    const up = rig.up();
    // An engine that this kernel does not let start is the machine's limit, and said; anything else is a failure.
    if (up.stderr.includes('the Docker Engine does not start')) {
      t.log(up.stderr.trim());
      return;
    }
    assert.equal(up.status, 0, up.stderr);
    const file = join(dir, 'lab.yaml');
    const text = lab(`t-smoke-${base}`);
    writeFileSync(file, base === 'containers' ? text.replaceAll(/, place: \{ rack: \w+ \}|place: \{ rack: \w+ \}/g, '') : text);
    const { status, stdout, stderr } = netrig(['run', file, '--on', rig.file, '--results', dir], {}, TIMEOUT_MS);
    assert.equal(status, 0, stderr + stdout);
    assert.deepEqual(
      verdictsOf(stdout).map((v) => v.outcome),
      ['pass'],
    );
    assert.equal(rig.down().status, 0);
    assert.deepEqual(rigState(`t-smoke-${base}`), clean);
  });
}
