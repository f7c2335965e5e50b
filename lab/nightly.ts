/**
 * The night: every shipped topology with repeats until its measurements are decided, then rigs and benches. Verdicts are
 * netrig's own; the table goes to the terminal and to nightly.md in the results folder.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import type { Verdict } from '../src/checks/verdict.ts';

const USAGE = `usage: lab/nightly.sh [--at-most N] [--budget MINUTES] [--results FOLDER] [--topologies-only] [NAME …]

  NAME                only topologies whose name begins with it, such as gatekeeper
  --at-most N         repeats of a cell whose measurements are not decided (default 12)
  --budget MINUTES    no topology is started later than this (default: none)
  --results FOLDER    default results/nightly
  --topologies-only   without rigs and benches
`;
/** Needs a rig of virtual machines: test/rigs runs it there. */
const ON_RIGS: readonly string[] = ['replication-rig'];
const ROOT = join(import.meta.dirname, '..');

interface Row {
  readonly name: string;
  readonly exit: number;
  readonly minutes: number;
  readonly verdicts: readonly Verdict[];
  readonly note: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'at-most': { type: 'string', default: '12' },
    budget: { type: 'string' },
    results: { type: 'string', default: join(ROOT, 'results/nightly') },
    'topologies-only': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const startedMs = performance.now();
const budgetMs = values.budget === undefined ? Infinity : Number(values.budget) * 60_000;
const isSpent = (): boolean => performance.now() - startedMs > budgetMs;
mkdirSync(values.results, { recursive: true });

async function timed(work: () => Promise<Omit<Row, 'minutes'>>): Promise<Row> {
  const beganMs = performance.now();
  const row = await work();
  return { ...row, minutes: (performance.now() - beganMs) / 60_000 };
}

async function runTopology(name: string): Promise<Omit<Row, 'minutes'>> {
  const {
    exitCode = 4,
    stdout,
    stderr,
  } = await execa(
    join(ROOT, 'netrig'),
    ['run', join(ROOT, `topologies/${name}.yaml`), '--until-decided', values['at-most'], '--results', values.results],
    { reject: false, stdin: 'ignore', stderr: ['pipe', 'inherit'] },
  );
  process.stdout.write(`${stdout}\n`);
  const report = /^report: (\S+)/m.exec(stdout)?.[1];
  const verdicts =
    report === undefined ? [] : (JSON.parse(readFileSync(join(report, '../report.json'), 'utf8')) as { verdicts: Verdict[] }).verdicts;
  return { name, exit: exitCode, verdicts, note: exitCode === 4 ? (/error (.*)/.exec(stderr)?.[1] ?? 'broken') : '' };
}

async function runScript(name: string, ...command: string[]): Promise<Omit<Row, 'minutes'>> {
  const { exitCode = 4, all } = await execa(process.execPath, command, {
    reject: false,
    all: true,
    stdin: 'ignore',
    cwd: ROOT,
    stdout: ['pipe', 'inherit'],
    stderr: ['pipe', 'inherit'],
  });
  return { name, exit: exitCode, verdicts: [], note: all.trim().split('\n').at(-1) ?? '' };
}

const AVA = 'node_modules/ava/entrypoints/cli.js';
const names = readdirSync(join(ROOT, 'topologies'))
  .map((file) => file.replace('.yaml', ''))
  .filter((name) => !ON_RIGS.includes(name) && (positionals.length === 0 || positionals.some((p) => name.startsWith(p))));
const rows: Row[] = [];
const left: string[] = [];
for (const name of names) {
  if (isSpent()) left.push(name);
  else rows.push(await timed(() => runTopology(name)));
  writeFileSync(join(values.results, 'nightly.md'), table());
}
if (!values['topologies-only'] && positionals.length === 0) {
  for (const [name, ...command] of [
    ['containers', AVA, '--config', 'rigs.config.js', 'test/rigs/containers.test.ts'],
    ['virtual machines', AVA, '--config', 'rigs.config.js', 'test/rigs/vm.test.ts'],
    ...(['topology', 'rig', 'capture', 'results'] as const).map(
      (subject) => [`fuzz ${subject}`, 'test/fuzz/main.ts', subject, '100000', String(Date.now())] as const,
    ),
    ['benches', 'bench/main.ts'],
  ] as const) {
    if (isSpent()) left.push(name);
    else rows.push(await timed(() => runScript(name, ...command)));
  }
}
writeFileSync(join(values.results, 'nightly.md'), table());
process.stdout.write(`\n${table()}\n`);
process.exitCode = rows.some((r) => r.exit !== 0) || left.length > 0 ? 1 : 0;

function table(): string {
  const count = (row: Row, outcome: Verdict['outcome']): number => row.verdicts.filter((v) => v.outcome === outcome).length;
  const lines = rows.map(
    (r) =>
      `| ${r.name} | ${r.exit} | ${count(r, 'pass')} | ${count(r, 'fail')} | ${count(r, 'inconclusive')} | ${r.minutes.toFixed(1)} | ${r.note} |`,
  );
  const open = rows.flatMap((r) =>
    r.verdicts
      .filter((v) => v.outcome !== 'pass')
      .map(
        (v) =>
          `- ${v.outcome === 'fail' ? 'missed' : 'undecided'}: ${r.name} ${v.cell} ${v.target}: ${v.measured}, wanted ${v.wanted}${v.reason === null ? '' : ` (${v.reason})`}`,
      ),
  );
  return [
    '| run | exit | met | missed | undecided | minutes | |',
    '|---|---|---|---|---|---|---|',
    ...lines,
    ...(left.length > 0 ? ['', `Not run, the budget was spent: ${left.join(', ')}`] : []),
    '',
    ...open,
  ].join('\n');
}
