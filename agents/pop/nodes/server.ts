/** Compute server: nginx behind anycast addresses, the second stage of forwarding, and feedback (R3 sections 2 and 3.1). */
import { mkdirSync, readFileSync } from 'node:fs';
import { connect, type Peer } from '../../lib/channel.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import { known } from '../../lib/params.ts';
import type { NodeRole } from '../../lib/role.ts';
import { LONGEST_BYTES, type AgentConfig } from '../config.ts';
import { MANAGER_PORT, type ManagerUnitFunctions, type ServerFeedback, type UnitFunctions } from '../protocol.ts';
import { childrenOf } from '../../lib/daemon.ts';
import { SERVER_OPERATIONS } from '../operations.ts';
import { Forwarder } from './forwarder.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { startNginx, type Access } from './nginx.ts';

const LOG_MS = 250;
const HEALTH_TIMEOUT_MS = 1500;
const LATENCY_QUANTILE = 0.95;

/** CPU of a process and its children, seconds; finer than the ticks of /proc/PID/stat. */
function cpuSeconds(pid: number): number {
  const own = (p: number): number => {
    try {
      return Number(readFileSync(`/proc/${p}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
    } catch {
      return 0;
    }
  };
  return [pid, ...childrenOf(pid)].reduce((sum, p) => sum + own(p), 0);
}

export async function startServer({ config, secret, nativeDir, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, pops, nodes, services, gateway, devices, capacity, feedbackMs, returnByTunnel } = config;
  const pop = pops.find((p) => p.name === self.pop)!;
  const addresses = services.filter((s) => s.servers.includes(self.name)).map((s) => s.address);
  mkdirSync(workDir, { recursive: true });
  const network = new HostNetwork();
  network.forwardAsymmetrically(devices);
  network.setSysctls({ 'net.core.somaxconn': 8192, 'net.ipv4.tcp_max_syn_backlog': 8192, 'net.ipv4.tcp_syncookies': 0 });
  for (const address of addresses) await network.addAddress(address);
  // What clients send is carried in one more header, and what is sent to them may have to be (R3 section 9.5).
  if (gateway !== null) await network.addDefaultRoute(gateway, { mtu: LONGEST_BYTES });

  let waiting: Access[] = [];
  let since: Access[] = [];
  const counters = { requests: 0, failed: 0 };
  const origin = nodes.find((n) => n.role === 'origin')?.address ?? null;
  const nginx = await startNginx(workDir, {
    listen: addresses,
    headers: { 'X-Server': self.name, 'X-Pop': pop.name },
    origin,
    workBytes: config.workBytes,
    onAccess: (access) => {
      counters.requests += 1;
      if (access.status >= 400) counters.failed += 1;
      waiting.push(access);
      since.push(access);
    },
  });
  const forwarder = await Forwarder.start(nativeDir, config, 0);
  await forwarder.trust(
    nodes.filter((n) => n.pop === pop.name && n.name !== self.name && (n.role === 'edge' || n.role === 'server')).map((n) => n.address),
  );
  for (const device of devices) {
    await forwarder.attach(device, 'server_in');
    if (returnByTunnel) await forwarder.attach(device, 'server_out');
  }

  let version = 0;
  let manager: Peer<ManagerUnitFunctions> | undefined;
  const functions: UnitFunctions = {
    // A server needs no slots: what a packet's entry says comes with it.
    program: async (update) => {
      version = update.version;
      return version;
    },
    remember: () => undefined,
    recall: () => null,
  };
  const info = nodes.find((n) => n.name === pop.manager)!;
  const link = connect<ManagerUnitFunctions>({
    address: info.address,
    port: MANAGER_PORT,
    secret,
    self: self.name,
    peer: info.name,
    local: functions,
    onPeer: (peer) => {
      manager = peer;
    },
  });

  let before = { cpu: cpuSeconds(nginx.pid), atMs: performance.now() };
  let healthy = true;
  const report = async (): Promise<void> => {
    const now = { cpu: cpuSeconds(nginx.pid), atMs: performance.now() };
    const load = ((now.cpu - before.cpu) * 1000) / (now.atMs - before.atMs) / capacity;
    before = now;
    const seconds = since.map((a) => a.seconds).sort((a, b) => a - b);
    const feedback: ServerFeedback = {
      load,
      requests: since.length,
      failed: since.filter((a) => a.status >= 400).length,
      healthy,
      latencyMs: seconds.length === 0 ? null : seconds[Math.min(seconds.length - 1, Math.floor(LATENCY_QUANTILE * seconds.length))]! * 1000,
    };
    since = [];
    log('debug', 'load', { load: Math.round(load * 1000) / 1000, requests: feedback.requests, latencyMs: feedback.latencyMs });
    await manager?.call.feedback.asEvent(feedback).catch(() => undefined);
    if (addresses[0] !== undefined) healthy = await isHealthy(addresses[0]);
  };
  const reports = setInterval(() => void report(), feedbackMs);
  const write = (): void => {
    if (waiting.length > 0)
      log('debug', 'access', { list: waiting.map((a) => [a.t, a.client, a.port, a.server, a.status, a.path, a.seconds, a.request]) });
    waiting = [];
  };
  const writes = setInterval(write, LOG_MS);
  let counted: Readonly<Record<string, number>> = {};
  const counts = setInterval(
    () =>
      void forwarder.counters().then(
        (c) => {
          counted = c;
        },
        () => undefined,
      ),
    LOG_MS,
  );
  return {
    counters: () => ({ ...counted, ...counters, version }),
    request: async (operation) => {
      // A server that has ended, as its manager sees it: no connection, no heartbeat (R3-37).
      known(SERVER_OPERATIONS, operation);
      link.close();
      clearInterval(reports);
      await nginx.kill();
      write();
      return null;
    },
    stop: async () => {
      for (const timer of [reports, writes, counts]) clearInterval(timer);
      link.close();
      await forwarder.stop();
      await nginx.stop();
      write();
      await network.stop();
    },
  };
}

/** Its own check: does it answer where clients ask? */
async function isHealthy(address: string): Promise<boolean> {
  try {
    return (await fetch(`http://${address}/health`, { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) })).ok;
  } catch {
    return false;
  }
}
