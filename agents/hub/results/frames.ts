/** Captures of a lab with a hub, frame by frame: packets of networks, and what AINs and DMNs say to each other. */
import { ipToText } from '../../../src/capture/headers.ts';
import { frameReader, type Timed } from '../../lib/frames.ts';
import { WIREGUARD_PORT } from '../../lib/wireguard.ts';
import { questionOf } from '../names/message.ts';
import { macText } from '../../lib/mac.ts';
import { BEACON_PORT } from '../../lib/probing/beacon.ts';
import { AIN_PORT, DMN_PORT, HEADER_BYTES, MESSAGES, readFlow, type Flow } from '../decision/wire.ts';

const [ETHERNET, IPV4, UDP, TCP, ICMP] = [14, 20, 17, 6, 1];
const NAMES_PORT = 53;

/** Between an AIN and a DMN. */
export interface Message {
  readonly type: keyof typeof MESSAGES;
  readonly sender: number;
  /** Of the query that it is, or answers. */
  readonly query: string;
  /** null: it has none. */
  readonly flow: Flow | null;
  /** Of a probe's answer: version of the metadata that the DMN has. */
  readonly version: bigint | null;
  /** Of an action: bytes of the whole, and where these begin. */
  readonly segment: { readonly total: number; readonly offset: number } | null;
}

/** What a datagram carries. */
export interface CapturedData {
  /** Hexadecimal, as far as they were captured. */
  readonly bytes: string;
  readonly isWhole: boolean;
}

/** An IPv4 packet, as a frame carried it. */
interface Seen {
  readonly from: string;
  readonly to: string;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** The same at every place that a packet passes, and of no other packet near it. */
  readonly identity: string;
  readonly ttl: number;
  /** Of IP, on the wire. */
  readonly bytes: number;
  readonly message: Message | null;
  /** A message of WireGuard, between its ports. */
  readonly isTunnelled: boolean;
  /** Of a datagram to a beacon. */
  readonly data: CapturedData | null;
  /** The name that a question to a name server by UDP asks for, in small letters. */
  readonly question: string | null;
  /** Of a name server's answer by UDP. */
  readonly answer: CapturedData | null;
}

/** undefined: no IPv4, or less than a header of it. */
export function dissect(frame: Buffer, length: number): Seen | undefined {
  if (frame.length < ETHERNET + IPV4 || frame.readUInt16BE(12) !== 0x0800) return undefined;
  const ip = frame.subarray(ETHERNET);
  const header = ((ip[0] as number) & 0x0f) * 4;
  if (header < IPV4 || ip.length < header) return undefined;
  const protocol = ip[9] as number;
  const isFirst = (ip.readUInt16BE(6) & 0x1fff) === 0;
  const carried = ip.subarray(header);
  const hasPorts = isFirst && (protocol === UDP || protocol === TCP) && carried.length >= 4;
  const isDatagram = protocol === UDP && isFirst;
  const data = (): CapturedData => ({ bytes: carried.toString('hex', 8), isWhole: frame.length === length });
  const [sourcePort, destinationPort] = hasPorts ? [carried.readUInt16BE(0), carried.readUInt16BE(2)] : [0, 0];
  return {
    to: macText(frame, 0),
    from: macText(frame, 6),
    source: ipToText(ip.readUInt32BE(12)),
    destination: ipToText(ip.readUInt32BE(16)),
    protocol,
    sourcePort,
    destinationPort,
    identity: `${protocol} ${ip.readUInt16BE(4)} ${sourcePort} ${destinationPort} ${protocol === ICMP ? carried.toString('hex', 0, 8) : protocol === TCP ? carried.toString('hex', 4, 14) : ''}`,
    ttl: ip[8] as number,
    bytes: length - ETHERNET,
    message: isDatagram && isOfHub(sourcePort, destinationPort) ? messageOf(carried.subarray(8)) : null,
    question: isDatagram && destinationPort === NAMES_PORT ? (questionOf(carried.subarray(8)) ?? null) : null,
    isTunnelled: isDatagram && [sourcePort, destinationPort].every((p) => p === WIREGUARD_PORT) && isWireguard(carried.subarray(8)),
    data: isDatagram && destinationPort === BEACON_PORT ? data() : null,
    answer: isDatagram && sourcePort === NAMES_PORT ? data() : null,
  };
}

export type SeenFrame = Timed<Seen>;

export const framesAt = frameReader(dissect);

/** Its type, 1 to 4, and three bytes of zero. */
const isWireguard = (b: Buffer): boolean => b.length >= 4 && b.readUInt32LE(0) >= 1 && b.readUInt32LE(0) <= 4;

const isOfHub = (sourcePort: number, destinationPort: number): boolean =>
  (sourcePort === AIN_PORT && destinationPort === DMN_PORT) || (sourcePort === DMN_PORT && destinationPort === AIN_PORT);

function messageOf(b: Buffer): Message | null {
  const type = (Object.keys(MESSAGES) as (keyof typeof MESSAGES)[]).find((name) => MESSAGES[name] === b[1]);
  if (b.length < HEADER_BYTES || type === undefined) return null;
  const payload = b.subarray(HEADER_BYTES);
  const flow = type === 'probe' || type === 'probed' ? null : (readFlow(payload) ?? null);
  const place = payload.subarray(44, 48);
  return {
    type,
    version: type === 'probed' && payload.length >= 8 ? payload.readBigUInt64BE(0) : null,
    sender: b.readUInt32BE(4),
    query: b.toString('hex', 8, HEADER_BYTES),
    flow,
    segment: type === 'action' && place.length === 4 ? { total: place.readUInt16BE(0), offset: place.readUInt16BE(2) } : null,
  };
}
