/** What recordings say, good and spoilt. Run as a program, it writes that down: npm run golden [NAME …]. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingNames, unpack } from './archive.ts';
import { judgeCell, judged, open, type Judged } from './judge.ts';
import { spoilsOf } from './spoils/index.ts';

export interface Expected {
  readonly good: readonly Judged[];
  /** By way to spoil, cell and target: the outcome where it differs; "inconclusive: REASON". */
  readonly spoilt: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;
}

export const expectedPath = (name: string): string => join(import.meta.dirname, `expected/${name}.json`);

export async function judgeAll(name: string, folder: string): Promise<Expected> {
  const recording = await open(name, folder);
  const good = new Map([...recording.cells.keys()].map((cell) => [cell, judgeCell(recording, cell).map(judged)]));
  const spoilt: Record<string, Record<string, Record<string, string>>> = {};
  for (const [cell, evidence] of recording.cells) {
    for (const { name: way, spoil } of spoilsOf(evidence)) {
      const copy = mkdtempSync(join(tmpdir(), 'netrig-spoilt-'));
      try {
        cpSync(evidence.folder, copy, { recursive: true });
        const changed = judgeCell(recording, cell, spoil({ ...evidence, load: [], folder: copy }, copy)).map(judged).filter((v, i) => v.outcome !== good.get(cell)?.[i]?.outcome);
        for (const v of changed) {
          const cells = (spoilt[way] ??= {});
          (cells[cell] ??= {})[v.target] = v.outcome === 'inconclusive' ? `inconclusive: ${v.reason}` : v.outcome;
        }
      } finally {
        rmSync(copy, { recursive: true, force: true });
      }
    }
  }
  return { good: [...good.values()].flat(), spoilt };
}

if (import.meta.main) {
  mkdirSync(join(import.meta.dirname, 'expected'), { recursive: true });
  const names = process.argv.slice(2);
  for (const name of recordingNames().filter((n) => names.length === 0 || names.includes(n))) {
    const folder = mkdtempSync(join(tmpdir(), 'netrig-golden-'));
    unpack(name, folder);
    const expected = await judgeAll(name, folder);
    writeFileSync(expectedPath(name), `${JSON.stringify(expected, null, 1)}\n`);
    rmSync(folder, { recursive: true });
    const outcomes = (cell: string, target: string): string[] => Object.values(expected.spoilt).flatMap((cells) => cells[cell]?.[target] ?? []);
    const missed = expected.good.filter((v) => outcomes(v.cell, v.target).includes('fail'));
    const never = expected.good.filter((v) => outcomes(v.cell, v.target).every((o) => o !== 'fail' && !o.startsWith('inconclusive')));
    process.stdout.write(`${name}: ${expected.good.length} targets, ${expected.good.filter((v) => v.outcome === 'pass').length} met; spoilt, ${missed.length} are missed and ${expected.good.length - missed.length - never.length} are only undecided\n`);
    for (const v of expected.good.filter((v) => !missed.includes(v))) process.stdout.write(`  ${never.includes(v) ? 'never' : 'undecided'}: ${v.cell} ${v.target}\n`);
  }
}
