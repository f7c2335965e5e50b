/** The schema of evidence: what is written is read again; what is not as described is refused, with its place. */
import test from 'ava';
import { strict as assert } from 'node:assert';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { loggedEvents } from '../../src/evidence/agentlog.ts';
import { ONE_CLOCK, readCell, readRun, type CellEvidence } from '../../src/evidence/cell.ts';
import { writeManifest } from '../../src/evidence/manifest.ts';
import { PARTS, partPath, readPart, writePart, type PartName } from '../../src/evidence/parts.ts';
import { MANIFEST_SCHEMA, type RunManifest } from '../../src/evidence/records.ts';
import { parseExperiment } from '../../src/topology/load.ts';
import { scratch } from '../support/netrig.ts';
import { checksOf } from '../../src/systems/registry.ts';

const LAB =
  'name: t\ntopology: { nodes: { a: , b: }, links: [{ endpoints: ["a:e", "b:e"], rate: 10Mbit }] }\ntraffic: [{ phase: p, duration: 1s, flows: [{ from: a, to: b }], events: [{ at: 0s, down: "a:e", for: 1ms }] }]\ntargets: [{ name: x, check: reachability }]\n';
const SAMPLES = {
  reference: 'gm',
  sync: 'ptp',
  maxOffsetUs: 1000,
  samples: [
    { machine: 'm', atMs: 1, clock: null },
    { machine: 'm', atMs: 2, clock: { offsetNs: -5, boundNs: 3 } },
  ],
};

test('a part is read as it was written', async (t) => {
  using files = scratch();
  const lab = (await parseExperiment('t.yaml', LAB, { checksOf })).cells[0]!;
  await writePart(files.dir, 'lab', lab);
  await writePart(files.dir, 'clocks', SAMPLES);
  assert.deepEqual(await readPart(files.dir, 'lab'), JSON.parse(JSON.stringify(lab)));
  assert.deepEqual(await readPart(files.dir, 'clocks'), SAMPLES);
  t.pass();
});

test('an unknown clock is null: no sample stands for "exactly right"', async (t) => {
  using files = scratch();
  await writePart(files.dir, 'clocks', SAMPLES);
  const path = partPath(files.dir, 'clocks');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"clock":null', '"clock":{"offsetNs":0}'));
  await t.throwsAsync(readPart(files.dir, 'clocks'), { message: /clocks\.json: \/data\/samples\/0\/clock: missing key "boundNs"/ });
});

test('a part that is damaged, of another version or of another kind is refused, and says which', async (t) => {
  using files = scratch();
  const refused = async (name: PartName, content: unknown, message: RegExp): Promise<void> => {
    writeFileSync(partPath(files.dir, name), typeof content === 'string' ? content : JSON.stringify(content));
    const { code } = (await t.throwsAsync(readPart(files.dir, name), { message })) as unknown as { code: string };
    assert.equal(code, 'RESULTS_UNREADABLE');
  };
  await refused('phases', '[{"phase": "p"', /expected a part of a run/);
  await refused('phases', [{ phase: 'p' }], /expected a part of a run, .*expected a mapping/);
  await refused('phases', { schema: 'netrig-phases-9', data: [] }, /it is of "netrig-phases-9", and this netrig reads "netrig-phases-1"/);
  await refused(
    'load',
    { schema: 'netrig-load-1', data: [{ atMs: 'soon', machine: 'm', busy: 0 }] },
    /\/data\/0\/atMs: expected a number, found "soon"/,
  );
  await refused(
    'load',
    { schema: 'netrig-load-1', data: [{ atMs: 1, machine: 'm', busy: 0, idle: 1 }] },
    /\/data\/0\/idle: unknown key "idle"/,
  );
});

const MANIFEST: RunManifest = {
  schema: MANIFEST_SCHEMA,
  name: 't',
  description: '',
  topology: 't.yaml',
  command: [],
  startedAt: '',
  endedAt: null,
  repeat: 1,
  looks: null,
  more: {},
  dimensions: {},
  cells: [''],
  rig: null,
  machines: {},
  stopped: null,
};

test('a folder of an older netrig is refused, with what can still be done with it', async (t) => {
  using files = scratch();
  await writeManifest(files.dir, MANIFEST);
  assert.equal((await readRun(files.dir)).manifest.name, 't');
  files.file('run.json', JSON.stringify({ ...MANIFEST, schema: 'netrig-run-3' }));
  const error = (await t.throwsAsync(readRun(files.dir), { message: /it is of "netrig-run-3"/ })) as unknown as { hint: string };
  assert.match(error.hint, /its report\.html stays readable/);
});

test('a repeat that was cut short is voided, and has the parts that were written', async (t) => {
  using files = scratch();
  const folder = join(files.dir, 'r1');
  mkdirSync(folder);
  await writePart(folder, 'lab', (await parseExperiment('t.yaml', LAB, { checksOf })).cells[0]!);
  const evidence = await readCell(folder, 1);
  assert.deepEqual([evidence.phases, evidence.clocks], [[], ONE_CLOCK]);
  assert.match(evidence.voided[0] ?? '', /ended before this repeat was complete/);
  assert.equal(
    Object.keys(PARTS).every((name) => name in evidence),
    true,
  );
  t.pass();
});

test('a line of an agent’s log is dated by the clock of phases; one that is not as described is named', async (t) => {
  using files = scratch();
  const lab = (await parseExperiment('t.yaml', LAB, { checksOf })).cells[0]!;
  await writePart(files.dir, 'lab', lab);
  const agent = {
    system: 's',
    node: 'a',
    machine: 'm',
    status: { state: 'running', problem: null },
    crashes: 0,
    faults: [],
    counters: {},
    clock: { offsetNs: 2e6, boundNs: 0 },
  };
  mkdirSync(join(files.dir, 'agents'));
  const line = Type.Object({ count: Type.Number() });
  const read = async (...lines: string[]) => {
    writeFileSync(join(files.dir, 'agents/s.a.jsonl'), lines.join('\n'));
    return loggedEvents({ ...(await readCell(files.dir, 1)), agents: [agent] } as unknown as CellEvidence, 's', 'a', 'counted', line);
  };
  const good = '{"at":100,"event":"counted","count":3}';
  assert.deepEqual(
    (await read(good, '{"at":101,"event":"other"}', '{"at":1')).map(({ atMs, count }) => [atMs, count]),
    [[98, 3]],
  );
  await t.throwsAsync(read('{"at":100,"event":"counted","count":"3"}'), {
    message: /^log of a: counted\/count: expected a number, found "3"/,
  });
});
