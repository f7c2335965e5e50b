/**
 * What is done with a packet. Sources: OpenFlow Switch Specification 1.4.0, section 7.2.5; copying, connection tracking
 * and translation are Open vSwitch's (ovs-actions(7), include/openflow/nicira-ext.h).
 */
import { ipBytes, padded, u16, u32, zeros } from '../bytes.ts';
import { bitsOf, headerOf, valueTlv, type Field, type FieldValue, type Register } from './fields.ts';

/** Ports that every switch has. */
export const PORTS = { inPort: 0xfffffff8, table: 0xfffffff9, normal: 0xfffffffa, controller: 0xfffffffd, local: 0xfffffffe } as const;
export type SpecialPort = keyof typeof PORTS;

/** Addresses and ports that a connection is translated to: of it, one. */
export interface Translation {
  readonly what: 'source' | 'destination';
  /** First and last address; one: just that. */
  readonly address: readonly [first: string, last?: string];
  readonly ports?: readonly [first: number, last?: number];
}

export type Action =
  /** To a port by its name; never to the one that the packet came in by. */
  | { readonly output: string }
  /** normal: as a learning switch does. controller: to whoever is connected, as a packet-in. table: of a packet that is sent. */
  | { readonly to: SpecialPort }
  | { readonly set: Field; readonly value: FieldValue }
  | { readonly copy: Field; readonly into: Field }
  | { readonly group: number }
  | { readonly decrementTtl: true }
  /** A number from 0 to `below` - 1, a power of two, into a register: the same for all packets of a connection, on any switch. */
  | { readonly hash: Register; readonly below: number }
  /** On in another table, and back to the next action. */
  | { readonly resubmit: number }
  /** A flow for what is like this packet, added as it passes; of those there are at most `limit`. */
  | {
      readonly learn: {
        readonly table: number;
        readonly priority: number;
        readonly idleTimeoutS: number;
        /** In place of that one, after the last packet of a TCP connection. */
        readonly closedTimeoutS?: number;
        readonly limit: number;
        /** Fields that must have a value; those that others need (Ethernet type, protocol) come first. */
        readonly where: readonly (readonly [field: Field, value: number])[];
        /** Fields that must be as they are in this packet. */
        readonly match: readonly Field[];
        /** Registers that the flow sets as they are now. */
        readonly load: readonly Register[];
      };
    }
  | { readonly popVlan: true }
  | { readonly pushVlan: number }
  /** Through conntrack, and on at `table`; `commit`: the connection is remembered. */
  | {
      readonly track: {
        readonly zone?: number;
        readonly commit?: true;
        readonly table?: number;
        readonly translate?: Translation | 'as before';
      };
    };

const OPENFLOW = { output: 0, pushVlan: 17, popVlan: 18, group: 22, decrementTtl: 24, set: 25 } as const;
const [EXPERIMENTER, NICIRA] = [0xffff, 0x2320];
const EXTENSION = { copy: 6, multipath: 10, resubmit: 14, track: 35, translate: 36, learn: 45 } as const;
/** NX_HASH_FIELDS_SYMMETRIC_L3L4_UDP: ports of UDP as well; NX_MP_ALG_MODULO_N. */
const [CONNECTION, MODULO] = [3, 0];
/** Of a part of a flow that is learned: a field that it matches, or one that it sets, as the packet has it. */
const LEARNED = { match: 0, load: 1 << 11, where: 1 << 13 } as const;
/** OFPVID_PRESENT */
const TAGGED = 0x1000;
const [VLAN_TYPE, WHOLE_PACKET] = [0x8100, 0xffff];
const NO_TABLE = 0xff;
const TRANSLATE = { source: 1, destination: 2 } as const;
const RANGE = { ipv4First: 1, ipv4Last: 2, ipv6First: 4, ipv6Last: 8, portFirst: 16, portLast: 32 } as const;

/** Type, length with padding to eight bytes, content. */
function action(type: number, content: Buffer): Buffer {
  const body = padded(Buffer.concat([zeros(4), content]));
  body.writeUInt16BE(type, 0);
  body.writeUInt16BE(body.length, 2);
  return body;
}

