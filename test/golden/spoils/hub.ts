/** Hosts that are not answered, or by others; packets that go other ways, to others, later, or by more decisions than they need. */
import { join } from 'node:path';
import { HEADER_BYTES } from '../../../agents/hub/decision/wire.ts';
import { branchMac, isBranch } from '../../../agents/hub/model.ts';
import { dissect } from '../../../agents/hub/results/frames.ts';
import { macText } from '../../../agents/lib/mac.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { Frame } from '../../support/pcap.ts';
import { readFrames } from '../frames.ts';
import { anyProbes, inOrder, later, rewritten } from './probes.ts';
import { answers, captures, of, reworded, type Spoil } from './spoil.ts';

const messageType = (f: Frame): string | undefined => dissect(f.bytes, f.length)?.message?.type;
/** Of an IPv4 header behind an Ethernet header. */
const SOURCE = 14 + 12;

/** Of an answer to a probe, behind its header. */
const VERSION = 14 + 20 + 8 + HEADER_BYTES;
/** Data of a datagram. */
const WIREGUARD = 14 + 20 + 8;
/** Frames of the captures between the ends of tunnels. */
const readTunnelled = (e: CellEvidence, folder: string): Frame[] =>
  inOrder(e.captures.filter((c) => c.at.endsWith(':wan')).flatMap((c) => readFrames(join(folder, c.file))));

/** Names of one zone, "b.example", in questions become those of another one. */
const zones = (e: CellEvidence, folder: string, from: string, to: string): CellEvidence =>
  captures(folder, e, (frames) =>
    frames.map((f) => {
      const at = f.bytes.indexOf(`\x01${from}\x07example`);
      return at < 0 ? f : rewritten(f, (b) => b.write(to, at + 1));
    }),
  );

export const hub: readonly Spoil[] = of('hub', [
  ...anyProbes,
  {
    name: 'what one decision node is asked, all are asked',
    spoil: (e, folder) => {
      const points = e.captures.filter((c) => /^d[0-9]+:/.test(c.at));
      const all = inOrder(points.flatMap((c) => readFrames(join(folder, c.file))));
      return captures(folder, e, (frames, at) => (points.some((c) => c.at === at) ? all : frames));
    },
  },
  {
    name: 'metrics are twice what they are',
    spoil: (e) => answers(e, 'GetMetrics', (answer) => reworded(answer, /"in":([0-9]+)/g, (count) => `"in":${2 * Number(count)}`)),
  },
  {
    name: 'half of the packets of a flow stray',
    spoil: (e) => {
      let told = 0;
      return answers(e, 'GetMetrics', (answer) =>
        reworded(answer, /"strayed":([0-9]+)/g, (count) => `"strayed":${Number(count) + told++}`),
      );
    },
  },
  {
    name: 'every query is asked twice',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.flatMap((f) => (messageType(f) === 'query' ? [f, f] : [f]))),
  },
  { name: 'nothing is asked', spoil: (e, folder) => captures(folder, e, (frames) => frames.filter((f) => messageType(f) !== 'query')) },
  {
    name: 'actions come late',
    spoil: (e, folder) => captures(folder, e, (frames) => inOrder(frames.map((f) => (messageType(f) === 'action' ? later(f, 5e6) : f)))),
  },
  {
    name: 'answers to probes tell one version',
    spoil: (e, folder) =>
      captures(folder, e, (frames) =>
        frames.map((f) => (messageType(f) === 'probed' ? rewritten(f, (b) => b.writeBigUInt64BE(1n, VERSION)) : f)),
      ),
  },
  {
    name: 'actions come in one piece',
    spoil: (e, folder) =>
      captures(folder, e, (frames) => frames.filter((f) => (dissect(f.bytes, f.length)?.message?.segment?.offset ?? 0) === 0)),
  },
  {
    name: 'packets stay in AINs',
    spoil: (e, folder) =>
      captures(folder, e, (frames) =>
        inOrder(frames.map((f) => (isBranch(macText(f.bytes, 0)) || messageType(f) !== undefined ? f : later(f, 50e6)))),
      ),
  },
  {
    name: 'packets are handed over',
    spoil: (e, folder) => {
      const { mac = '' } = e.lab.fabric.nodes.find((n) => n.name === 'a2')?.interfaces[0] ?? {};
      return captures(folder, e, (frames) =>
        frames.map((f) => rewritten(f, (b) => b.write(`${branchMac(1, 1)}${mac}`.replaceAll(':', ''), 0, 'hex'))),
      );
    },
  },
  {
    name: 'packets go to a node of another cell',
    spoil: (e, folder) => {
      const { mac = '' } = e.lab.fabric.nodes.find((n) => n.name === 'a1')?.interfaces[0] ?? {};
      return captures(folder, e, (frames) =>
        frames.map((f, i) => (i % 10 === 0 ? rewritten(f, (b) => b.write(`${branchMac(3, 1)}${mac}`.replaceAll(':', ''), 0, 'hex')) : f)),
      );
    },
  },
  {
    name: 'packets are not handed over',
    spoil: (e, folder) => captures(folder, e, (frames) => frames.map((f) => rewritten(f, (b) => b.fill(0x06, 6, 12)))),
  },
  {
    name: 'every packet has a source of its own',
    spoil: (e, folder) =>
      captures(folder, e, (frames) => frames.map((f, i) => rewritten(f, (b) => b.length > SOURCE + 4 && b.writeUInt32BE(i, SOURCE)))),
  },
  {
    name: 'answers of name servers are reworded on their way',
    spoil: (e, folder) =>
      captures(folder, e, (frames, at) =>
        at.startsWith('b1:') ? frames.map((f) => rewritten(f, (b) => b.writeUInt8((b.at(-1) ?? 0) ^ 1, b.length - 1))) : frames,
      ),
  },
  {
    name: 'a tunnel lets packets through as they are',
    spoil: (e, folder) =>
      captures(folder, e, (frames) => frames.map((f, i) => (i % 2 === 0 ? rewritten(f, (b) => b.fill(0x45, WIREGUARD)) : f))),
  },
  {
    name: 'everything is in a tunnel',
    spoil: (e, folder) => captures(folder, e, (frames, at) => (at.endsWith(':site') ? readTunnelled(e, folder) : frames)),
  },
  {
    name: 'questions for names of addresses come as they were asked',
    spoil: (e, folder) =>
      captures(folder, e, (frames) => {
        const asked = frames.find((f) => f.bytes.includes('\x017\x0212\x07in-addr'));
        return frames.map((f) => (asked && f.bytes.includes('\x07in-addr') ? { ...f, bytes: asked.bytes, length: asked.length } : f));
      }),
  },
  { name: 'every name is of the first zone', spoil: (e, folder) => zones(e, folder, 'c', 'b') },
  { name: 'no name is of the first zone', spoil: (e, folder) => zones(e, folder, 'b', 'c') },
]);
