/** The way between an on-premises router and the endpoint that is its network's router: WireGuard or a link of their own, and BGP. */
import { bgpSession, birdHead } from '../lib/bird.ts';
import type { Rules } from '../lib/filter.ts';
import { startTunnel, tunnelKeys, tunnelOnly } from '../lib/wireguard.ts';
import type { Leg } from './config.ts';

/** Private numbers of autonomous systems (RFC 6996): of networks by their identifiers, and of their sites above all of those. */
const [FIRST_AS, FIRST_SITE_AS] = [4_200_000_000, 4_220_000_000];
const TUNNEL = { endpoint: '169.254.77.1', site: '169.254.77.2', length: 30 } as const;
const DEVICE = 'wg0';

export type End = 'endpoint' | 'site';
const OTHER: Readonly<Record<End, End>> = { endpoint: 'site', site: 'endpoint' };
const addressOf = (leg: Leg, end: End): string => leg[end].address;
const neighbourOf = (leg: Leg, end: End): string => (leg.isVpn ? TUNNEL[OTHER[end]] : addressOf(leg, OTHER[end]));
const asOf = ({ vnid }: Leg, end: End): number => (end === 'endpoint' ? FIRST_AS : FIRST_SITE_AS) + vnid;

/** null: they have a link of their own. */
export async function startLegTunnel(workDir: string, secret: string, leg: Leg, end: End): Promise<{ stop(): Promise<void> } | null> {
  if (!leg.isVpn) return null;
  const keysOf = (which: End) => tunnelKeys(secret, `mesh ${leg.network} ${leg.site.name} ${which}`);
  return startTunnel(workDir, {
    device: DEVICE,
    address: `${TUNNEL[end]}/${TUNNEL.length}`,
    keys: keysOf(end),
    peer: { publicKey: keysOf(OTHER[end]).publicKey, endpoint: addressOf(leg, OTHER[end]), allowed: ['0.0.0.0/0'] },
  });
}

/** What an end lets in from the link between them. */
export const legRules = (leg: Leg, end: End): Rules[] => (leg.isVpn ? [tunnelOnly(leg[end].device)] : []);

const session = (leg: Leg, end: End, imports: string): string =>
  bgpSession({
    name: OTHER[end],
    address: neighbourOf(leg, end),
    as: asOf(leg, OTHER[end]),
    localAs: asOf(leg, end),
    imports,
    exports: 'where source = RTS_STATIC',
  });

/** Of the endpoint: the site reaches everything by it; it takes any route but that for everything. */
export const endpointBird = (leg: Leg, routerId: string): string => `${birdHead(routerId)}
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol static everything { ipv4; route 0.0.0.0/0 blackhole; }
${session(leg, 'endpoint', 'where net.len > 0')}
`;

/** Of the site: it announces its prefixes; what it sends comes from `source`. */
export const siteBird = (leg: Leg, source: string, announced: readonly string[]): string => `${birdHead(addressOf(leg, 'site'))}
protocol kernel { ipv4 { import none; export filter { if source != RTS_BGP then reject; krt_prefsrc = ${source}; accept; }; }; }
protocol static own { ipv4;${announced.map((p) => ` route ${p} blackhole;`).join('')} }
${session(leg, 'site', 'all')}
`;
