/** The verdict table on the terminal. */
import { styleText } from 'node:util';
import { visible } from '../core/config/characters.ts';
import { describeDropped, NOTHING_JUDGED } from '../checks/wording.ts';
import type { Verdict } from '../checks/verdict.ts';
import type { JudgedRun } from '../report/index.ts';
import { renderTable } from './table.ts';
import { outcomeMark } from './view.ts';

/** " (control, invariant)" */
function tags({ control, kind }: Verdict): string {
  const words = [control ? 'control' : '', kind === 'invariant' ? kind : ''].filter(Boolean);
  return words.length === 0 ? '' : ` (${words.join(', ')})`;
}

export function printVerdicts(judged: JudgedRun, reportPath: string): void {
  const { verdicts } = judged;
  if (verdicts.length > 0) {
    const rows = verdicts.map((v) => [
      outcomeMark(v.outcome),
      v.cell || '–',
      v.target + styleText('dim', tags(v)),
      v.measured,
      v.wanted,
      v.reason ?? '',
    ]);
    process.stdout.write(`\n${renderTable(['', 'cell', 'target', 'measured [95 %]', 'wanted', ''], rows)}\n`);
  }
  if (verdicts.length === 0) process.stdout.write(`\n${NOTHING_JUDGED}\n`);
  for (const line of describeDropped(verdicts)) process.stdout.write(`${styleText('yellow', 'left out')}: ${visible(line)}\n`);
  const count = (outcome: string) => verdicts.filter((v) => v.outcome === outcome).length;
  process.stdout.write(`\n${count('pass')} met, ${count('fail')} missed, ${count('inconclusive')} inconclusive\nreport: ${reportPath}\n`);
}
