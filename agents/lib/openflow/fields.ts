/**
 * Fields of packets that flows match, and that actions set and copy, as OXM TLVs. Sources: OpenFlow Switch Specification
 * 1.4.0, section 7.2.2; registers, conntrack and tunnels are Open vSwitch's (ovs-fields(7)).
 */
import { ipBytes, macBytes, prefixBytes, u16, u32, u64, zeros } from '../bytes.ts';
import { TCP_FLAG } from '../ip.ts';

const [BASIC, NICIRA, ERICSSON] = [0x8000, 0x0001, 0x1000];

interface FieldCode {
  readonly oxmClass: number;
  readonly number: number;
  readonly bytes: number;
}

const basic = (number: number, bytes: number): FieldCode => ({ oxmClass: BASIC, number, bytes });
const nicira = (number: number, bytes: number): FieldCode => ({ oxmClass: NICIRA, number, bytes });
const ericsson = (number: number, bytes: number): FieldCode => ({ oxmClass: ERICSSON, number, bytes });

const FIELDS = {
  inPort: basic(0, 4),
  metadata: basic(2, 8),
  ethDst: basic(3, 6),
  ethSrc: basic(4, 6),
  ethType: basic(5, 2),
  vlan: basic(6, 2),
  ipProtocol: basic(10, 1),
  ipv4Src: basic(11, 4),
  ipv4Dst: basic(12, 4),
  tcpSrc: basic(13, 2),
  tcpDst: basic(14, 2),
  udpSrc: basic(15, 2),
  udpDst: basic(16, 2),
  icmpType: basic(19, 1),
  arpOperation: basic(21, 2),
  arpSenderIp: basic(22, 4),
  arpTargetIp: basic(23, 4),
  arpSenderMac: basic(24, 6),
  arpTargetMac: basic(25, 6),
  ipv6Src: basic(26, 16),
  ipv6Dst: basic(27, 16),
  icmpv6Type: basic(29, 1),
  ndTarget: basic(31, 16),
  ndSourceMac: basic(32, 6),
  ndTargetMac: basic(33, 6),
  ndReserved: ericsson(1, 4),
  ndOption: ericsson(2, 1),
  tunnelId: basic(38, 8),
  tunnelSrc: nicira(31, 4),
  tcpFlags: nicira(34, 2),
  tunnelDst: nicira(32, 4),
  ctState: nicira(105, 4),
  ctZone: nicira(106, 2),
  ctMark: nicira(107, 4),
} as const;
export type FieldName = keyof typeof FIELDS;
/** "reg0" to "reg15": scratch memory of a packet on its way through the tables. */
export type Register = `reg${number}`;
/** What an action can set or copy. */
export type Field = FieldName | Register;

const codeOf = (field: Field): FieldCode => (Object.hasOwn(FIELDS, field) ? FIELDS[field as FieldName] : nicira(Number(field.slice(3)), 4));

/** Four bytes that name a field, as actions of Open vSwitch refer to it. */
export function headerOf(field: Field, masked = false): Buffer {
  const { oxmClass, number, bytes } = codeOf(field);
  return Buffer.concat([u16(oxmClass), Buffer.from([(number << 1) | (masked ? 1 : 0), masked ? bytes * 2 : bytes])]);
}

export const bitsOf = (field: Field): number => codeOf(field).bytes * 8;

/** A number, a MAC address or an IP address, by the field. */
export type FieldValue = number | bigint | string;

function valueBytes(field: Field, value: FieldValue): Buffer {
  const { bytes } = codeOf(field);
  if (typeof value === 'string') return bytes === 6 ? macBytes(value) : ipBytes(value);
  return bytes === 8 ? u64(value) : bytes === 4 ? u32(Number(value)) : bytes === 2 ? u16(Number(value)) : Buffer.from([Number(value)]);
}

export function tlv(field: Field, value: Buffer, mask?: Buffer): Buffer {
  return Buffer.concat([headerOf(field, mask !== undefined), value, ...(mask ? [mask] : [])]);
}

export const valueTlv = (field: Field, value: FieldValue): Buffer => tlv(field, valueBytes(field, value));

/** Every broadcast and multicast address. */
export const GROUP = 'group addresses';

const ETHER_TYPES = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
const STATES = { new: 1, est: 2, rel: 4, rpl: 8, inv: 16, trk: 32, snat: 64, dnat: 128 } as const;
/** OFPVID_PRESENT */
const TAGGED = 0x1000;
const NEIGHBOUR = { solicitation: 135, advertisement: 136 } as const;

