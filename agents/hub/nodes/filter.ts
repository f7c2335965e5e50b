/** What gateways and routers let through: networks do not reach the hub's nodes, and beside a tunnel nothing comes in. nftables. */
import { run } from '../../lib/run.ts';
import { WIREGUARD_PORT } from '../../lib/wireguard.ts';
import type { SecurityRule, Site } from '../config.ts';
import type { End } from './site.ts';

const TABLE = 'inet netrig-hub';

/** Rules of the chains of packets that come in, and of those that are passed on. */
export interface Rules {
  readonly input: readonly string[];
  readonly forward: readonly string[];
}

/** What a network sends goes to branches, which have no address; not to nodes of the hub. */
export const keepOff = (device: string, nodes: readonly string[]): Rules => ({
  input: [],
  forward: [`oifname "${device}" ip daddr { ${nodes.join(', ')} } drop`],
});

/** On the link of a tunnel's ends there is nothing else: anybody could have sent it. */
export function tunnelOnly(site: Site, end: End): Rules {
  const { device } = site[end];
  return site.isVpn
    ? {
        input: [`iifname "${device}" udp dport ${WIREGUARD_PORT} accept`, `iifname "${device}" drop`],
        forward: [`iifname "${device}" drop`, `oifname "${device}" drop`],
      }
    : { input: [], forward: [] };
}

/**
 * The security group of a network's client VNI (R1-53): what others may begin to send. `others`: devices by which nothing else comes
 * into the network.
 */
export function securityRules(device: string, rules: readonly SecurityRule[] | null, others: readonly string[]): Rules {
  const allowed = (rules ?? []).map(({ protocol, ports }) =>
    protocol === 'icmp' || !ports ? `meta l4proto ${protocol}` : `${protocol} dport { ${ports.join(', ')} }`,
  );
  const own = rules
    ? ['ct state established,related accept', ...allowed.map((match) => `${match} accept`), 'drop'].map(
        (rule) => `iifname "${device}" ${rule}`,
      )
    : [];
  return { input: [], forward: [...others.map((other) => `iifname "${other}" drop`), ...own] };
}

export function filterText(rules: readonly Rules[]): string {
  const chain = (hook: keyof Rules): string =>
    `  chain ${hook} {\n    type filter hook ${hook} priority 0;\n${rules
      .flatMap((r) => r[hook])
      .map((rule) => `    ${rule}\n`)
      .join('')}  }\n`;
  // Made, so that it can be removed: one of an agent that died may be there.
  return `table ${TABLE} {}\ndelete table ${TABLE}\ntable ${TABLE} {\n${chain('input')}${chain('forward')}}\n`;
}

export async function startFilter(rules: readonly Rules[]): Promise<{ stop(): Promise<void> }> {
  await run('nft', ['-f', '-'], filterText(rules));
  return {
    stop: async () => {
      await run('nft', ['delete', 'table', ...TABLE.split(' ')]).catch(() => undefined);
    },
  };
}
