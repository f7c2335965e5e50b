/** Gateway of an isolated network, with its client VNI: routes that the hub propagates lead to the network's branches (R1-26). */
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { perform } from '../../lib/params.ts';
import { formatPrefix } from '../../lib/prefix.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { viewsOf } from '../decision/view.ts';
import type { Metadata } from '../model.ts';
import { joinSite } from './announcements.ts';
import { Branches } from './branches.ts';
import { DnsEndpoint } from './endpoint.ts';
import { Follower } from './follower.ts';
import { startFilter } from '../../lib/filter.ts';
import { keepOff, securityRules, siteRules } from './filter.ts';
import { KernelRoutes } from '../../lib/kernelroutes.ts';
import { bringVni, removeVni, VNI } from './vni.ts';

/** As HUB_PROTOCOL, of routes over a link to another hub. */
const LINK_PROTOCOL = 76;

export async function startGateway({ config, secret, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const { self, networks, ains, vni, link } = config;
  const device = config.device!;
  const own = networks.find((n) => n.name === self.network)!;
  const network = new HostNetwork();
  network.forwardAsymmetrically([device]);
  // A flow stays with one AIN; flows are spread over all of the shard (R1-10, R1-17).
  network.setSysctls({ 'net.ipv4.fib_multipath_hash_policy': 1, 'net.ipv4.conf.default.arp_notify': 1 });
  // A connection's windows have moved on while its VNI was elsewhere (R1-53).
  if (vni) network.setSysctls({ 'net.netfilter.nf_conntrack_tcp_be_liberal': 1 });
  const nodes = config.nodes.filter((n) => n.role !== 'host' && n.role !== 'router').map((n) => n.address);
  const client = vni ? VNI.hub : device;
  const filter = await startFilter([
    keepOff(device, nodes),
    securityRules(client, config.security, vni ? [device] : []),
    ...(config.site ? siteRules(config.site, 'gateway') : []),
  ]);
  const branches = new Branches(client, config.source);
  const beyond = new KernelRoutes(LINK_PROTOCOL);
  if (!vni) await branches.know(own, ains);
  /** null: a predecessor may have left it here. */
  let isHere = vni === null ? true : null;
  /** R1-53. */
  const place = async (at: string | null): Promise<void> => {
    if (!vni || isHere === (at === self.name)) return;
    // What fails half-way is done again.
    isHere = null;
    if (at === self.name) {
      await bringVni(vni, device);
      await branches.know(own, ains);
    } else await removeVni();
    isHere = at === self.name;
  };
  for (const address of new Set([config.endpoint, config.site?.address ?? null])) if (address !== null) await network.addAddress(address);
  const endpoint = config.endpoint === null ? null : new DnsEndpoint(workDir, { address: config.endpoint, zones: config.zones }, own.name);
  const site = config.site && (await joinSite(workDir, secret, self.address, config.site));

  const apply = async (metadata: Metadata): Promise<void> => {
    const now = metadata.networks.find((n) => n.name === own.name) ?? own;
    const views = viewsOf(metadata);
    const view = views.byName.get(own.name);
    const prefixes = view ? [...view.ways].filter((w) => w.prefix.family === 4).map((w) => formatPrefix(w.prefix)) : [];
    const serving = ains.filter((ain) => now.shard.includes(ain.name) && (view?.domain.cells.includes(ain.cell) ?? false));
    const there = serving.filter((ain) => !metadata.lost.includes(ain.name));
    await place(now.at);
    // Where none can be reached, all are tried.
    if (isHere) await branches.follow({ prefixes, ains: there.length > 0 ? there : serving });
    // The other hub's networks (R1-46); the addresses of the link itself are connected.
    const reached = now.prefixes.filter((p) => p !== now.link?.transit);
    if (link) await beyond.put(reached, `via ${link.neighbour} dev ${link.device}`);
    await endpoint?.follow(views, metadata);
  };
  const follower = new Follower(config, secret, apply, (control) => {
    // A device that was down has lost its routes, and its connection.
    for (const routes of [branches.routes, beyond]) routes.forget();
    site?.tell(control);
  });
  return {
    ready: async () => site?.ready(),
    request: (operation, params) => perform({ GetRoutes: async () => ({ routes: await branches.routes.installed() }) }, operation, params),
    counters: () => ({ routes: branches.routes.prefixes.length, version: follower.version }),
    stop: async () => {
      follower.stop();
      await endpoint?.stop();
      await site?.stop();
      for (const routes of [branches.routes, ...(link ? [beyond] : [])]) await routes.put([], '').catch(() => undefined);
      if (vni) await removeVni();
      await filter.stop();
      await network.stop();
    },
  };
}
