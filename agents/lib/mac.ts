/** The MAC address at an offset, as text: "02:00:00:00:00:01". */
export const macText = (bytes: Buffer, at: number): string => [...bytes.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
