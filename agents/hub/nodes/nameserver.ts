/** BIND on a host: the name server of its network. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../src/core/until.ts';
import { startDaemon, type Daemon } from '../../lib/daemon.ts';
import { run } from '../../lib/run.ts';
import { dig } from './dig.ts';

const START_MS = 20_000;

export interface NameServerOptions {
  readonly address: string;
  /** "b.example". */
  readonly zone: string;
  /** Lines of its zone file, without those of the zone itself. */
  readonly records: readonly string[];
}

const zoneFile = ({ address, zone, records }: NameServerOptions): string =>
  [`$ORIGIN ${zone}.`, '$TTL 3600', `@ SOA ns hostmaster 1 3600 900 86400 60`, '@ NS ns', `ns A ${address}`, ...records, ''].join('\n');

const configuration = (dir: string, { address, zone }: NameServerOptions): string => `options {
  directory "${dir}";
  pid-file none;
  listen-on { ${address}; };
  listen-on-v6 { none; };
  allow-query { any; };
  recursion no;
  dnssec-validation no;
  notify no;
};
controls { };
zone "${zone}" { type primary; file "${dir}/zone"; };
`;

/** An Error has what named-checkzone says of its records. */
export async function startNameServer(workDir: string, options: NameServerOptions): Promise<Daemon> {
  const dir = join(workDir, 'named');
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'zone'), zoneFile(options));
  writeFileSync(join(dir, 'named.conf'), configuration(dir, options));
  await run('named-checkzone', [options.zone, join(dir, 'zone')]);
  const daemon = await startDaemon(workDir, 'named', ['-f', '-n', '1', '-c', join(dir, 'named.conf')]);
  const question = { name: options.zone, type: 'SOA', server: options.address, dnssec: false };
  const answers = async (): Promise<boolean> => (await dig(question)).status === 'NOERROR';
  if (!(await until(answers, { withinMs: START_MS }))) throw new Error(`named does not answer for ${options.zone}`);
  return daemon;
}
