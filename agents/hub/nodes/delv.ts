/** What delv (bind9-dnsutils) says, which validates answers (RFC 4035) by the key that a zone's own server has. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandError, run } from '../../lib/run.ts';
import { dig, recordsOf, type DigAnswer, type Question } from './dig.ts';

/** Of the keys of a zone: the one that signs the others. */
const SIGNS_KEYS = '257';

export async function delv({ name, type, server }: Pick<Question, 'name' | 'type' | 'server'>, zone: string): Promise<DigAnswer> {
  const keys = await dig({ name: zone, type: 'DNSKEY', server, dnssec: false });
  const anchors = keys.records
    .map((r) => r.data.split(/\s+/))
    .filter(([flags]) => flags === SIGNS_KEYS)
    .map(([flags, protocol, algorithm, ...key]) => `"${zone}." static-key ${flags} ${protocol} ${algorithm} "${key.join('')}";`);
  if (anchors.length === 0) return { status: keys.status === 'NOERROR' ? 'unsigned' : keys.status, records: [], ttlSeconds: null };
  const dir = mkdtempSync(join(tmpdir(), 'delv-'));
  const file = join(dir, 'anchors');
  try {
    writeFileSync(file, `trust-anchors { ${anchors.join(' ')} };\n`);
    return readDelv(await said(['-a', file, `+root=${zone}`, `@${server}`, '-q', name, '-t', type]));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What it cannot validate, it says on the other output. */
const said = (args: readonly string[]): Promise<string> =>
  run('delv', args).catch((error: unknown) => {
    if (error instanceof CommandError && typeof error.code === 'number') return error.message;
    throw error;
  });

/** As a resolver that validates would answer; `unsigned`: nothing says that it had to be signed. Pure. */
export function readDelv(text: string): DigAnswer {
  const { records, ttlSeconds } = recordsOf(text);
  if (/^; fully validated$/m.test(text)) return { status: 'NOERROR', records, ttlSeconds };
  if (/^; negative response, fully validated$/m.test(text))
    return { status: /;-\$NXDOMAIN/.test(text) ? 'NXDOMAIN' : 'NOERROR', records: [], ttlSeconds: null };
  return { status: /^; unsigned answer$/m.test(text) ? 'unsigned' : 'SERVFAIL', records: [], ttlSeconds: null };
}
