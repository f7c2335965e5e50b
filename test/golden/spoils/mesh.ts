/** Packets that go by other hosts, with other keys, in no tunnel, changed, late, or where none should be. */
import { dissect } from '../../../agents/mesh/results/frames.ts';
import { placesOf, whereabouts } from '../../../agents/mesh/results/places.ts';
import { ETCD_PORT } from '../../../agents/lib/etcd/server.ts';
import { BEACON_PORT } from '../../../agents/lib/probing/beacon.ts';
import { ipBytes, u16 } from '../../../agents/lib/bytes.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { Frame } from '../../support/pcap.ts';
import { anyProbes, inOrder, later, rewritten, SECOND } from './probes.ts';
import { captures, of, type Spoil } from './spoil.ts';

/** Of a VXLAN packet over IPv4. */
const [OUTER_DESTINATION, KEY, INNER] = [14 + 16, 14 + 20 + 8 + 4, 14 + 20 + 8 + 8];
const isTunnelled = (f: Frame): boolean => (dissect(f.bytes)?.inner ?? null) !== null;
const tunnelled = (f: Frame, change: (bytes: Buffer) => void): Frame => (isTunnelled(f) ? rewritten(f, change) : f);

const isControl = (f: Frame): boolean => {
  const seen = dissect(f.bytes);
  return seen !== undefined && [seen.sourcePort, seen.destinationPort].includes(ETCD_PORT);
};

/** In an Ethernet frame of IPv4. */
function packet(source: string, destination: string, protocol: number, carried: Buffer): Buffer {
  const frame = Buffer.alloc(14 + 20);
  frame.writeUInt16BE(0x0800, 12);
  frame.set([0x45, 0, ...u16(20 + carried.length), 0, 1, 0, 0, 64, protocol], 14);
  frame.set([...ipBytes(source), ...ipBytes(destination)], 26);
  return Buffer.concat([frame, carried]);
}
const datagram = (source: string, destination: string, port: number, data = Buffer.alloc(16)): Buffer =>
  packet(source, destination, 17, Buffer.concat([u16(9), u16(port), u16(8 + data.length), u16(0), data]));
/** The first of a connection. */
const opening = (source: string, destination: string, port: number): Buffer =>
  packet(source, destination, 6, Buffer.from([...u16(9), ...u16(port), 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]));

const VNID = Buffer.from([8, 0, 0, 0, 0, 0, 1, 0]);
const inTunnel = (inner: Buffer, to = '10.64.0.251'): Buffer => datagram('10.64.0.250', to, 4789, Buffer.concat([VNID, inner]));

/** Once a second, in and outside tunnels, the packet that each target asks about. */
function forged(e: CellEvidence, frames: readonly Frame[], at: string): Frame[] {
  const [first, last] = [frames[0], frames.at(-1)];
  if (!first || !last) return [];
  const places = placesOf(e);
  const wanted = e.lab.targets.map((t): Readonly<Record<string, unknown>> => ({ ...t })).filter((t) => [t['capture']].flat().includes(at));
  return wanted.flatMap((t) => {
    const text = (key: string, otherwise: string): string => (typeof t[key] === 'string' ? t[key] : otherwise);
    const [source, destination] = [text('source', '10.2.0.1'), text('destination', '10.1.0.1')];
    if (source.includes(':') || destination.includes(':')) return [];
    const kind = t['metric'] === 'begun' ? opening : datagram;
    const inner = kind(source, destination, typeof t['port'] === 'number' ? t['port'] : BEACON_PORT);
    const [to] = [...places].find(([, name]) => name === t['via']) ?? [];
    return Array.from({ length: 2 * (last.seconds - first.seconds) }, (_, i) =>
      [inner, inTunnel(inner, to)].map((bytes) => later({ ...first, bytes, length: bytes.length }, (i * SECOND) / 2)),
    ).flat();
  });
}

/** Port of a TCP segment over IPv4 whose other one is this. */
const otherPortAt = (f: Frame, port: number): number => (dissect(f.bytes)?.destinationPort === port ? 14 + 20 : 14 + 22);

export const mesh: readonly Spoil[] = of('mesh', [
  ...anyProbes,
  {
    name: 'every other packet of the control plane is of another session',
    spoil: (e, folder) =>
      captures(folder, e, (frames) =>
        frames.map((f, i) => (i % 2 === 0 && isControl(f) ? rewritten(f, (b) => b.writeUInt16BE(9, otherPortAt(f, ETCD_PORT))) : f)),
      ),
  },
  {
    name: 'packets go by another host',
    spoil: (e, folder) =>
      captures(folder, e, (frames) =>
        frames.map((f) => tunnelled(f, (b) => b.writeUInt8(b.readUInt8(OUTER_DESTINATION + 3) ^ 7, OUTER_DESTINATION + 3))),
      ),
  },
  {
    name: 'packets go directly, by no gateway',
    spoil: (e, folder) => {
      const addresses = new Map([...placesOf(e)].map(([address, name]) => [name, address]));
      const hosts = whereabouts(e, e.phases[0]!);
      return captures(folder, e, (frames) =>
        frames.map((f) => {
          const to = hosts.get(dissect(f.bytes)?.inner?.destination ?? '')?.stays.at(-1)?.host;
          const address = addresses.get(to ?? '');
          return address === undefined ? f : rewritten(f, (b) => b.set(ipBytes(address), OUTER_DESTINATION));
        }),
      );
    },
  },
  {
    name: 'every other packet goes by another host',
    spoil: (e, folder) =>
      captures(folder, e, (frames) =>
        frames.map((f, i) =>
          i % 2 === 0 ? f : tunnelled(f, (b) => b.writeUInt8(b.readUInt8(OUTER_DESTINATION + 3) ^ 7, OUTER_DESTINATION + 3)),
        ),
      ),
  },
  {
    name: 'keys are of another network',
    spoil: (e, folder) =>
      captures(folder, e, (frames) => frames.map((f) => tunnelled(f, (b) => b.writeUInt8(b.readUInt8(KEY + 2) ^ 1, KEY + 2)))),
  },
  {
    name: 'packets leave their tunnels',
    spoil: (e, folder) =>
      captures(folder, e, (frames) =>
        frames.map((f, i) => (i % 2 === 0 && isTunnelled(f) ? { ...f, bytes: f.bytes.subarray(INNER), length: f.length - INNER } : f)),
      ),
  },
  {
    name: 'packets are changed on their way',
    spoil: (e, folder) =>
      captures(folder, e, (frames, at) =>
        at.startsWith('b1:') ? frames.map((f) => rewritten(f, (b) => b.length > 20 && b.writeUInt8(b.readUInt8(19) ^ 1, 19))) : frames,
      ),
  },
  {
    name: 'the control plane says a hundred times as much',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.flatMap((f) => Array.from({ length: isControl(f) ? 100 : 1 }, () => f))),
  },
  {
    name: 'the control plane says next to nothing',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.filter((f) => !isControl(f) || f.length < 100)),
  },
  {
    name: 'no probe arrives',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.filter((f) => dissect(f.bytes)?.destinationPort !== BEACON_PORT)),
  },
  {
    name: 'packets come two seconds later',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.map((f) => later(f, 2 * SECOND))),
  },
  {
    name: 'packets are where none should be',
    spoil: (e, folder) => captures(folder, e, (frames, at) => inOrder([...frames, ...forged(e, frames, at)])),
  },
]);
