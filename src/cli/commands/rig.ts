import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { interruptibleContext } from '../interrupt.ts';
import { requireRoot } from '../root.ts';
import { renderTable } from '../table.ts';
import { attachView, outcomeMark, viewKind } from '../view.ts';

export function addRig(program: Command): void {
  const rig = program.command('rig').description('machines: boot, check, share');

  rig
    .command('up')
    .description('start what netrig starts itself: virtual machines, an engine of containers')
    .argument('<rig>', 'rig file')
    .option('--json', 'events as JSON lines')
    .action(async (file: string, options: { json?: true }) => {
      requireRoot();
      const ctx = interruptibleContext();
      attachView(ctx.events, viewKind(options.json ?? false));
      const [{ loadRig }, { rigUp }] = await Promise.all([import('../../rig/rigfile.ts'), import('../../rig/up.ts')]);
      await rigUp(ctx, await loadRig(file));
    });

  rig
    .command('down')
    .description('remove what `rig up` started')
    .argument('<rig>', 'rig file')
    .action(async (file: string) => {
      requireRoot();
      const [{ loadRig }, { rigDown }] = await Promise.all([import('../../rig/rigfile.ts'), import('../../rig/up.ts')]);
      const found = await loadRig(file);
      process.stdout.write((await rigDown(found)) ? `${found.name} is down\n` : `${found.name} was not up\n`);
    });

  rig
    .command('check')
    .description('reach every machine: what it can do, what is missing and how to install it')
    .argument('<rig>', 'rig file')
    .option('--json', 'as JSON')
    .action(async (file: string, options: { json?: true }) => {
      const [{ loadRig }, { checkRig }] = await Promise.all([import('../../rig/rigfile.ts'), import('../../run/rigcheck.ts')]);
      const hosts = await checkRig(await loadRig(file));
      if (options.json) process.stdout.write(`${JSON.stringify(hosts, null, 2)}\n`);
      else {
        for (const { host, findings } of hosts) {
          process.stdout.write(
            `${host}\n${renderTable(
              ['', 'what', 'found', 'remedy or consequence'],
              findings.map((f) => [
                outcomeMark(f.state === 'ok' ? 'pass' : f.state === 'missing' ? 'fail' : 'inconclusive'),
                f.what,
                f.found,
                f.remedy,
              ]),
            )}\n\n`,
          );
        }
      }
      if (hosts.some((h) => h.findings.some((f) => f.state === 'missing'))) process.exitCode = EXIT.broken;
    });

  rig
    .command('status')
    .description('who holds the lease, which labs are there')
    .argument('<rig>', 'rig file')
    .option('--json', 'as JSON')
    .action(async (file: string, options: { json?: true }) => {
      const [{ loadRig }, { rigStatus }] = await Promise.all([import('../../rig/rigfile.ts'), import('../../run/rigcheck.ts')]);
      const hosts = await rigStatus(await loadRig(file));
      if (options.json) process.stdout.write(`${JSON.stringify(hosts, null, 2)}\n`);
      else
        process.stdout.write(
          `${renderTable(
            ['machine', 'state', 'lease', 'labs'],
            hosts.map((h) => [h.host, h.state, h.lease ?? 'free', h.labs.join(', ') || '–']),
          )}\n`,
        );
      if (hosts.some((h) => h.state !== 'up')) process.exitCode = EXIT.broken;
    });

  rig
    .command('release')
    .description('take the lease away from whoever holds it, and remove the labs that are there')
    .argument('<rig>', 'rig file')
    .action(async (file: string) => {
      const [{ loadRig }, { releaseRig }] = await Promise.all([import('../../rig/rigfile.ts'), import('../../run/rigcheck.ts')]);
      for (const line of await releaseRig(await loadRig(file))) process.stdout.write(`${line}\n`);
    });
}
