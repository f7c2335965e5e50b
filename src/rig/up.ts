/** Makes the parts of a rig that netrig makes itself (virtual machines, an engine of containers), and removes them. */
import { stage, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { RigPlan } from './rigfile.ts';
import { ensureImage } from './images/docker/image.ts';
import { startOwnEngine, stopOwnEngine } from './images/docker/own.ts';
import { connectHost } from './machines/ssh/connect.ts';
import { readRigState } from './images/vm/state.ts';
import { bootVms, removeVms } from './images/vm/up.ts';

export async function rigUp(ctx: Context, rig: RigPlan): Promise<void> {
  if (rig.hosts.every((h) => h.access.kind !== 'vm' && h.carries !== 'containers')) {
    ctx.events.emit({ type: 'note', level: 'info', text: `${rig.name} has nothing that netrig starts: its machines are expected to run` });
    return;
  }
  if (usesOwnEngine(rig)) await stage(ctx, 'engine', () => startOwnEngine(ctx), { detail: "a Docker Engine of netrig's own" });
  await buildImages(ctx, rig);
  try {
    await bootVms(ctx, rig);
  } catch (error) {
    if (!(error instanceof NetrigError && error.code === 'LAB_EXISTS')) await rigDown(rig).catch(() => undefined);
    throw error;
  }
}

const usesOwnEngine = (rig: RigPlan): boolean => rig.hosts.some((h) => h.engine === 'own');

/** On every engine of the rig that has not got it. */
export async function buildImages(ctx: Context, rig: RigPlan): Promise<void> {
  for (const host of rig.hosts.filter((h) => h.carries === 'containers' && h.image === null)) {
    const machine = await connectHost(rig, host);
    try {
      await ensureImage(ctx, machine);
    } finally {
      await machine.dispose();
    }
  }
}

/** By what `rigUp` left; nothing there is no error. */
export async function rigDown(rig: RigPlan): Promise<boolean> {
  const state = readRigState(rig.name);
  if (state) await removeVms(state);
  const stopped = usesOwnEngine(rig) && (await stopOwnEngine());
  return state !== undefined || stopped;
}
