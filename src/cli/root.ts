import { NetrigError } from '../core/errors.ts';

export function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new NetrigError('CAPABILITY_MISSING', 'network namespaces need root', { hint: 'sudo netrig …' });
  }
}
