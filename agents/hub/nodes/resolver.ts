/** How a host finds addresses by itself: with glibc's resolver (getent) or with c-ares, from the servers that it was given. */
import { Resolver } from 'node:dns/promises';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CommandError, run } from '../../lib/run.ts';
import type { DigAnswer } from './dig.ts';

const TRY_MS = 1000;
/** Of getent: no such key. */
const NOT_FOUND = 2;

/** What c-ares calls them, and DNS does. */
const STATUS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'NXDOMAIN',
  ENODATA: 'NOERROR',
  ESERVFAIL: 'SERVFAIL',
  EREFUSED: 'REFUSED',
  ETIMEOUT: 'none',
  ECONNREFUSED: 'none',
};

export class HostResolver {
  readonly #file: string;
  #servers: readonly string[] = [];

  constructor(workDir: string) {
    this.#file = join(workDir, 'resolv.conf');
  }

  get servers(): readonly string[] {
    return this.#servers;
  }

  /** The first one first; others are asked where one before them gives no answer (of getent also: where it refuses). */
  use(servers: readonly string[]): void {
    this.#servers = servers;
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(this.#file, [...servers.map((s) => `nameserver ${s}`), 'options timeout:1 attempts:1', ''].join('\n'));
  }

  /** The file is seen as /etc/resolv.conf by this command alone: hosts of a lab share the machine's. */
  async getent(name: string): Promise<DigAnswer> {
    const script = 'mount --bind "$1" /etc/resolv.conf && exec getent ahostsv4 "$2"';
    const text = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', this.#file, name]).catch((error: unknown) => {
      if (error instanceof CommandError && error.code === NOT_FOUND) return '';
      throw error;
    });
    return readGetent(text);
  }

  async cares(name: string): Promise<DigAnswer> {
    const resolver = new Resolver({ timeout: TRY_MS, tries: 1 });
    resolver.setServers(this.#servers);
    try {
      const found = await resolver.resolve4(name, { ttl: true });
      return answerOf(
        found.map((r) => r.address),
        Math.min(...found.map((r) => r.ttl)),
      );
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      return { status: STATUS[code] ?? code, records: [], ttlSeconds: null };
    }
  }
}

const answerOf = (addresses: readonly string[], ttlSeconds: number | null): DigAnswer => ({
  status: 'NOERROR',
  records: addresses.map((data) => ({ type: 'A', data })),
  ttlSeconds,
});

/** "12.7.1.1  STREAM www.c.example", and the same for other kinds of sockets. getent does not say why it found nothing. Pure. */
export function readGetent(text: string): DigAnswer {
  const addresses = [...new Set([...text.matchAll(/^(\S+)\s+STREAM/gm)].map(([, address = '']) => address))];
  return addresses.length > 0 ? answerOf(addresses, null) : { status: 'none', records: [], ttlSeconds: null };
}
