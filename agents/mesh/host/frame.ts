/** Addresses of a frame that no flow knew. Pure. */
import { addressFromBytes, type Address } from '../../lib/prefix.ts';

const [IPV4, IPV6] = [0x0800, 0x86dd];

export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

/** undefined: it is no IP packet, or less than a header of it. */
export function endsOf(frame: Buffer): Ends | undefined {
  if (frame.length < 34) return undefined;
  const at = (from: number, bytes: number): Address => addressFromBytes(frame.subarray(from, from + bytes));
  switch (frame.readUInt16BE(12)) {
    case IPV4:
      return { source: at(26, 4), destination: at(30, 4) };
    case IPV6:
      return frame.length < 54 ? undefined : { source: at(22, 16), destination: at(38, 16) };
    default:
      return undefined;
  }
}
