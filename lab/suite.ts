/** The project's own tests, step by step: every step is run, whatever became of those before it; the last line counts. */
import { parseArgs } from 'node:util';
import { execa } from 'execa';

/** Scripts for the pinned Node. Not by PATH: among the programs of npm packages is one called nft. */
const [TSC, ESLINT, PRETTIER, AVA] = [
  'node_modules/typescript/bin/tsc',
  'node_modules/eslint/bin/eslint.js',
  'node_modules/prettier/bin/prettier.cjs',
  'node_modules/ava/entrypoints/cli.js',
];

interface Step {
  readonly name: string;
  readonly what: string;
  readonly command: readonly [script: string, ...args: string[]];
}

/** In this order: what is quick says first what is wrong. */
const STEPS: readonly Step[] = [
  { name: 'types', what: 'type check', command: [TSC, '-p', '.'] },
  { name: 'lint', what: 'lint', command: [ESLINT, '.'] },
  { name: 'format', what: 'code as prettier lays it out', command: [PRETTIER, '--check', '.'] },
  { name: 'unit', what: 'pure functions and recorded evidence', command: [AVA] },
  {
    name: 'labs',
    what: 'labs in namespaces, kill -9, one cell of every system, the report in a browser',
    command: [AVA, '--config', 'labs.config.js'],
  },
  {
    name: 'rigs',
    what: 'a lab of containers, a lab of virtual machines',
    command: [AVA, '--config', 'rigs.config.js', 'test/rigs/smoke.test.ts'],
  },
];

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
}

/** Of ava's lines, one for each test. A step that does not count its parts is one of them. */
function count(output: string, succeeded: boolean): Omit<Outcome, 'seconds'> {
  const lines = (pattern: RegExp): number => [...output.matchAll(pattern)].length;
  const [passed, failed] = [lines(/^ *✔ /gm), lines(/^ *✘ /gm)];
  if (passed + failed === 0) return { passed: succeeded ? 1 : 0, failed: succeeded ? 0 : 1 };
  return { passed, failed: succeeded ? 0 : Math.max(1, failed) };
}

async function run({ command, name, what }: Step): Promise<Outcome> {
  process.stdout.write(`\n== ${name}: ${what}\n`);
  const startedMs = performance.now();
  const { all, exitCode } = await execa(process.execPath, command, {
    all: true,
    reject: false,
    stdout: ['pipe', 'inherit'],
    stderr: ['pipe', 'inherit'],
    stdin: 'ignore',
  });
  const seconds = (performance.now() - startedMs) / 1000;
  const outcome = { ...count(all, exitCode === 0), seconds };
  process.stdout.write(`== ${name}: ${outcome.passed} passed, ${outcome.failed} failed, ${seconds.toFixed(0)} s\n`);
  return outcome;
}

const { positionals } = parseArgs({ allowPositionals: true });
const unknown = positionals.filter((name) => !STEPS.some((step) => step.name === name));
if (unknown.length > 0) {
  process.stderr.write(`no step ${unknown.join(', ')}; there are: ${STEPS.map((step) => step.name).join(', ')}\n`);
  process.exit(2);
}
const outcomes: Outcome[] = [];
for (const step of STEPS) if (positionals.length === 0 || positionals.includes(step.name)) outcomes.push(await run(step));
const total = (key: keyof Outcome): number => outcomes.reduce((sum, o) => sum + o[key], 0);
process.stdout.write(`\nall steps: ${(total('seconds') / 60).toFixed(1)} minutes\n${total('passed')} passed, ${total('failed')} failed\n`);
process.exitCode = total('failed') > 0 ? 1 : 0;
