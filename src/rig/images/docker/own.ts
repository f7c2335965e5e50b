/** A Docker Engine of netrig's own, for machines where none runs: it makes no bridge and touches no firewall. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync, openSync, closeSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Context } from '../../../core/context.ts';
import { NetrigError } from '../../../core/errors.ts';
import { until } from '../../../core/until.ts';
import { requirePrograms } from '../debian.ts';
import { Engine } from './engine.ts';
import { ownEngineDir, ownEngineSocket } from './sockets.ts';

const DATA_DIR = '/var/lib/netrig/engine';
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;

/** Running afterwards; nothing is done to one that runs already. */
export async function startOwnEngine(ctx: Context): Promise<void> {
  // Its containerd has a few seconds of its own to come up, which a busy machine may not give it.
  await launch(ctx).catch(() => launch(ctx));
}

async function launch(ctx: Context): Promise<void> {
  const engine = new Engine(ownEngineSocket());
  if ((await engine.version()) !== null) return;
  requirePrograms(['dockerd']);
  const dir = ownEngineDir();
  mkdirSync(join(dir, 'exec'), { recursive: true });
  clearLeftovers(dir);
  writeFileSync(join(dir, 'daemon.json'), '{}');
  const log = openSync(join(dir, 'dockerd.log'), 'a');
  const child = spawn(
    'dockerd',
    [
      '--config-file',
      join(dir, 'daemon.json'),
      '--data-root',
      DATA_DIR,
      '--exec-root',
      join(dir, 'exec'),
      '--pidfile',
      join(dir, 'docker.pid'),
      '--host',
      `unix://${ownEngineSocket()}`,
      '--group',
      'root',
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false',
      '--ip-masq=false',
      '--ip-forward=false',
      '--userland-proxy=false',
      '--live-restore',
    ],
    { detached: true, stdio: ['ignore', log, log] },
  );
  child.on('error', () => undefined);
  child.unref();
  closeSync(log);
  const answers = async (): Promise<boolean> => (await engine.version()) !== null;
  await until(async () => child.exitCode !== null || (await answers()), { withinMs: START_TIMEOUT_MS, signal: ctx.signal });
  if (!(await answers()))
    throw new NetrigError(
      'CAPABILITY_MISSING',
      `the Docker Engine does not start: ${readFileSync(join(dir, 'dockerd.log'), 'utf8').trim().split('\n').slice(-2).join(' | ')}`,
      { hint: 'this kernel may lack overlayfs or cgroups; use namespaces (carries: namespaces) here' },
    );
}

/** False: none was running. */
export async function stopOwnEngine(): Promise<boolean> {
  const pid = pidOf(join(ownEngineDir(), 'docker.pid'));
  if (pid !== undefined) {
    // They would outlive the engine, and nobody would know them.
    await new Engine(ownEngineSocket()).removeAll().catch(() => undefined);
    process.kill(pid, 'SIGTERM');
    await until(() => pidOf(join(ownEngineDir(), 'docker.pid')) === undefined, { withinMs: STOP_TIMEOUT_MS });
  }
  const found = existsSync(ownEngineDir());
  // dockerd binds its data folder to itself, and leaves that when it is killed.
  for (const mount of mountsBelow(DATA_DIR).reverse()) await execa('umount', ['-l', mount], { reject: false });
  rmSync(ownEngineDir(), { recursive: true, force: true });
  return pid !== undefined || found;
}

/** The pid in a file, if that process is a running dockerd or containerd. */
function pidOf(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return /\((dockerd|containerd)\) [^Z]/.test(stat) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** After a kill the pid files stay, and the next dockerd would believe them. */
function clearLeftovers(dir: string): void {
  for (const file of [join(dir, 'docker.pid'), join(dir, 'exec/containerd/containerd.pid')])
    if (pidOf(file) === undefined) rmSync(file, { force: true });
}

const mountsBelow = (dir: string): string[] =>
  readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path === dir || path.startsWith(`${dir}/`));
