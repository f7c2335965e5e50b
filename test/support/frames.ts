/** Frames by hand, for what takes frames. */

const octets = (address: string): number[] => address.split('.').map(Number);

/** IPv4 without options, its checksum left out. */
export function ipv4(protocol: number, source: string, destination: string, payload: Buffer): Buffer {
  const header = Buffer.from([0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0, ...octets(source), ...octets(destination)]);
  header.writeUInt16BE(20 + payload.length, 2);
  return Buffer.concat([header, payload]);
}

export const ethernet = (ip: Buffer): Buffer => Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]), ip]);

export const SYN = 0x02;
export const ACK = 0x10;

export function tcp(sourcePort: number, destinationPort: number, flags = SYN): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(sourcePort);
  segment.writeUInt16BE(destinationPort, 2);
  segment[12] = 0x50;
  segment[13] = flags;
  return segment;
}

export const synFrame = (source: string, sourcePort: number, destination: string, destinationPort: number): Buffer =>
  ethernet(ipv4(6, source, destination, tcp(sourcePort, destinationPort)));

export interface Hop {
  readonly flags?: number;
  readonly target?: string;
  readonly previous?: string;
  readonly handoff?: string;
}

/** A first hop of the PoP system (agents/pop/native/forward.bpf.c), with a packet in it. */
export function firstHop(
  from: string,
  to: string,
  { flags = 0, target = '0.0.0.0', previous = '0.0.0.0', handoff = '0.0.0.0' }: Hop,
  inner: Buffer,
): Buffer {
  const data = Buffer.from([0, flags, 0, 9, ...octets(target), ...octets(previous), 0, 0, 0, 0, ...octets(handoff)]);
  const payload = Buffer.concat([Buffer.from([0xc0, 1, 0x17, 0xc0, 0, 0, 0, 0, 5, 4, 0, 0]), data, inner]);
  payload.writeUInt16BE(payload.length, 4);
  return ethernet(ipv4(17, from, to, payload));
}