/** What a packet must be; what is left out may be anything. Prerequisites (Ethernet type, protocol) follow by themselves. */
export interface Match {
  /** Name of a port. */
  readonly inPort?: string;
  readonly ethSrc?: string;
  /** A MAC, or GROUP. */
  readonly ethDst?: string;
  readonly type?: keyof typeof ETHER_TYPES;
  /** A VLAN's number; null: untagged. */
  readonly vlan?: number | null;
  /** Addresses or prefixes, of IPv4 or IPv6. */
  readonly ipSrc?: string;
  readonly ipDst?: string;
  readonly protocol?: keyof typeof PROTOCOLS;
  /** Ports of TCP or UDP: needs `protocol`. */
  readonly portSrc?: number;
  readonly portDst?: number;
  /** Of TCP: SYN, and no answer to one. Needs `protocol`. */
  readonly opens?: true;
  readonly icmpType?: number;
  readonly arp?: { readonly operation?: 1 | 2; readonly senderIp?: string; readonly targetIp?: string };
  /** Neighbour discovery (RFC 4861). */
  readonly neighbour?: { readonly kind: keyof typeof NEIGHBOUR; readonly target?: string };
  readonly metadata?: number;
  readonly registers?: Readonly<Record<Register, number>>;
  readonly tunnelId?: number;
  /** State of its connection, such as "+trk+est-inv"; zone and mark that conntrack has of it. */
  readonly connection?: { readonly state?: string; readonly zone?: number; readonly mark?: number };
}

/** Of an address family by its text. */
const familyOf = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4');

function etherTypeOf({ type, ipSrc, ipDst, arp, neighbour, protocol }: Match): keyof typeof ETHER_TYPES | undefined {
  if (type !== undefined) return type;
  const address = ipSrc ?? ipDst;
  if (address !== undefined) return familyOf(address);
  if (arp) return 'arp';
  if (neighbour || protocol === 'icmpv6') return 'ipv6';
  return protocol === undefined ? undefined : 'ipv4';
}

function connectionState(text: string): { value: Buffer; mask: Buffer } {
  const [value, mask] = [...text.matchAll(/([+-])([a-z]+)/g)].reduce<readonly [number, number]>(
    ([v, m], [, sign, name]) => {
      const bit = STATES[name as keyof typeof STATES];
      return [sign === '+' ? v | bit : v, m | bit] as const;
    },
    [0, 0],
  );
  return { value: u32(value), mask: u32(mask) };
}

/** `portOf`: number of a port by its name. Fields come in the order that their prerequisites demand. */
export function matchBytes(match: Match, portOf: (name: string) => number): Buffer {
  const type = etherTypeOf(match);
  const protocol = match.protocol ?? (match.neighbour ? 'icmpv6' : undefined);
  const fields: Buffer[] = [];
  const add = (field: Field, value: FieldValue | undefined): void => {
    if (value !== undefined) fields.push(valueTlv(field, value));
  };
  const addPrefix = (field: Field, text: string | undefined): void => {
    if (text === undefined) return;
    const { value, mask } = prefixBytes(text);
    fields.push(tlv(field, value, mask));
  };
  add('inPort', match.inPort === undefined ? undefined : portOf(match.inPort));
  add('metadata', match.metadata);
  if (match.ethDst === GROUP) fields.push(tlv('ethDst', macBytes('01:00:00:00:00:00'), macBytes('01:00:00:00:00:00')));
  else add('ethDst', match.ethDst);
  add('ethSrc', match.ethSrc);
  add('ethType', type && ETHER_TYPES[type]);
  add('vlan', match.vlan === null ? 0 : match.vlan === undefined ? undefined : match.vlan | TAGGED);
  add('ipProtocol', protocol && PROTOCOLS[protocol]);
  addPrefix(type === 'ipv6' ? 'ipv6Src' : 'ipv4Src', match.ipSrc);
  addPrefix(type === 'ipv6' ? 'ipv6Dst' : 'ipv4Dst', match.ipDst);
  if (protocol === 'tcp' || protocol === 'udp') {
    add(`${protocol}Src`, match.portSrc);
    add(`${protocol}Dst`, match.portDst);
  }
  if (match.opens) fields.push(tlv('tcpFlags', u16(TCP_FLAG.syn), u16(TCP_FLAG.syn | TCP_FLAG.ack)));
  add(protocol === 'icmpv6' ? 'icmpv6Type' : 'icmpType', match.icmpType ?? (match.neighbour && NEIGHBOUR[match.neighbour.kind]));
  add('ndTarget', match.neighbour?.target);
  add('arpOperation', match.arp?.operation);
  addPrefix('arpSenderIp', match.arp?.senderIp);
  addPrefix('arpTargetIp', match.arp?.targetIp);
  add('tunnelId', match.tunnelId);
  for (const [register, value] of Object.entries(match.registers ?? {})) add(register as Register, value);
  if (match.connection?.state !== undefined) {
    const { value, mask } = connectionState(match.connection.state);
    fields.push(tlv('ctState', value, mask));
  }
  add('ctZone', match.connection?.zone);
  add('ctMark', match.connection?.mark);
  const content = Buffer.concat(fields);
  const whole = Buffer.concat([u16(1), u16(4 + content.length), content]);
  return Buffer.concat([whole, zeros((8 - (whole.length % 8)) % 8)]);
}
