/** Connects the machines of a rig file, all at once. */
import type { Client } from 'ssh2';
import { joinFailures, NetrigError } from '../../../core/errors.ts';
import { bundleScript } from '../../../core/bundle.ts';
import { localMachine } from '../connect.ts';
import { ownEngineSocket } from '../../images/docker/sockets.ts';
import type { Machine } from '../machine.ts';
import { findHost, type RigHost, type RigPlan, type SshAccess } from '../../rigfile.ts';
import { vmAccess } from '../../images/vm/access.ts';
import { connectSsh, openChannel } from './connection.ts';
import { RemoteMachine, type Link } from './remote.ts';
import { ensureRuntime } from './runtime.ts';
import { Session } from './session.ts';

/** Node starts in half a second under emulation, in a few on a machine that is busy. */
const HOSTD_TIMEOUT_MS = 60_000;
/** Key exchange takes half a second under emulation, and much longer where the machine is busy with others. */
const CONNECT_TIMEOUT_MS = 60_000;
const STATE_ROOT = '/run/netrig';

export async function connectRig(rig: RigPlan): Promise<ReadonlyMap<string, Machine>> {
  const connected = await Promise.allSettled(rig.hosts.map((host) => connectHost(rig, host)));
  const machines = connected.flatMap((c) => (c.status === 'fulfilled' ? [c.value] : []));
  const failure = joinFailures(connected);
  if (!failure) return new Map(machines.map((m) => [m.name, m]));
  await Promise.allSettled(machines.map((m) => m.dispose()));
  throw failure;
}

export async function connectHost(rig: RigPlan, host: RigHost): Promise<Machine> {
  if (host.access.kind === 'local') return localMachine(host.name, host.engine === 'own' ? ownEngineSocket() : host.engine);
  const stateRoot = host.stateRoot ?? STATE_ROOT;
  return RemoteMachine.connect(host.name, stateRoot, host.engine, (timeoutMs = CONNECT_TIMEOUT_MS) =>
    openLink(rig, host, stateRoot, timeoutMs),
  );
}

export const accessOf = (rig: RigPlan, host: RigHost): SshAccess =>
  host.access.kind === 'ssh' ? host.access.ssh : vmAccess(rig, host.name);

async function openLink(rig: RigPlan, host: RigHost, stateRoot: string, timeoutMs: number): Promise<Link> {
  const { clients, client } = await openChain(rig, host, [], timeoutMs);
  const close = () => {
    for (const each of clients) each.end();
  };
  try {
    const sudo = accessOf(rig, host).sudo ? ['sudo', '-n'] : [];
    const path = await bundleScript(new URL('../hostd/main.ts', import.meta.url), 'hostd');
    const runtime = await ensureRuntime(client, host.name, sudo, path);
    const channel = await openChannel(client, [...sudo, `${runtime.dir}/node`, runtime.hostd, runtime.dir, stateRoot, host.engine]);
    const session = new Session(host.name, channel);
    await session.ready(HOSTD_TIMEOUT_MS);
    return { session, runtimeDir: runtime.dir, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Through its jump hosts; `seen` stops a circle of them. */
export async function openChain(
  rig: RigPlan,
  host: RigHost,
  seen: readonly string[],
  timeoutMs = CONNECT_TIMEOUT_MS,
): Promise<{ client: Client; clients: Client[] }> {
  const ssh = accessOf(rig, host);
  if (seen.includes(host.name)) throw new NetrigError('RIG_INVALID', `jump hosts go in a circle: ${[...seen, host.name].join(' -> ')}`);
  const before = ssh.jump === null ? null : await openChain(rig, findHost(rig, ssh.jump), [...seen, host.name], timeoutMs);
  const client = await connectSsh({ name: host.name, ssh }, before?.client ?? null, timeoutMs);
  return { client, clients: [client, ...(before?.clients ?? [])] };
}
