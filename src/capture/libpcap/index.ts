/** BPF filters and captures by libpcap; the work is done by a process of its own (child.ts). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { Type } from 'typebox';
import { NetrigError } from '../../core/errors.ts';
import { parseJson } from '../../core/json.ts';
import { BUILD_DIR } from '../../core/paths.ts';

const ADDON = join(BUILD_DIR, '../node_modules/pcap/build/Release/pcap_binding.node');

/** node-pcap was compiled by set-up. */
export const hasLibpcap = (): boolean => existsSync(ADDON);

/** Command words of the process; CAPABILITY_MISSING without the addon. */
export function libpcapCommand(...args: readonly string[]): [string, ...string[]] {
  if (!hasLibpcap()) throw new NetrigError('CAPABILITY_MISSING', 'node-pcap is not built', { hint: 'lab/setup.sh' });
  return [process.execPath, fileURLToPath(new URL('./child.ts', import.meta.url)), ...args];
}

const problems = Type.Array(Type.Union([Type.String(), Type.Null()]));

/** What is wrong with each filter, as libpcap says it; null: nothing, or node-pcap is not built. */
export async function checkFilters(filters: readonly string[]): Promise<readonly (string | null)[]> {
  if (!hasLibpcap()) return filters.map(() => null);
  const [program, ...args] = libpcapCommand('check');
  const { stdout } = await execa(program, args, { input: JSON.stringify(filters) });
  return parseJson(problems, stdout);
}

/** The packets of a capture that a filter lets through, as a capture with microseconds. USAGE: a wrong filter; CAPTURE_MALFORMED. */
export async function filterCapture(file: string, filter: string, into: string): Promise<void> {
  const [wrong] = await checkFilters([filter]);
  if (wrong) throw new NetrigError('USAGE', `--filter "${filter}": ${wrong}`, { hint: 'as tcpdump writes it: pcap-filter(7)' });
  const [program, ...args] = libpcapCommand('copy', file, filter, into);
  const { exitCode, stderr } = await execa(program, args, { reject: false });
  if (exitCode !== 0)
    throw new NetrigError('CAPTURE_MALFORMED', `${file} is not a readable capture: ${/Error: (.*)/.exec(stderr)?.[1] ?? stderr.trim()}`);
}
