/** nginx: what compute servers and origin servers run. */
import { existsSync, mkdirSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import type { Described } from '../../../src/core/readonly.ts';
import { parsed } from '../../../src/core/lightjson.ts';
import { startDaemon, type Daemon } from '../../lib/daemon.ts';

/** One request, as nginx logs it. */
const access = Type.Object({
  /** Seconds since the epoch, when it was answered. */
  t: Type.Number(),
  client: Type.String(),
  port: Type.Number(),
  server: Type.String(),
  status: Type.Number(),
  path: Type.String(),
  seconds: Type.Number(),
  /** Of its connection. */
  request: Type.Number(),
});
export type Access = Described<typeof access>;

const READ_MS = 100;
const FORMAT =
  '{"t":$msec,"client":"$remote_addr","port":$remote_port,"server":"$server_addr","status":$status,"path":"$uri","seconds":$request_time,"request":$connection_requests}';
/** Text that compression has work with, always the same. */
const WORDS = ['anycast', 'tunnel', 'origin', 'prefix', 'slot', 'donor', 'receiver', 'policy', 'packet', 'server'];

function text(bytes: number): string {
  let state = 1;
  let out = '';
  while (out.length < bytes) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    out += `${WORDS[state % WORDS.length] ?? ''}${(state >>> 8) % 1000} `;
  }
  return out.slice(0, bytes);
}

export interface NginxOptions {
  readonly listen: readonly string[];
  /** What its answers say who made them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where content comes from; null: its own files. */
  readonly origin: string | null;
  /** Of /work, bytes. */
  readonly workBytes: number;
  readonly onAccess: (access: Access) => void;
}

function config(workDir: string, { listen, headers, origin }: NginxOptions): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${workDir}/temp-${kind};`)
    .join('\n');
  return `daemon off;
user root;
worker_processes 1;
pid ${workDir}/nginx.pid;
error_log stderr warn;
events { worker_connections 16384; }
http {
${temp}
  default_type text/plain;
  log_format json escape=json '${FORMAT}';
  access_log ${workDir}/access.log json;
  keepalive_timeout 3600s;
  keepalive_requests 10000000;
  tcp_nodelay on;
${Object.entries(headers)
  .map(([name, value]) => `  add_header ${name} ${value} always;`)
  .join('\n')}
${origin === null ? '' : `  proxy_cache_path ${workDir}/cache keys_zone=content:1m;`}
  server {
${listen.map((address) => `    listen ${address}:80 backlog=8192;`).join('\n')}
    root ${workDir}/www;
    location = /health { access_log off; return 200 "ok\\n"; }
    location = /work { gzip on; gzip_types text/plain; gzip_comp_level 9; gzip_min_length 0; }
${origin === null ? '' : '    location /content/ { proxy_cache content; proxy_cache_valid 200 1h; proxy_pass http://' + origin + ':80; }'}
  }
}
`;
}

/** What nginx appends to its log: read as it grows. */
class Tail {
  readonly #file: string;
  readonly #onLine: (line: string) => void;
  readonly #buffer = Buffer.alloc(1 << 16);
  #descriptor: number | null = null;
  #rest = '';

  constructor(file: string, onLine: (line: string) => void) {
    this.#file = file;
    this.#onLine = onLine;
  }

  read(): void {
    if (this.#descriptor === null) {
      if (!existsSync(this.#file)) return;
      this.#descriptor = openSync(this.#file, 'r');
    }
    for (let n = 1; n > 0;) {
      n = readSync(this.#descriptor, this.#buffer);
      const lines = (this.#rest + this.#buffer.toString('utf8', 0, n)).split('\n');
      this.#rest = lines.pop() ?? '';
      lines.forEach(this.#onLine);
    }
  }
}

export async function startNginx(workDir: string, options: NginxOptions): Promise<Daemon> {
  mkdirSync(join(workDir, 'www/content'), { recursive: true });
  writeFileSync(join(workDir, 'www/work'), text(options.workBytes));
  writeFileSync(join(workDir, 'www/hello'), 'hello\n');
  for (const [name, bytes] of [
    ['small', 2000],
    ['large', 200_000],
  ] as const)
    writeFileSync(join(workDir, 'www/content', name), text(bytes));
  writeFileSync(join(workDir, 'nginx.conf'), config(workDir, options));
  const accesses = join(workDir, 'access.log');
  rmSync(accesses, { force: true });
  const tail = new Tail(accesses, (line) => options.onAccess(parsed(access, line)));
  const daemon = await startDaemon(workDir, 'nginx', ['-p', workDir, '-c', join(workDir, 'nginx.conf')]);
  const timer = setInterval(() => tail.read(), READ_MS);
  return {
    pid: daemon.pid,
    kill: async () => {
      await daemon.kill();
      clearInterval(timer);
      tail.read();
    },
    stop: async () => {
      await daemon.stop();
      clearInterval(timer);
      tail.read();
    },
  };
}
