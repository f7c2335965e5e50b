import { createHash } from 'node:crypto';

/** Names of labs, nodes, cells: safe as part of a path, of a namespace's name and of an `ip -batch` line. */
export const NAME_PATTERN = '^[a-zA-Z][a-zA-Z0-9_-]{0,31}$';
const NAME = new RegExp(NAME_PATTERN);
export const isName = (text: string): boolean => NAME.test(text);

/** Names content by what is in it: 64 bits of SHA-256. */
export function shortHash(...parts: readonly (string | Buffer)[]): string {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part);
  return sum.digest('hex').slice(0, 16);
}
