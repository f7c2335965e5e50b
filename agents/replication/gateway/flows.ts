/**
 * What the switch between virtual networks does (R0 sections 3.10, 5), as OpenFlow flows. Addresses of the networks may
 * overlap: every host has one of the provider's network, one to one (basic NAT, RFC 2663). Pure.
 *
 *   table 0   who sends: ARP is answered for whoever is behind the switch; sources are translated; register 0 = network
 *   table 1   where to: register 1 = network
 *   table 2   may it: the tasks of the direction. Between the provider's hosts and a network, always
 *   table 3   destinations are translated back, and out
 */
import type { Action, Flow, FlowStatistics } from '../../lib/openflow/index.ts';

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

const [HIGH, MIDDLE, LOW] = [100, 50, 1];

export function flowsOf(fabric: Fabric, tasks: Tasks): Flow[] {
  const { mac, provider, networks } = fabric;
  const number = (network: VirtualNetwork): number => networks.indexOf(network) + 1;
  const translated = networks.flatMap((n) => n.hosts.map((h) => h.translated));
  const out = (to: string, port: string): Action[] => [{ set: 'ethSrc', value: mac }, { set: 'ethDst', value: to }, { output: port }];
  const hosts = networks.flatMap((n) => n.hosts.map((host) => ({ network: n, host })));
  return [
    ...translated.map((address) => arpAnswer(provider.port, address, mac)),
    ...networks.map((n) => arpAnswer(n.port, n.router, mac)),
    ...hosts.map(({ network, host }): Flow => ({
      table: 0,
      priority: MIDDLE,
      match: { inPort: network.port, ethSrc: host.mac, ipSrc: host.own },
      actions: [
        { set: 'reg0', value: number(network) },
        { set: 'ipv4Src', value: host.translated },
      ],
      goto: 1,
    })),
    { table: 0, priority: MIDDLE, match: { inPort: provider.port, type: 'ipv4' }, actions: [{ set: 'reg0', value: 0 }], goto: 1 },
    ...hosts.map(({ network, host }): Flow => ({
      table: 1,
      priority: MIDDLE,
      match: { ipDst: host.translated },
      actions: [{ set: 'reg1', value: number(network) }],
      goto: 2,
    })),
    { table: 1, priority: LOW, match: { type: 'ipv4' }, actions: [{ set: 'reg1', value: 0 }], goto: 2 },
    { table: 2, priority: HIGH, match: { registers: { reg0: 0 } }, goto: 3 },
    { table: 2, priority: HIGH, match: { registers: { reg1: 0 } }, goto: 3 },
    ...networks.flatMap((from) =>
      networks.flatMap((to) =>
        from === to
          ? []
          : policy(number(from), number(to), tasks.directions[`${from.name}->${to.name}`]?.allow ?? (tasks.exclusive ? [] : 'any')),
      ),
    ),
    ...hosts.map(({ network, host }): Flow => ({
      table: 3,
      priority: MIDDLE,
      match: { ipDst: host.translated },
      actions: [{ set: 'ipv4Dst', value: host.own }, ...out(host.mac, network.port)],
    })),
    ...provider.hosts.map((h): Flow => ({ table: 3, priority: MIDDLE, match: { ipDst: h.address }, actions: out(h.mac, provider.port) })),
  ];
}

/** A reply made of the request (RFC 826). */
const arpAnswer = (port: string, address: string, mac: string): Flow => ({
  table: 0,
  priority: HIGH,
  match: { inPort: port, arp: { operation: 1, targetIp: address } },
  actions: [
    { copy: 'ethSrc', into: 'ethDst' },
    { set: 'ethSrc', value: mac },
    { set: 'arpOperation', value: 2 },
    { copy: 'arpSenderMac', into: 'arpTargetMac' },
    { set: 'arpSenderMac', value: mac },
    { copy: 'arpSenderIp', into: 'arpTargetIp' },
    { set: 'arpSenderIp', value: address },
    { to: 'inPort' },
  ],
});

function policy(from: number, to: number, allow: Allowed): Flow[] {
  const registers = { reg0: from, reg1: to };
  const passing = { table: 2, priority: 20, cookie: cookieOf(from, to, true), goto: 3 };
  const rules =
    allow === 'any'
      ? [{ ...passing, match: { registers } }]
      : allow.map((rule): Flow => {
          const [protocol, port] = rule.split(':') as ['tcp' | 'udp', string];
          return { ...passing, match: { registers, protocol, portDst: Number(port) } };
        });
  return [...rules, { table: 2, priority: 10, cookie: cookieOf(from, to, false), match: { registers } }];
}

/** Packets by direction, from the counters of the flows. */
export function countsOf(flows: readonly FlowStatistics[], { networks }: Fabric): Record<string, { passed: number; refused: number }> {
  const counts: Record<string, { passed: number; refused: number }> = {};
  for (const { cookie, packets } of flows) {
    const [from, to] = [networks[(cookie >> 9) - 1], networks[((cookie >> 1) & 255) - 1]];
    if (cookie === 0 || !from || !to) continue;
    const count = (counts[`${from.name}->${to.name}`] ??= { passed: 0, refused: 0 });
    count[cookie & 1 ? 'passed' : 'refused'] += packets;
  }
  return counts;
}
