/** Messages of OpenFlow 1.4, which has bundles: changes that a switch makes all at once. Source: its specification, section 7. Pure. */
import { actionBytes, PORTS, type Action, type SpecialPort } from './actions.ts';
import { padded, u16, u32, u64, zeros } from '../bytes.ts';
import { matchBytes, type Match } from './fields.ts';

export const VERSION = 5;
export const TYPE = {
  hello: 0,
  error: 1,
  echoRequest: 2,
  echoReply: 3,
  setConfig: 9,
  packetIn: 10,
  packetOut: 13,
  flowMod: 14,
  groupMod: 15,
  multipartRequest: 18,
  multipartReply: 19,
  barrierRequest: 20,
  barrierReply: 21,
  meterMod: 29,
  bundleControl: 33,
  bundleAdd: 34,
} as const;
export const MULTIPART = { flows: 1, portCounters: 4, ports: 13 } as const;
export const BUNDLE = { open: 0, commit: 4 } as const;
/** OFPBF_ATOMIC, OFPBF_ORDERED. */
const AT_ONCE = 3;
const [ANY, ALL_TABLES, NO_BUFFER] = [0xffffffff, 0xff, 0xffffffff];
const COMMAND = { add: 0, delete: 3, deleteStrict: 4 } as const;
const MOD = { add: 0, modify: 1, delete: 2 } as const;
const INSTRUCTION = { goto: 1, metadata: 2, apply: 4, meter: 6 } as const;
const GROUP_TYPE = { all: 0, select: 1 } as const;
/** OFPMF_KBPS; OFPMBT_DROP. */
const [KILOBITS, DROP] = [1, 1];

export interface Flow {
  readonly table: number;
  readonly priority: number;
  readonly match: Match;
  /** Tells flows apart for whoever reads their counters. */
  readonly cookie?: number;
  /** It is removed when no packet has met it for so long. */
  readonly idleTimeoutS?: number;
  /** A meter that drops what is above its rate. */
  readonly meter?: number;
  /** Nothing, and no table to go on to: drop. */
  readonly actions?: readonly Action[];
  /** Written before the packet goes on to another table. */
  readonly metadata?: number;
  readonly goto?: number;
}

/** all: a copy to each bucket. select: one of them, by the packet's flow and the weights. */
export interface Group {
  readonly id: number;
  readonly kind: keyof typeof GROUP_TYPE;
  readonly buckets: readonly { readonly weight?: number; readonly actions: readonly Action[] }[];
}

export interface Meter {
  readonly id: number;
  readonly rateBps: number;
  readonly burstBits: number;
}

export interface FlowStatistics {
  readonly table: number;
  readonly priority: number;
  readonly cookie: number;
  readonly packets: number;
  readonly bytes: number;
}

export interface PacketIn {
  readonly table: number;
  readonly cookie: number;
  /** Port that it came in by; null: not known. */
  readonly port: string | null;
  readonly frame: Buffer;
}

type PortOf = (name: string) => number;

export function message(type: number, body: Buffer, xid: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(VERSION, 0);
  header.writeUInt8(type, 1);
  header.writeUInt16BE(8 + body.length, 2);
  header.writeUInt32BE(xid, 4);
  return Buffer.concat([header, body]);
}

const instruction = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), u16(4 + body.length), body]);
const allActions = (actions: readonly Action[], portOf: PortOf): Buffer => Buffer.concat(actions.map((a) => actionBytes(a, portOf)));

function instructions({ meter, actions, metadata, goto }: Flow, portOf: PortOf): Buffer[] {
  return [
    ...(meter === undefined ? [] : [instruction(INSTRUCTION.meter, u32(meter))]),
    ...(actions === undefined ? [] : [instruction(INSTRUCTION.apply, Buffer.concat([u32(0), allActions(actions, portOf)]))]),
    ...(metadata === undefined ? [] : [instruction(INSTRUCTION.metadata, Buffer.concat([u32(0), u64(metadata), Buffer.alloc(8, 0xff)]))]),
    ...(goto === undefined ? [] : [instruction(INSTRUCTION.goto, Buffer.from([goto, 0, 0, 0]))]),
  ];
}

function flowMod(
  command: number,
  { table, priority, match, cookie = 0, idleTimeoutS = 0 }: Flow,
  more: readonly Buffer[],
  portOf: PortOf,
): Buffer {
  return Buffer.concat([
    u64(cookie),
    u64(0),
    Buffer.from([table, command]),
    u16(idleTimeoutS),
    u16(0),
    u16(priority),
    u32(NO_BUFFER),
    u32(ANY),
    u32(ANY),
    u16(0),
    u16(0),
    matchBytes(match, portOf),
    ...more,
  ]);
}

export const addFlow = (flow: Flow, portOf: PortOf): Buffer => flowMod(COMMAND.add, flow, instructions(flow, portOf), portOf);
/** Of this very match and priority. */
export const removeFlow = (flow: Flow, portOf: PortOf): Buffer => flowMod(COMMAND.deleteStrict, flow, [], portOf);
export const removeAllFlows = (): Buffer => flowMod(COMMAND.delete, { table: ALL_TABLES, priority: 0, match: {} }, [], () => ANY);

