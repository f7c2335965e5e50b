/**
 * What the switch between virtual networks does (R0 sections 3.10, 5), as flows of ovs-ofctl. Addresses of the networks may
 * overlap: every host has one of the provider's network, one to one (basic NAT, RFC 2663). Pure.
 *
 *   table 0   who sends: ARP is answered for whoever is behind the switch; sources are translated; register 0 = network
 *   table 1   where to: register 1 = network
 *   table 2   may it: the tasks of the direction. Between the provider's hosts and a network, always
 *   table 3   destinations are translated back, and out
 */

export interface Host {
  readonly name: string;
  readonly mac: string;
  /** In its own network, and in the provider's. */
  readonly own: string;
  readonly translated: string;
}

export interface VirtualNetwork {
  readonly name: string;
  /** Port of the switch. */
  readonly port: string;
  /** Address that its hosts route by. */
  readonly router: string;
  readonly hosts: readonly Host[];
}

export interface Fabric {
  /** The switch's own. */
  readonly mac: string;
  readonly provider: { readonly port: string; readonly hosts: readonly { readonly address: string; readonly mac: string }[] };
  readonly networks: readonly VirtualNetwork[];
}

/** "any", or protocols and destination ports: "udp:5201". */
export type Allowed = 'any' | readonly string[];

/** R0-30, R0-32: tasks by direction, "A->B". */
export interface Tasks {
  readonly directions: Readonly<Record<string, { readonly allow: Allowed }>>;
  /** Directions that no task names are refused. */
  readonly exclusive: boolean;
}

export const NO_TASKS: Tasks = { directions: {}, exclusive: false };

/** In flows' cookies: what is counted. */
export const cookieOf = (from: number, to: number, passes: boolean): number => (from << 9) | (to << 1) | (passes ? 1 : 0);

export function flowsOf(fabric: Fabric, tasks: Tasks): string[] {
  const { mac, provider, networks } = fabric;
  const number = (network: VirtualNetwork): number => networks.indexOf(network) + 1;
  const translated = networks.flatMap((n) => n.hosts.map((h) => h.translated));
  const out = (to: string, port: string, ...more: string[]) => [...more, `set_field:${mac}->eth_src`, `set_field:${to}->eth_dst`, `output:${port}`].join(',');
  return [
    ...translated.map((address) => arpAnswer(provider.port, address, mac)),
    ...networks.map((n) => arpAnswer(n.port, n.router, mac)),
    ...networks.flatMap((n) => n.hosts.map((h) => `table=0,priority=50,in_port=${n.port},dl_src=${h.mac},ip,nw_src=${h.own} actions=load:${number(n)}->NXM_NX_REG0[],mod_nw_src:${h.translated},goto_table:1`)),
    `table=0,priority=50,in_port=${provider.port},ip actions=load:0->NXM_NX_REG0[],goto_table:1`,
    ...networks.flatMap((n) => n.hosts.map((h) => `table=1,priority=50,ip,nw_dst=${h.translated} actions=load:${number(n)}->NXM_NX_REG1[],goto_table:2`)),
    'table=1,priority=1,ip actions=load:0->NXM_NX_REG1[],goto_table:2',
    'table=2,priority=100,reg0=0 actions=goto_table:3',
    'table=2,priority=100,reg1=0 actions=goto_table:3',
    ...networks.flatMap((from) => networks.flatMap((to) => (from === to ? [] : policy(number(from), number(to), tasks.directions[`${from.name}->${to.name}`]?.allow ?? (tasks.exclusive ? [] : 'any'))))),
    ...networks.flatMap((n) => n.hosts.map((h) => `table=3,priority=50,ip,nw_dst=${h.translated} actions=${out(h.mac, n.port, `mod_nw_dst:${h.own}`)}`)),
    ...provider.hosts.map((h) => `table=3,priority=50,ip,nw_dst=${h.address} actions=${out(h.mac, provider.port)}`),
  ];
}

/** RFC 826, turned round in the switch. */
const arpAnswer = (port: string, address: string, mac: string): string =>
  `table=0,priority=100,in_port=${port},arp,arp_op=1,arp_tpa=${address} actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:${mac}->eth_src,load:2->NXM_OF_ARP_OP[],` +
  `move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:${mac}->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:${address}->arp_spa,IN_PORT`;

function policy(from: number, to: number, allow: Allowed): string[] {
  const direction = `reg0=${from},reg1=${to}`;
  const pass = `cookie=${cookieOf(from, to, true)},table=2`;
  const rules = allow === 'any' ? [`${pass},priority=20,${direction} actions=goto_table:3`] : allow.map((rule) => {
    const [protocol, port] = rule.split(':');
    return `${pass},priority=20,${direction},${protocol},tp_dst=${port} actions=goto_table:3`;
  });
  return [...rules, `cookie=${cookieOf(from, to, false)},table=2,priority=10,${direction} actions=drop`];
}

/** Packets by direction, from `ovs-ofctl dump-flows`. */
export function countsOf(dump: string, { networks }: Fabric): Record<string, { passed: number; refused: number }> {
  const counts: Record<string, { passed: number; refused: number }> = {};
  for (const line of dump.split('\n')) {
    const [, cookieText, packets] = /cookie=0x([0-9a-f]+),.*n_packets=(\d+)/.exec(line) ?? [];
    const cookie = Number.parseInt(cookieText ?? '0', 16);
    const [from, to] = [networks[(cookie >> 9) - 1], networks[((cookie >> 1) & 255) - 1]];
    if (cookie === 0 || !from || !to) continue;
    const count = (counts[`${from.name}->${to.name}`] ??= { passed: 0, refused: 0 });
    count[cookie & 1 ? 'passed' : 'refused'] += Number(packets);
  }
  return counts;
}
