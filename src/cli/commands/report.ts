import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { printVerdicts } from '../verdicts.ts';

export function addReport(program: Command): void {
  program
    .command('report')
    .description('verdicts and report again, from the evidence of a run alone')
    .argument('<results>', 'results folder that netrig run wrote')
    .option('--junit <file>', 'also write JUnit XML here')
    .option('--json', 'verdicts as JSON')
    .action(async (results: string, options: { junit?: string; json?: true }) => {
      const { evaluateRun, writeReports, renderJUnit } = await import('../../report/index.ts');
      const judged = await evaluateRun(results);
      const report = await writeReports(results, judged);
      if (options.junit) await writeFile(options.junit, renderJUnit(judged));
      if (options.json) process.stdout.write(`${JSON.stringify({ outcome: judged.outcome, verdicts: judged.verdicts }, null, 2)}\n`);
      else printVerdicts(judged, report);
      process.exitCode = { pass: EXIT.met, fail: EXIT.missed, inconclusive: EXIT.inconclusive }[judged.outcome];
    });
}
