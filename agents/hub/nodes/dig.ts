/** What dig (bind9-dnsutils) is told by a name server. */
import { run } from '../../lib/run.ts';

export interface Question {
  readonly name: string;
  readonly type: string;
  readonly server: string;
  readonly dnssec: boolean;
  readonly tcp?: boolean;
}

export interface DigAnswer {
  /** "NOERROR"; "none": nobody answered. */
  readonly status: string;
  /** Of the answer section: its type, and its data as dig writes them. */
  readonly records: readonly { readonly type: string; readonly data: string }[];
  readonly ttlSeconds: number | null;
}

/** Once: a question that is not answered within a second has no answer. */
export async function dig({ name, type, server, dnssec, tcp = false }: Question): Promise<DigAnswer> {
  const args = [
    `@${server}`,
    '+noall',
    '+comments',
    '+answer',
    '+time=1',
    '+tries=1',
    ...(dnssec ? ['+dnssec'] : []),
    ...(tcp ? ['+tcp'] : []),
    '-q',
    name,
    '-t',
    type,
  ];
  return readDig(await run('dig', args).catch(() => ''));
}

/** Pure. */
export function readDig(text: string): DigAnswer {
  const status = /;; ->>HEADER<<-.* status: ([A-Z]+),/.exec(text)?.[1] ?? 'none';
  return { status, ...recordsOf(text) };
}

/** Lines of records. Pure. */
export function recordsOf(text: string): Pick<DigAnswer, 'records' | 'ttlSeconds'> {
  const rows = [...text.matchAll(/^[^;\s]\S*\s+([0-9]+)\s+IN\s+([A-Z0-9]+)\s+(.+)$/gm)];
  const records = rows.map(([, , type = '', data = '']) => ({ type, data }));
  return { records, ttlSeconds: rows.length === 0 ? null : Math.min(...rows.map(([, ttl]) => Number(ttl))) };
}