const extension = (subtype: number, content: Buffer): Buffer => action(EXPERIMENTER, Buffer.concat([u32(NICIRA), u16(subtype), content]));
const output = (port: number): Buffer => action(OPENFLOW.output, Buffer.concat([u32(port), u16(WHOLE_PACKET), zeros(6)]));

function translation({ what, address: [first, last], ports }: Translation): Buffer {
  const isV6 = first.includes(':');
  const present =
    (isV6 ? RANGE.ipv6First : RANGE.ipv4First) |
    (last === undefined ? 0 : isV6 ? RANGE.ipv6Last : RANGE.ipv4Last) |
    (ports ? RANGE.portFirst : 0) |
    (ports?.[1] === undefined ? 0 : RANGE.portLast);
  const values = [
    ipBytes(first),
    ...(last === undefined ? [] : [ipBytes(last)]),
    ...(ports ?? []).flatMap((port) => (port === undefined ? [] : [u16(port)])),
  ];
  return extension(EXTENSION.translate, Buffer.concat([zeros(2), u16(TRANSLATE[what]), u16(present), ...values]));
}

function learn({
  table,
  priority,
  idleTimeoutS,
  closedTimeoutS = 0,
  limit,
  where,
  match,
  load,
}: Extract<Action, { learn: unknown }>['learn']): Buffer {
  const part = (kind: 'match' | 'load', field: Field): Buffer =>
    Buffer.concat([u16(LEARNED[kind] | bitsOf(field)), headerOf(field), u16(0), headerOf(field), u16(0)]);
  return extension(
    EXTENSION.learn,
    Buffer.concat([
      u16(idleTimeoutS),
      u16(0),
      u16(priority),
      zeros(8),
      u16(0),
      Buffer.from([table, 0]),
      u16(closedTimeoutS),
      u16(0),
      u32(limit),
      zeros(4),
      ...where.map(([field, value]) => Buffer.concat([u16(LEARNED.where | bitsOf(field)), u16(value), headerOf(field), u16(0)])),
      ...match.map((field) => part('match', field)),
      ...load.map((field) => part('load', field)),
    ]),
  );
}

/** `portOf`: number of a port by its name. */
export function actionBytes(a: Action, portOf: (name: string) => number): Buffer {
  if ('output' in a) return output(portOf(a.output));
  if ('to' in a) return output(PORTS[a.to]);
  if ('set' in a) return action(OPENFLOW.set, valueTlv(a.set, a.value));
  if ('copy' in a)
    return extension(
      EXTENSION.copy,
      Buffer.concat([u16(Math.min(bitsOf(a.copy), bitsOf(a.into))), u16(0), u16(0), headerOf(a.copy), headerOf(a.into)]),
    );
  if ('group' in a) return action(OPENFLOW.group, u32(a.group));
  if ('decrementTtl' in a) return action(OPENFLOW.decrementTtl, zeros(4));
  if ('hash' in a)
    return extension(
      EXTENSION.multipath,
      Buffer.concat([u16(CONNECTION), zeros(4), u16(MODULO), u16(a.below - 1), zeros(6), u16(Math.log2(a.below) - 1), headerOf(a.hash)]),
    );
  if ('resubmit' in a)
    return extension(EXTENSION.resubmit, Buffer.concat([u16(PORTS.inPort & 0xffff), Buffer.from([a.resubmit]), zeros(3)]));
  if ('learn' in a) return learn(a.learn);
  if ('popVlan' in a) return action(OPENFLOW.popVlan, zeros(4));
  if ('pushVlan' in a)
    return Buffer.concat([
      action(OPENFLOW.pushVlan, Buffer.concat([u16(VLAN_TYPE), zeros(2)])),
      action(OPENFLOW.set, valueTlv('vlan', a.pushVlan | TAGGED)),
    ]);
  const { zone = 0, commit, table = NO_TABLE, translate } = a.track;
  const nested =
    translate === undefined
      ? []
      : [translate === 'as before' ? extension(EXTENSION.translate, Buffer.concat([zeros(2), u16(0), u16(0)])) : translation(translate)];
  return extension(
    EXTENSION.track,
    Buffer.concat([u16(commit ? 1 : 0), u32(0), u16(zone), Buffer.from([table]), zeros(3), u16(0), ...nested]),
  );
}
