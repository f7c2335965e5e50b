/** Writes captures in every dialect that the reader must read. */
export interface Frame {
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly length: number;
  readonly bytes: Buffer;
}

/** Ethernet frames: TCP, UDP, ARP, VLAN, fragments, IPv6; deterministic. */
export function sampleFrames(count: number): Frame[] {
  return Array.from({ length: count }, (_, i): Frame => {
    const bytes = Buffer.alloc(64);
    bytes.writeUIntBE(0x020000000001, 0, 6);
    bytes.writeUIntBE(0x020000000100 + (i & 15), 6, 6);
    const kind = i % 6;
    let at = 12;
    if (kind === 3) {
      bytes.writeUInt16BE(0x8100, 12);
      bytes.writeUInt16BE(7, 14);
      at = 16;
    }
    if (kind === 2) bytes.writeUInt16BE(0x88b5, at);
    else if (kind === 5) {
      bytes.writeUInt16BE(0x86dd, at);
      bytes.writeUInt8(0x60, at + 2);
      bytes.writeUInt16BE(8, at + 6);
      bytes.writeUInt8(17, at + 8);
      bytes.writeUInt16BE(1000 + i, at + 42);
      bytes.writeUInt16BE(2000, at + 44);
      if (at + 48 <= 64) bytes.writeUInt16BE(8, at + 46);
    } else {
      bytes.writeUInt16BE(0x0800, at);
      bytes.writeUInt8(0x45, at + 2);
      bytes.writeUInt16BE(40, at + 4);
      if (kind === 4) bytes.writeUInt16BE(100, at + 8); // a later fragment has no ports
      bytes.writeUInt8(64, at + 10);
      bytes.writeUInt8(kind === 1 ? 17 : 6, at + 11);
      bytes.writeUInt32BE(0x0a400001, at + 14);
      bytes.writeUInt32BE(0x0a400002 + i, at + 18);
      bytes.writeUInt16BE(1000 + i, at + 22);
      bytes.writeUInt16BE(5201, at + 24);
      if (kind === 1) bytes.writeUInt16BE(20, at + 26);
      else bytes.writeUInt8(0x50, at + 34);
    }
    return { seconds: 1_795_000_000 + i, nanoseconds: (i * 7_654_321) % 1_000_000_000, length: 64 + i, bytes };
  });
}

export function classicPcap(frames: readonly Frame[], { littleEndian, nano }: { littleEndian: boolean; nano: boolean }): Buffer {
  const u32 = (value: number) => {
    const b = Buffer.alloc(4);
    if (littleEndian) b.writeUInt32LE(value >>> 0);
    else b.writeUInt32BE(value >>> 0);
    return b;
  };
  const version = littleEndian ? Buffer.from([2, 0, 4, 0]) : Buffer.from([0, 2, 0, 4]);
  const header = [u32(nano ? 0xa1b23c4d : 0xa1b2c3d4), version, u32(0), u32(0), u32(1 << 24), u32(1)];
  return Buffer.concat([
    ...header,
    ...frames.flatMap((f) => [
      u32(f.seconds),
      u32(nano ? f.nanoseconds : Math.floor(f.nanoseconds / 1000)),
      u32(f.bytes.length),
      u32(Math.max(f.length, f.bytes.length)),
      f.bytes,
    ]),
  ]);
}

/** `resolution` as if_tsresol writes it: a power of ten, or with the high bit a power of two. */
export function pcapng(frames: readonly Frame[], { littleEndian, resolution }: { littleEndian: boolean; resolution: number }): Buffer {
  const u16 = (value: number) => {
    const b = Buffer.alloc(2);
    if (littleEndian) b.writeUInt16LE(value);
    else b.writeUInt16BE(value);
    return b;
  };
  const u32 = (value: number) => {
    const b = Buffer.alloc(4);
    if (littleEndian) b.writeUInt32LE(value >>> 0);
    else b.writeUInt32BE(value >>> 0);
    return b;
  };
  const padded = (b: Buffer) => Buffer.concat([b, Buffer.alloc((4 - (b.length % 4)) % 4)]);
  const block = (type: number, body: Buffer) => Buffer.concat([u32(type), u32(body.length + 12), body, u32(body.length + 12)]);
  const ticksPerSecond = resolution & 0x80 ? 1n << BigInt(resolution & 0x7f) : 10n ** BigInt(resolution);
  const section = block(0x0a0d0d0a, Buffer.concat([u32(0x1a2b3c4d), u16(1), u16(0), u32(0xffffffff), u32(0xffffffff)]));
  const itf = block(1, Buffer.concat([u16(1), u16(0), u32(0), u16(9), u16(1), Buffer.from([resolution, 0, 0, 0]), u16(0), u16(0)]));
  const unknown = block(0x0bad, Buffer.alloc(8));
  return Buffer.concat([
    section,
    itf,
    unknown,
    ...frames.map((f) => {
      const ticks = BigInt(f.seconds) * ticksPerSecond + (BigInt(f.nanoseconds) * ticksPerSecond) / 1_000_000_000n;
      return block(
        6,
        Buffer.concat([
          u32(0),
          u32(Number(ticks >> 32n)),
          u32(Number(ticks & 0xffffffffn)),
          u32(f.bytes.length),
          u32(Math.max(f.length, f.bytes.length)),
          padded(f.bytes),
        ]),
      );
    }),
  ]);
}
