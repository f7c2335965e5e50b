/** Gateway of an isolated network, with its client VNI: routes that the hub propagates lead to the network's branches (R1-26). */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';
import { startBird } from '../../lib/bird.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { perform } from '../../lib/params.ts';
import { formatPrefix } from '../../lib/prefix.ts';
import type { NodeRole } from '../../lib/role.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import { run } from '../../lib/run.ts';
import type { AgentConfig, Site } from '../config.ts';
import { viewsOf } from '../decision/view.ts';
import { branchMac, type Ain, type Metadata } from '../model.ts';
import type { ControlFunctions } from '../protocol.ts';
import { DnsEndpoint } from './endpoint.ts';
import { Follower } from './follower.ts';
import { routesOf, watchRoutes } from './routes.ts';
import { keepOff, startFilter, tunnelOnly } from './filter.ts';
import { gatewayBird, startSiteTunnel } from './site.ts';

/** Where a branch is reached from its network's gateway: nobody else knows the address, and nothing answers for it. */
const branchAddress = (ain: Ain): string => `169.254.75.${ain.number}`;

/** Routes carry this number (rtnetlink's protocol), so that the hub's own are told from others. */
const PROTOCOL = '75';
/** A session of BGP through a tunnel, when the agents start. */
const SITE_MS = 60_000;
/** From one announcement that the hub is told of to the next. */
const HOLD_MS = 500;

export async function startGateway({ config, secret, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, device, networks, ains } = config;
  const own = networks.find((n) => n.name === self.network)!;
  const shard = own.shard.flatMap((name) => ains.find((a) => a.name === name) ?? []);
  const network = new HostNetwork();
  network.forwardAsymmetrically([device!]);
  // A flow stays with one AIN; flows are spread over all of the shard (R1-10, R1-17).
  network.setSysctls({ 'net.ipv4.fib_multipath_hash_policy': 1 });
  const nodes = config.nodes.filter((n) => n.role !== 'host' && n.role !== 'router').map((n) => n.address);
  const filter = await startFilter([keepOff(device!, nodes), ...(config.site ? [tunnelOnly(config.site, 'gateway')] : [])]);
  for (const ain of shard)
    await run('ip', [
      'neigh',
      'replace',
      branchAddress(ain),
      'lladdr',
      branchMac(ain.number, own.number),
      'nud',
      'permanent',
      'dev',
      device!,
    ]);
  /** Where none of those in the cells can be reached, all are tried. */
  const hopsOf = (cells: readonly string[], lost: readonly string[]): string => {
    const serving = shard.filter((ain) => cells.includes(ain.cell));
    const there = serving.filter((ain) => !lost.includes(ain.name));
    return (there.length > 0 ? there : serving).map((ain) => `nexthop via ${branchAddress(ain)} dev ${device!} onlink`).join(' ');
  };

  const installed = (): Promise<string[]> => routesOf(PROTOCOL);
  // Its ICMP errors come from an address of the network: others are not let through.
  const source = config.source === null ? '' : `src ${config.source} `;
  let routes: readonly string[] = [];
  /** What was followed last; '': the kernel may have lost it. */
  let followed = '';
  /** From what the kernel has: a predecessor may have left routes. */
  const follow = async (wanted: readonly string[], cells: readonly string[], lost: readonly string[]): Promise<void> => {
    const hops = hopsOf(cells, lost);
    const now = JSON.stringify([wanted, hops]);
    if (now === followed) return;
    const lines = [
      ...(await installed()).filter((r) => !wanted.includes(r)).map((r) => `route delete ${r} proto ${PROTOCOL}`),
      ...wanted.map((r) => `route replace ${r} proto ${PROTOCOL} ${source}${hops}`),
    ];
    if (lines.length > 0) await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
    [routes, followed] = [wanted, now];
  };
  for (const address of new Set([config.endpoint, config.site?.address ?? null])) if (address !== null) await network.addAddress(address);
  const endpoint = config.endpoint === null ? null : new DnsEndpoint(workDir, { address: config.endpoint, zones: config.zones }, own.name);
  const site = config.site && (await joinSite(workDir, secret, self.address, config.site));
  const apply = async (metadata: Metadata): Promise<void> => {
    const views = viewsOf(metadata, endpoint ? undefined : own.name);
    const view = views.byName.get(own.name);
    const reached = view ? [...view.ways].filter((w) => w.prefix.family === 4).map((w) => formatPrefix(w.prefix)) : [];
    await follow(reached, view?.domain.cells ?? [], metadata.lost);
    await endpoint?.follow(views, metadata);
  };
  const follower = new Follower(config, secret, apply, (control) => {
    // A device that was down has lost its routes, and its connection.
    followed = '';
    site?.tell(control);
  });
  return {
    ready: async () => site?.ready(),
    request: (operation, params) => perform({ GetRoutes: async () => ({ routes: await installed() }) }, operation, params),
    counters: () => ({ routes: routes.length, version: follower.version }),
    stop: async () => {
      follower.stop();
      await endpoint?.stop();
      await site?.stop();
      await follow([], [], []).catch(() => undefined);
      await filter.stop();
      await network.stop();
    },
  };
}

interface JoinedSite {
  /** Who is told of announcements from now on. */
  tell(control: ControlFunctions): void;
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** The network's own router, and what it announces as it comes and goes. */
async function joinSite(workDir: string, secret: string, address: string, site: Site): Promise<JoinedSite> {
  const tunnel = await startSiteTunnel(workDir, secret, site, 'gateway');
  const bird = await startBird(workDir, gatewayBird(site, address, Number(PROTOCOL)));
  const turns = new SerialQueue();
  let control: ControlFunctions | null = null;
  let told: readonly string[] | null = null;
  const look = async (): Promise<void> => {
    const found = await routesOf('bird');
    if (control === null || isDeepStrictEqual(found, told)) return;
    told = found;
    await control.learned(found);
    // A router that changes its mind all the time does not keep the hub busy.
    await sleep(HOLD_MS);
  };
  const changed = (): void =>
    void turns.run(look).catch((error: unknown) => {
      told = null;
      log('warn', 'announcements', { why: (error as Error).message });
    });
  const watch = watchRoutes(changed);
  return {
    tell: (call) => {
      [control, told] = [call, null];
      changed();
    },
    ready: async () => {
      const isThere = (): boolean => told !== null && told.length > 0;
      if (!(await until(isThere, { withinMs: SITE_MS }))) throw new Error(`the router of ${site.network} announces nothing`);
    },
    stop: async () => {
      watch.stop();
      await bird.stop();
      await tunnel?.stop();
    },
  };
}
