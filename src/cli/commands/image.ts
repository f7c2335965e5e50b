import type { Command } from 'commander';
import { interruptibleContext } from '../interrupt.ts';
import { requireRoot } from '../root.ts';
import { attachView, viewKind } from '../view.ts';

export function addImage(program: Command): void {
  const image = program.command('image').description('the image of containers');

  image
    .command('build')
    .description('make it from Debian packages, and give it to the engines of a rig; no registry is asked')
    .argument('<rig>', 'rig file with hosts that carry containers')
    .option('--json', 'events as JSON lines')
    .action(async (file: string, options: { json?: true }) => {
      requireRoot();
      const ctx = interruptibleContext();
      attachView(ctx.events, viewKind(options.json ?? false));
      const [{ loadRig }, { buildImages }, { NODE_IMAGE }] = await Promise.all([
        import('../../rig/rigfile.ts'),
        import('../../rig/up.ts'),
        import('../../rig/images/docker/image.ts'),
      ]);
      await buildImages(ctx, await loadRig(file));
      process.stdout.write(`${NODE_IMAGE} is on every engine of the rig\n`);
    });
}
