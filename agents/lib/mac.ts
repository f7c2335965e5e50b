const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The MAC address at an offset, as text: "02:00:00:00:00:01". */
export const macText = (b: Buffer, at: number): string => `${HEX[b[at] as number]}:${HEX[b[at + 1] as number]}:${HEX[b[at + 2] as number]}:${HEX[b[at + 3] as number]}:${HEX[b[at + 4] as number]}:${HEX[b[at + 5] as number]}`;

export function writeMac(b: Buffer, at: number, mac: string): void {
  for (let i = 0; i < 6; i++) b[at + i] = Number.parseInt(mac.slice(i * 3, i * 3 + 2), 16);
}
