/**
 * Steering into the tree, and the receive counters, as nft text. Pure.
 *
 * On egress nftables sets skb->priority by (source, destination) MAC, which HTB takes as the class: one hash lookup,
 * however many limiters there are. On ingress it counts per (receiver, sender), by elements that the first packet
 * makes and a timeout removes. Group addresses (broadcast, multicast) count as one receiver.
 */
import { classId, vnicLeaf } from './egress.ts';

export const TABLE = 'gatekeeper';
export const PAIR_SET = 'pairs';
export const GROUP_SET = 'groups';
/** Stands for every group address. */
export const GROUP_MAC = 'ff:ff:ff:ff:ff:ff';
const IS_GROUP = 'ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00';
/** The kernel walks all buckets of a set at every reading, and makes as many as the declared size wants. */
const LEAST_SIZE = 256;
const MOST_SIZE = 65535;
const GROUP_SIZE = 1024;
const LIMITERS_SIZE = 65535;

/** Elements that a set for so many pairs is declared with: twice as many, for vNICs come and go. */
const sizeFor = (pairs: number): number => Math.min(MOST_SIZE, Math.max(LEAST_SIZE, 2 * pairs));

/** `pairs`: how many (local, remote) vNICs there may be. In one transaction: a predecessor's table is replaced without a gap. */
export const steeringTable = (device: string, pairs: number, counterTimeoutMs: number): string => `table netdev ${TABLE}
delete table netdev ${TABLE}
table netdev ${TABLE} {
  map vnics { typeof ether saddr : meta priority; size ${LIMITERS_SIZE};
  }
  map limiters { typeof ether saddr . ether daddr : meta priority; size ${LIMITERS_SIZE};
  }
  map grouplimiters { typeof ether saddr : meta priority; size ${LIMITERS_SIZE};
  }
  set ${PAIR_SET} { typeof ether daddr . ether saddr; size ${sizeFor(pairs)}; flags dynamic,timeout; timeout ${counterTimeoutMs}ms; counter;
  }
  set ${GROUP_SET} { typeof ether saddr; size ${GROUP_SIZE}; flags dynamic,timeout; timeout ${counterTimeoutMs}ms; counter;
  }
  chain egress { type filter hook egress device "${device}" priority 0; policy accept;
    meta priority set ether saddr map @vnics
    ${IS_GROUP} meta priority set ether saddr map @grouplimiters accept
    meta priority set ether saddr . ether daddr map @limiters
  }
  chain ingress { type filter hook ingress device "${device}" priority 0; policy accept;
    ${IS_GROUP} update @${GROUP_SET} { ether saddr counter } accept
    update @${PAIR_SET} { ether daddr . ether saddr counter }
  }
}
`;

export const removeTable = `delete table netdev ${TABLE}\n`;

const element = (verb: 'add' | 'delete', map: string, content: string): string => `${verb} element netdev ${TABLE} ${map} { ${content} }`;

export const steerVnic = (mac: string, slot: number): string => element('add', 'vnics', `${mac} : ${classId(vnicLeaf(slot))}`);
export const unsteerVnic = (mac: string): string => element('delete', 'vnics', mac);
export const steer = (sender: string, receiver: string, minor: number): string =>
  receiver === GROUP_MAC
    ? element('add', 'grouplimiters', `${sender} : ${classId(minor)}`)
    : element('add', 'limiters', `${sender} . ${receiver} : ${classId(minor)}`);
export const unsteer = (sender: string, receiver: string): string =>
  receiver === GROUP_MAC ? element('delete', 'grouplimiters', sender) : element('delete', 'limiters', `${sender} . ${receiver}`);
