import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { renderTable } from '../table.ts';
import { outcomeMark } from '../view.ts';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('what this machine can do, and what to install')
    .option('--json', 'as JSON')
    .action(async (options: { json?: true }) => {
      const [{ examine }, { localMachine }] = await Promise.all([import('../../run/doctor.ts'), import('../../rig/machines/connect.ts')]);
      const findings = await examine(localMachine(undefined, undefined, { looksOnly: true }));
      if (options.json) process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`);
      else
        process.stdout.write(
          `${renderTable(
            ['', 'what', 'found', 'remedy or consequence'],
            findings.map((f) => [
              outcomeMark(f.state === 'ok' ? 'pass' : f.state === 'missing' ? 'fail' : 'inconclusive'),
              f.what,
              f.found,
              f.remedy,
            ]),
          )}\n`,
        );
      if (findings.some((f) => f.state === 'missing')) process.exitCode = EXIT.broken;
    });
}
