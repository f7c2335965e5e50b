/**
 * Flows that share connections out: to the backends of a balancer, and to gateways. A connection is hashed to a slot, the same on any
 * switch, and slots have owners. Pure.
 */
import type { Flow } from '../../lib/openflow/index.ts';
import type { BalancedItem, PoolItem, Way } from './items.ts';
import { asking, DESTINATION_COOKIE, intoTunnel, PRIORITY, TABLE, wayTo, type HostTraits } from './tables.ts';

/** Registers with the number of a connection's backend, and with its slot. */
const [BACKEND, SLOT] = ['reg0', 'reg1'] as const;
const SLOTS = 64;
/** Connections that are remembered: so long after their last packet, and after their end; and how many. */
const [CONNECTION_S, CLOSED_S, MOST_CONNECTIONS] = [600, 1, 100_000];

/** Of one whose peer may only be answered there is nothing: a balancer begins no connection. */
export function balancedFlows({ vnid, address, access, number, ways }: BalancedItem, host: HostTraits): Flow[] {
  const match = { metadata: vnid, ipDst: address };
  const own = { table: TABLE.to, priority: PRIORITY.usual, cookie: DESTINATION_COOKIE + number, match };
  if (ways.length === 0 || access === 'replies') return [own];
  return [
    { ...own, actions: [{ resubmit: TABLE.chosen }, { hash: SLOT, below: SLOTS }], goto: TABLE.backends },
    ...ways.map((way): Flow => ({
      table: TABLE.backends,
      priority: PRIORITY.usual,
      match: { ...match, registers: { [BACKEND]: way.number } },
      ...wayTo(way.to, host),
    })),
    // New, or its backend is gone.
    ...backendSlots(ways).map((way, i): Flow => ({
      table: TABLE.backends,
      priority: PRIORITY.else,
      match: { ...match, registers: { [SLOT]: i } },
      actions: [{ set: BACKEND, value: way.number }, { resubmit: TABLE.remember }],
    })),
  ];
}

/** By slot. Where nobody has capacity to spare everybody takes an equal share: that is better than nothing. */
export function backendSlots(ways: readonly Way[]): Way[] {
  const isFull = ways.every((w) => w.weight === 0);
  const open = isFull ? ways.map((way) => ({ ...way, weight: 1 })) : ways.filter((w) => w.weight > 0);
  const sum = open.reduce((total, w) => total + w.weight, 0);
  let before = 0;
  return open.flatMap((way) => {
    const first = Math.round((before * SLOTS) / sum);
    before += way.weight;
    return Array.from({ length: Math.round((before * SLOTS) / sum) - first }, () => way);
  });
}

/** Of all switchers. What opens a connection is of none that is remembered, though it may have the ports of one that was. */
export const REMEMBERING: readonly Flow[] = [
  { table: TABLE.chosen, priority: PRIORITY.own, match: { protocol: 'tcp', opens: true } },
  ...([6, 17] as const).flatMap((number): Flow[] => {
    const protocol = number === 6 ? 'tcp' : 'udp';
    return [
      {
        table: TABLE.remember,
        priority: PRIORITY.usual,
        match: { protocol },
        actions: [
          {
            learn: {
              table: TABLE.chosen,
              priority: PRIORITY.usual,
              idleTimeoutS: CONNECTION_S,
              closedTimeoutS: CLOSED_S,
              limit: MOST_CONNECTIONS,
              where: [
                ['ethType', 0x0800],
                ['ipProtocol', number],
              ],
              match: ['metadata', 'ipv4Src', 'ipv4Dst', `${protocol}Src`, `${protocol}Dst`],
              load: [BACKEND],
            },
          },
        ],
        goto: TABLE.backends,
      },
    ];
  }),
  { table: TABLE.remember, priority: PRIORITY.else, match: {}, goto: TABLE.backends },
];

export function poolFlows({ vnid, members, direct }: PoolItem): Flow[] {
  const match = { metadata: vnid };
  return [
    ...direct.map((ipDst): Flow => ({ table: TABLE.to, priority: PRIORITY.asked, match: { ...match, ipDst }, ...asking(vnid) })),
    { table: TABLE.to, priority: PRIORITY.pool, match, actions: [{ hash: SLOT, below: SLOTS }], goto: TABLE.gateways },
    ...gatewaySlots(members).map((via, i): Flow => ({
      table: TABLE.gateways,
      priority: PRIORITY.usual,
      match: { ...match, registers: { [SLOT]: i } },
      actions: intoTunnel(vnid, via),
    })),
  ];
}

/**
 * Addresses of gateways, by slot. Each member has its share of slots; those of one that is lost are shared out among the others, and are
 * its own again when it is back. So a connection changes its gateway only where it must (R2-24).
 */
export function gatewaySlots(members: PoolItem['members']): string[] {
  const there = members.filter((m) => m.isThere);
  if (there.length === 0) return [];
  return Array.from({ length: SLOTS }, (_, i) => {
    const own = members[i % members.length]!;
    return (own.isThere ? own : there[Math.floor(i / members.length) % there.length]!).address;
  });
}
