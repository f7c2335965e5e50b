/** `node test/fuzz/main.ts SUBJECT COUNT [FIRST_SEED]`: for as long as one likes. Exit status 1, and the inputs, if there is a defect. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SUBJECTS } from './subjects.ts';

/** Longer than any reader may take. */
const HANG_MS = 2000;
const PROGRESS = 10_000;

const [name = '', count = '', first = '1'] = process.argv.slice(2);
const make = Object.hasOwn(SUBJECTS, name) ? SUBJECTS[name] : undefined;
if (!make || !/^[0-9]+$/.test(count) || !/^[0-9]+$/.test(first)) {
  process.stderr.write(`usage: main.ts ${Object.keys(SUBJECTS).join('|')} COUNT [FIRST_SEED]\n`);
  process.exit(2);
}

using subject = make();
const kept = mkdtempSync(join(tmpdir(), `netrig-fuzz-${name}-`));
const defects = new Map<string, number>();
const begunMs = performance.now();
let slowestMs = 0;
let most = 0;
for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const startedMs = performance.now();
  let what: string | undefined;
  try {
    await subject.run(seed);
  } catch (error) {
    const [message, where = ''] = (error as Error).stack?.split(/\n(?= {4}at )/) ?? [String(error)];
    what = `${(message ?? '').slice(0, 200)} ${where.trim()}`;
  }
  const tookMs = performance.now() - startedMs;
  slowestMs = Math.max(slowestMs, tookMs);
  most = Math.max(most, process.memoryUsage.rss());
  if (tookMs > HANG_MS) what ??= `no answer for ${HANG_MS} ms`;
  if (what !== undefined) {
    const key = what.replace(/"[^"]*"|[0-9]+/g, '…');
    if (!defects.has(key)) {
      writeFileSync(join(kept, String(seed)), subject.show(seed));
      process.stdout.write(`seed ${seed}: ${what}\n`);
    }
    defects.set(key, (defects.get(key) ?? 0) + 1);
  }
  if ((seed - Number(first) + 1) % PROGRESS === 0)
    process.stdout.write(`${seed - Number(first) + 1} of ${count}, ${((performance.now() - begunMs) / 1000).toFixed(0)} s\n`);
}
process.stdout.write(
  `${name}: ${count} inputs, ${[...defects.values()].reduce((a, b) => a + b, 0)} failed in ${defects.size} ways; slowest ${slowestMs.toFixed(0)} ms; at most ${(most / 2 ** 20).toFixed(0)} MiB\n`,
);
if (defects.size > 0) process.stdout.write(`inputs: ${kept}\n`);
process.exitCode = defects.size > 0 ? 1 : 0;
