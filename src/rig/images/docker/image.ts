/** The image of containers, from Debian packages: no registry is asked. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stage, type Context } from '../../../core/context.ts';
import { buildRoot, CACHE_DIR, NODE_PACKAGES, SUITE } from '../debian.ts';
import type { Machine } from '../../machines/machine.ts';

const RECIPE = createHash('sha256')
  .update(JSON.stringify([SUITE, NODE_PACKAGES]))
  .digest('hex')
  .slice(0, 12);
/** Named after its contents: another netrig's stays beside it. */
export const NODE_IMAGE = `netrig/node:${RECIPE}`;
const TAR = join(CACHE_DIR, 'container', `${RECIPE}.tar`);
const UPLOADED = '/var/lib/netrig/image.tar';

/** On the machine's engine afterwards. */
export async function ensureImage(ctx: Context, machine: Machine): Promise<void> {
  if (await machine.hasImage(NODE_IMAGE)) return;
  await stage(
    ctx,
    'image',
    async () => {
      if (!existsSync(TAR)) await buildRoot(TAR, NODE_PACKAGES);
      if (machine.isHere) return machine.importImage(NODE_IMAGE, TAR);
      await machine.put(UPLOADED, await readFile(TAR));
      await machine.importImage(NODE_IMAGE, UPLOADED);
      await machine.exec(['rm', '-f', UPLOADED]);
    },
    { detail: `${NODE_IMAGE} for ${machine.label}`, expectedSeconds: 40 },
  );
}
