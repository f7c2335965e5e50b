/** BIND on a host: the name server of its network. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../src/core/until.ts';
import { startDaemon, type Daemon } from '../../lib/daemon.ts';
import { run } from '../../lib/run.ts';
import type { NamesServed } from '../config.ts';
import { dig } from './dig.ts';

const START_MS = 20_000;

interface NameServerOptions extends NamesServed {
  readonly address: string;
}

/** Its own name is in the first zone. */
const zoneFiles = ({ address, zones }: NameServerOptions): string[] =>
  zones.map(({ records }, i) => {
    const main = zones[0]?.zone ?? '';
    const head = [`@ SOA ns.${main}. hostmaster.${main}. 1 3600 900 86400 60`, `@ NS ns.${main}.`];
    return ['$TTL 3600', ...head, ...(i === 0 ? [`ns A ${address}`] : []), ...records, ''].join('\n');
  });

const configuration = (dir: string, { address, zones, isSigned }: NameServerOptions): string => `options {
  directory "${dir}";
  pid-file none;
  listen-on { ${address}; };
  listen-on-v6 { none; };
  allow-query { any; };
  recursion no;
  empty-zones-enable no;
  dnssec-validation no;
  notify no;
};
controls { };
${zones.map(({ zone }, i) => `zone "${zone}" { type primary; file "${dir}/zone-${i}"; ${isSigned ? 'dnssec-policy default; inline-signing yes; ' : ''}};\n`).join('')}`;

/** An Error has what named-checkzone says of its records. */
export async function startNameServer(workDir: string, options: NameServerOptions): Promise<Daemon> {
  const dir = join(workDir, 'named');
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  for (const [i, text] of zoneFiles(options).entries()) {
    const file = join(dir, `zone-${i}`);
    writeFileSync(file, text);
    await run('named-checkzone', [options.zones[i]!.zone, file]);
  }
  writeFileSync(join(dir, 'named.conf'), configuration(dir, options));
  const daemon = await startDaemon(workDir, 'named', ['-f', '-n', '1', '-c', join(dir, 'named.conf')]);
  for (const { zone } of options.zones) {
    const question = { name: zone, type: 'SOA', server: options.address, dnssec: options.isSigned };
    const answers = async (): Promise<boolean> => {
      const { status, records } = await dig(question);
      return status === 'NOERROR' && (!options.isSigned || records.some((r) => r.type === 'RRSIG'));
    };
    if (!(await until(answers, { withinMs: START_MS }))) throw new Error(`named does not answer for ${zone}`);
  }
  return daemon;
}