export function putGroup({ id, kind, buckets }: Group, portOf: PortOf): Buffer {
  const all = buckets.map(({ weight, actions }) => {
    const content = allActions(actions, portOf);
    return Buffer.concat([u16(16 + content.length), u16(weight ?? (kind === 'select' ? 1 : 0)), u32(ANY), u32(ANY), zeros(4), content]);
  });
  return Buffer.concat([u16(MOD.add), Buffer.from([GROUP_TYPE[kind], 0]), u32(id), ...all]);
}
export const removeGroup = (id: number): Buffer => Buffer.concat([u16(MOD.delete), zeros(2), u32(id)]);

export const putMeter = ({ id, rateBps, burstBits }: Meter): Buffer =>
  Buffer.concat([
    u16(MOD.add),
    u16(KILOBITS),
    u32(id),
    u16(DROP),
    u16(16),
    u32(Math.round(rateBps / 1000)),
    u32(Math.round(burstBits / 1000)),
    zeros(4),
  ]);
export const removeMeter = (id: number): Buffer => Buffer.concat([u16(MOD.delete), u16(KILOBITS), u32(id)]);

/** `inPort`: a port's name, or one that every switch has: as if it had come in there. */
export function packetOut(frame: Buffer, actions: readonly Action[], inPort: string, portOf: PortOf): Buffer {
  const list = allActions(actions, portOf);
  const from = Object.hasOwn(PORTS, inPort) ? PORTS[inPort as SpecialPort] : portOf(inPort);
  return Buffer.concat([u32(NO_BUFFER), u32(from), u16(list.length), zeros(6), list, frame]);
}

/** Packet-ins are sent, whole. */
export const wantPackets = (): Buffer => Buffer.concat([u16(0), u16(0xffff)]);

export const portsRequest = (): Buffer => Buffer.concat([u16(MULTIPART.ports), u16(0), zeros(4)]);

export const portCountersRequest = (): Buffer => Buffer.concat([u16(MULTIPART.portCounters), u16(0), zeros(4), u32(ANY), zeros(4)]);

/** `table`: of this one (default: all). */
export const flowsRequest = (table = ALL_TABLES): Buffer =>
  Buffer.concat([
    u16(MULTIPART.flows),
    u16(0),
    zeros(4),
    Buffer.from([table, 0, 0, 0]),
    u32(ANY),
    u32(ANY),
    zeros(4),
    u64(0),
    u64(0),
    padded(Buffer.concat([u16(1), u16(4)])),
  ]);

export const bundleControl = (id: number, type: number): Buffer => Buffer.concat([u32(id), u16(type), u16(AT_ONCE)]);
export const bundleAdd = (id: number, whole: Buffer): Buffer => Buffer.concat([u32(id), u16(0), u16(AT_ONCE), whole]);

/** Numbers of ports by name, of the parts of a reply. */
export function readPorts(parts: readonly Buffer[]): Map<string, number> {
  const ports = new Map<string, number>();
  for (const part of parts) {
    for (let at = 0; at + 40 <= part.length; at += part.readUInt16BE(at + 4))
      ports.set(part.toString('utf8', at + 16, at + 32).replace(/\0.*$/s, ''), part.readUInt32BE(at));
  }
  return ports;
}

/** Bytes that left by ports, by their numbers. */
export function readPortCounters(parts: readonly Buffer[]): Map<number, number> {
  const sent = new Map<number, number>();
  for (const part of parts)
    for (let at = 0; at + 48 <= part.length; at += part.readUInt16BE(at))
      sent.set(part.readUInt32BE(at + 4), Number(part.readBigUInt64BE(at + 40)));
  return sent;
}

export function readFlows(parts: readonly Buffer[]): FlowStatistics[] {
  return parts.flatMap((part) => {
    const flows: FlowStatistics[] = [];
    for (let at = 0; at + 48 <= part.length; at += part.readUInt16BE(at)) {
      flows.push({
        table: part.readUInt8(at + 2),
        priority: part.readUInt16BE(at + 12),
        cookie: Number(part.readBigUInt64BE(at + 24)),
        packets: Number(part.readBigUInt64BE(at + 32)),
        bytes: Number(part.readBigUInt64BE(at + 40)),
      });
    }
    return flows;
  });
}

/** `nameOf`: of a port, by its number. */
export function readPacketIn(body: Buffer, nameOf: (port: number) => string | null): PacketIn {
  const matchLength = body.readUInt16BE(18);
  const matchEnd = 16 + Math.ceil(matchLength / 8) * 8;
  // in_port is the first field of the match, where it is known.
  const hasPort = matchLength >= 12 && body.readUInt32BE(20) === 0x80000004;
  return {
    table: body.readUInt8(7),
    cookie: Number(body.readBigUInt64BE(8)),
    port: hasPort ? nameOf(body.readUInt32BE(24)) : null,
    frame: Buffer.from(body.subarray(matchEnd + 2)),
  };
}
