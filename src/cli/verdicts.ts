/** The verdict table on the terminal. */
import { styleText } from 'node:util';
import type { JudgedRun } from '../report/index.ts';
import { renderTable } from './table.ts';
import { outcomeMark } from './view.ts';

export function printVerdicts(judged: JudgedRun, reportPath: string): void {
  const { verdicts } = judged;
  if (verdicts.length > 0) {
    const rows = verdicts.map((v) => [outcomeMark(v.outcome), v.cell || '–', v.target + (v.control ? styleText('dim', ' (control)') : ''), v.measured, v.wanted, v.reason ?? '']);
    process.stdout.write(`\n${renderTable(['', 'cell', 'target', 'measured [95 %]', 'wanted', ''], rows)}\n`);
  }
  const count = (outcome: string) => verdicts.filter((v) => v.outcome === outcome).length;
  process.stdout.write(`\n${count('pass')} met, ${count('fail')} missed, ${count('inconclusive')} inconclusive\nreport: ${reportPath}\n`);
}
