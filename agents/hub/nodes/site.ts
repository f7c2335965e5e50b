/** An on-premises network's way to the hub: its gateway and its router, a tunnel or a link between them, and BGP (R1-27, R1-45). */
import { bgpSession, birdHead } from '../../lib/bird.ts';
import { startTunnel, tunnelKeys } from '../../lib/wireguard.ts';
import type { Site } from '../config.ts';

/** Private numbers of autonomous systems (RFC 6996): the hub's, and above it that of each network. */
const HUB_AS = 64_512;
/** Inside the tunnel. */
const TUNNEL = { gateway: '169.254.77.1', router: '169.254.77.2', length: 30 } as const;
const DEVICE = 'wg0';

export type End = 'gateway' | 'router';
const OTHER: Readonly<Record<End, End>> = { gateway: 'router', router: 'gateway' };

/** Where the other end is spoken to. */
export const neighbourOf = (site: Site, end: End): string => (site.isVpn ? TUNNEL[OTHER[end]] : site[OTHER[end]].address);

/** null: there is a link of their own between them. */
export async function startSiteTunnel(workDir: string, secret: string, site: Site, end: End): Promise<{ stop(): Promise<void> } | null> {
  if (!site.isVpn) return null;
  const keysOf = (which: End) => tunnelKeys(secret, `${site.network} ${which}`);
  return startTunnel(workDir, {
    device: DEVICE,
    address: `${TUNNEL[end]}/${TUNNEL.length}`,
    keys: keysOf(end),
    peer: {
      publicKey: keysOf(OTHER[end]).publicKey,
      endpoint: site[OTHER[end]].address,
      // What a network may send; of the hub, everything.
      allowed: end === 'gateway' ? [`${TUNNEL.router}/32`, ...site.prefixes] : ['0.0.0.0/0'],
    },
  });
}

/**
 * The gateway's: what the hub has routes to goes to the router; of what that announces it takes the network's own. `protocol`: of the
 * hub's routes in the kernel.
 */
export const gatewayBird = (site: Site, routerId: string, protocol: number): string =>
  `${birdHead(routerId)}protocol kernel { learn; ipv4 { import where krt_source = ${protocol}; export where source = RTS_BGP; }; }
${bgpSession({
  name: 'site',
  address: neighbourOf(site, 'gateway'),
  as: HUB_AS + site.number,
  localAs: HUB_AS,
  imports: `where net ~ [ ${site.prefixes.join(', ')} ]`,
  exports: 'where source = RTS_INHERIT',
})}
`;

/** The router's. `announced`: of its network's prefixes. */
export const routerBird = (site: Site, routerId: string, announced: readonly string[]): string =>
  `${birdHead(routerId)}protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol static own {
  ipv4;
${announced.map((prefix) => `  route ${prefix} blackhole;\n`).join('')}}
${bgpSession({
  name: 'hub',
  address: neighbourOf(site, 'router'),
  as: HUB_AS,
  localAs: HUB_AS + site.number,
  imports: 'all',
  exports: 'where source = RTS_STATIC',
})}
`;
