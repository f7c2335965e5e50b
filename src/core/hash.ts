import { createHash } from 'node:crypto';

/** Names content by what is in it: 64 bits of SHA-256. */
export function shortHash(...parts: readonly (string | Buffer)[]): string {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part);
  return sum.digest('hex').slice(0, 16);
}
