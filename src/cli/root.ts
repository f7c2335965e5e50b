import { NetrigError } from '../core/errors.ts';
import type { RigPlan } from '../rig/rigfile.ts';

/** Namespaces need root; machines that are reached over SSH have a root of their own. */
export function requireRoot(rig: RigPlan | null = null): void {
  if (rig?.hosts.every((host) => host.access.kind !== 'local')) return;
  if (process.getuid?.() !== 0) throw new NetrigError('CAPABILITY_MISSING', 'network namespaces need root', { hint: 'sudo netrig …' });
}
