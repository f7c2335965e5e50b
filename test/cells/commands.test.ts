import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { netrig, ROOT, scratch } from '../support/netrig.ts';

test('hello.yaml: from run to a verdict', () => {
  using files = scratch();
  const { status, stdout, stderr } = netrig(['run', join(ROOT, 'topologies/hello.yaml'), '--name', 't-hello', '--results', files.dir]);
  // On a busy machine its measurement may be open, or missed; what holds always is that there is a verdict.
  assert.ok(status !== null && [0, 1, 3].includes(status), stdout + stderr);
  assert.match(stdout, /[01] met, [01] missed, [01] inconclusive/);
});

test('every topology validates, prints its plan and draws itself', () => {
  for (const name of readdirSync(join(ROOT, 'topologies'))) {
    const file = join(ROOT, 'topologies', name);
    assert.match(netrig(['validate', file]).stdout, /: valid/);
    assert.match(netrig(['run', file, '--dry-run']).stdout, /\[local\] ip -batch -/);
    assert.match(netrig(['graph', file]).stdout, /<svg/);
    assert.match(netrig(['graph', file, '--format', 'mermaid']).stdout, /^graph LR/);
  }
});

test('help, doctor, schema and completion answer', () => {
  assert.match(netrig(['help', 'run']).stdout, /Exit status/);
  assert.equal(netrig(['rnu']).status, 2);
  assert.match(netrig(['rnu']).stderr, /Did you mean run\?/);
  const doctor = JSON.parse(netrig(['doctor', '--json']).stdout) as { what: string; state: string }[];
  assert.equal(doctor.filter((f) => f.state === 'missing').length, 0, JSON.stringify(doctor.filter((f) => f.state === 'missing')));
  assert.ok(doctor.some((f) => f.what === 'netem'));
  assert.match(netrig(['completion', 'bash']).stdout, /complete -o filenames -F _netrig netrig/);
  assert.ok(JSON.parse(netrig(['schema']).stdout));
});
