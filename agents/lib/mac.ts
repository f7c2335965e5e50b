const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The MAC address at an offset, as text: "02:00:00:00:00:01". */
export const macText = (b: Buffer, at: number): string =>
  `${HEX[b[at] as number]}:${HEX[b[at + 1] as number]}:${HEX[b[at + 2] as number]}:${HEX[b[at + 3] as number]}:${HEX[b[at + 4] as number]}:${HEX[b[at + 5] as number]}`;

/** The same as a number, for use as a key. */
export const macNumber = (b: Buffer, at: number): number => b.readUIntBE(at, 6);

const numbers = new Map<string, number>();

export function writeMac(b: Buffer, at: number, mac: string): void {
  let number = numbers.get(mac);
  if (number === undefined) numbers.set(mac, (number = Number.parseInt(mac.replaceAll(':', ''), 16)));
  b.writeUIntBE(number, at, 6);
}
