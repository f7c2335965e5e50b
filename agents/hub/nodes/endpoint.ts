/** The hub's DNS endpoint (R1 section 3, mode B): Unbound, which asks the name server that a name belongs to, and has managed records. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';
import { startDaemon, type Daemon } from '../../lib/daemon.ts';
import { contains, formatAddress, formatPrefix, mapped, parseAddress } from '../../lib/prefix.ts';
import type { Zone } from '../config.ts';
import { standIn, type Views } from '../decision/view.ts';
import type { ManagedRecord, Metadata } from '../model.ts';
import { TTL_SECONDS } from '../names/message.ts';
import { prefixOfName, zoneOfPrefix } from '../names/reverse.ts';
import { dig } from './dig.ts';

/** Less than the control plane waits for a node to follow. */
const START_MS = 10_000;

interface Endpoint {
  readonly address: string;
  readonly zones: readonly Zone[];
}

/**
 * unbound.conf of what the endpoint's own network sees; other names are refused, so that a host that has another server asks
 * that. Askers see addresses otherwise: DMNs translate its answers like those of any name server. Pure.
 */
export function configurationOf(
  { address, zones }: Endpoint,
  own: string,
  views: Views,
  records: readonly ManagedRecord[],
  dir: string,
): string {
  const seen = (network: string, text: string): string => {
    const real = parseAddress(text);
    return real ? formatAddress(standIn(views, network, own, real) ?? real) : text;
  };
  const reached = zones.flatMap((z) => {
    const zone = views.byName.has(z.network) ? zoneAt(views, own, z) : undefined;
    return zone === undefined ? [] : [{ ...z, zone }];
  });
  const held = records.filter(({ network }) => views.byName.has(network));
  const server = [
    `interface: ${address}`,
    `outgoing-interface: ${address}`,
    'access-control: 0.0.0.0/0 allow',
    'do-ip6: no',
    `directory: "${dir}"`,
    'pidfile: ""',
    'chroot: ""',
    'username: ""',
    'use-syslog: no',
    'do-daemonize: no',
    'module-config: "iterator"',
    'qname-minimisation: no',
    `cache-max-ttl: ${TTL_SECONDS}`,
    `cache-max-negative-ttl: ${TTL_SECONDS}`,
    'local-zone: "." refuse',
    ...reached.map(({ zone }) => `local-zone: "${zone}." transparent`),
    ...[...new Set(held.map((r) => r.name))].map((name) => `local-zone: "${name}." static`),
    ...held.map(({ network, name, type, value }) => `local-data: "${name}. ${TTL_SECONDS} ${type} ${seen(network, value)}"`),
  ];
  const forwarded = reached.map(
    ({ zone, network, server: at }) => `forward-zone:\n  name: "${zone}."\n  forward-addr: ${seen(network, at)}\n`,
  );
  return `server:\n${server.map((line) => `  ${line}\n`).join('')}remote-control:\n  control-enable: no\n${forwarded.join('')}`;
}

/** What a zone is called there: one of addresses, by the addresses that are seen. undefined: they are seen in parts. */
function zoneAt(views: Views, own: string, { zone, network }: Zone): string | undefined {
  const of = prefixOfName(zone);
  if (!of) return zone;
  const translations = views.translations(network, own).filter(({ real }) => contains(real, of) || contains(of, real));
  const [translation] = translations;
  if (!translation) return zone;
  const { real, as } = translation;
  return real.length <= of.length ? zoneOfPrefix({ ...mapped(of, real, as), length: of.length }) : undefined;
}

export class DnsEndpoint {
  readonly #workDir: string;
  readonly #dir: string;
  readonly #turns = new SerialQueue();
  readonly #endpoint: Endpoint;
  readonly #network: string;
  #daemon: Daemon | null = null;
  #seen = '';

  constructor(workDir: string, endpoint: Endpoint, network: string) {
    this.#workDir = workDir;
    this.#dir = join(workDir, 'unbound');
    this.#endpoint = endpoint;
    this.#network = network;
    rmSync(this.#dir, { recursive: true, force: true });
    mkdirSync(this.#dir, { recursive: true });
  }

  /** With a new process wherever it sees other addresses than before: nothing that it remembers, or waits for, is of the old ones. */
  follow(views: Views, metadata: Metadata): Promise<void> {
    return this.#turns.run(() => this.#follow(views, metadata));
  }

  async #follow(views: Views, { records }: Metadata): Promise<void> {
    const view = views.byName.get(this.#network);
    const text = configurationOf(this.#endpoint, this.#network, views, records, this.#dir);
    const ways = [...(view?.ways ?? [])].map(({ prefix, value: { to, translation } }) => [
      formatPrefix(prefix),
      to?.name ?? null,
      translation && formatPrefix(translation.real),
    ]);
    const seen = JSON.stringify([text, ways]);
    if (seen === this.#seen) return;
    await this.#daemon?.stop();
    [this.#daemon, this.#seen] = [null, ''];
    const file = join(this.#dir, 'unbound.conf');
    writeFileSync(file, text);
    this.#daemon = await startDaemon(this.#workDir, 'unbound', ['-d', '-c', file]);
    const question = { name: '.', type: 'SOA', server: this.#endpoint.address, dnssec: false };
    const answers = async (): Promise<boolean> => (await dig(question)).status !== 'none';
    if (!(await until(answers, { withinMs: START_MS }))) throw new Error('unbound does not answer');
    this.#seen = seen;
  }

  stop(): Promise<void> {
    return this.#turns.run(async () => this.#daemon?.stop());
  }
}
