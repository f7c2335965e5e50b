/**
 * What recordings say, good and spoilt. Run as a program (npm run golden [NAME …]), it spoils each in every way, and keeps
 * of each cell as few ways as show every target missed, or left undecided where no way makes it miss.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingNames, unpack } from './archive.ts';
import { judgeCell, judged, open, type Judged, type Recording } from './judge.ts';
import { spoilsOf, type Spoil } from './spoils/index.ts';

/** By target: the outcome where it differs from the good one; "inconclusive: REASON". */
type Changes = Readonly<Record<string, string>>;

export interface Expected {
  readonly good: readonly Judged[];
  /** By cell and way to spoil. */
  readonly spoilt: Readonly<Record<string, Readonly<Record<string, Changes>>>>;
}

export const expectedPath = (name: string): string => join(import.meta.dirname, `expected/${name}.json`);

const isDecided = (outcome: string): boolean => outcome === 'fail';
/** A repeat that is left out as a whole says nothing of the check. */
const isExplained = (outcome: string): boolean =>
  outcome.startsWith('inconclusive: ') && !outcome.includes('the run ended before this repeat was complete');

/** Targets that no recording shows missed. */
export const neverMissed = ({ good, spoilt }: Expected): Judged[] =>
  good.filter(
    ({ cell, target, outcome }) =>
      outcome !== 'fail' && !Object.values(spoilt[cell] ?? {}).some((changes) => isDecided(changes[target] ?? '')),
  );

/** `waysOf`: which ways to spoil a cell are tried (default: all). */
export async function judgeAll(
  name: string,
  folder: string,
  waysOf: (cell: string) => ReadonlySet<string> | undefined = () => undefined,
): Promise<Expected> {
  const recording = await open(name, folder);
  const good = new Map([...recording.cells.keys()].map((cell) => [cell, judgeCell(recording, cell).map(judged)]));
  const spoilt: Record<string, Record<string, Changes>> = {};
  for (const [cell, evidence] of recording.cells) {
    const ways = waysOf(cell);
    for (const spoil of spoilsOf(evidence).filter((s) => ways?.has(s.name) ?? true)) {
      const changes = changesBy(recording, cell, good.get(cell) ?? [], spoil);
      if (Object.keys(changes).length > 0) (spoilt[cell] ??= {})[spoil.name] = changes;
    }
  }
  return { good: [...good.values()].flat(), spoilt };
}

function changesBy(recording: Recording, cell: string, good: readonly Judged[], { spoil }: Spoil): Changes {
  const evidence = recording.cells.get(cell);
  if (!evidence) return {};
  const copy = mkdtempSync(join(tmpdir(), 'netrig-spoilt-'));
  try {
    cpSync(evidence.folder, copy, { recursive: true });
    const bad = judgeCell(recording, cell, spoil({ ...evidence, folder: copy }, copy)).map(judged);
    return Object.fromEntries(
      bad
        .filter((v, i) => v.outcome !== good[i]?.outcome)
        .map((v) => [v.target, v.outcome === 'inconclusive' ? `inconclusive: ${v.reason}` : v.outcome]),
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** As few ways as show the same: again and again the one that shows most of what is left. */
export function cover(all: Expected): Expected {
  const spoilt = Object.fromEntries(
    Object.entries(all.spoilt).map(([cell, ways]) => {
      const chosen = new Map<string, Changes>();
      for (const isShown of [isDecided, isExplained]) {
        const left = new Set(
          Object.values(ways).flatMap((changes) => Object.keys(changes).filter((target) => isShown(changes[target] ?? ''))),
        );
        for (const changes of chosen.values())
          for (const [target, outcome] of Object.entries(changes)) if (isDecided(outcome) || isShown(outcome)) left.delete(target);
        while (left.size > 0) {
          const shows = (changes: Changes): number =>
            Object.entries(changes).filter(([target, outcome]) => left.has(target) && isShown(outcome)).length;
          const [name, best] = Object.entries(ways).reduce((a, b) => (shows(b[1]) > shows(a[1]) ? b : a));
          if (shows(best) === 0) break;
          chosen.set(name, best);
          for (const [target, outcome] of Object.entries(best)) if (isShown(outcome)) left.delete(target);
        }
      }
      return [cell, Object.fromEntries(chosen)];
    }),
  );
  return { good: all.good, spoilt };
}

if (import.meta.main) {
  mkdirSync(join(import.meta.dirname, 'expected'), { recursive: true });
  const names = process.argv.slice(2);
  for (const name of recordingNames().filter((n) => names.length === 0 || names.includes(n))) {
    const folder = mkdtempSync(join(tmpdir(), 'netrig-golden-'));
    unpack(name, folder);
    const expected = cover(await judgeAll(name, folder));
    writeFileSync(expectedPath(name), `${JSON.stringify(expected, null, 1)}\n`);
    rmSync(folder, { recursive: true });
    const open = neverMissed(expected);
    process.stdout.write(
      `${name}: ${expected.good.length} targets, ${expected.good.filter((v) => v.outcome === 'pass').length} met; spoilt, ${expected.good.length - open.length} are missed\n`,
    );
    for (const v of open) process.stdout.write(`  never missed: ${v.cell} ${v.target}\n`);
  }
}
