/** What can go wrong with any evidence: it ended early, is empty, incomplete, of tools that failed, of other figures. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseDurationUs } from '../../../src/core/units.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import { isPackets } from '../../../src/checks/builtin/packets.ts';
import type { Frame } from '../../support/pcap.ts';
import { captures, counters, flows, requests, type Spoil } from './spoil.ts';

export const general: readonly Spoil[] = [
  { name: 'the run ended early', spoil: (e) => ({ ...e, voided: ['the run ended before this repeat was complete'] }) },
  { name: 'captures emptied', spoil: (e, folder) => captures(folder, e, () => []) },
  {
    name: 'captures hold what they must not',
    spoil: (e, folder) =>
      captures(folder, e, (frames, at) =>
        [...frames, ...counted(e, at)].sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds),
      ),
  },
  {
    name: 'captures hold nothing of what is counted',
    spoil: (e, folder) =>
      captures(folder, e, (frames, at) => (counted(e, at).length === 0 ? frames : frames.map((f) => ({ ...f, bytes: Buffer.alloc(60) })))),
  },
  { name: 'captures dropped packets', spoil: (e) => ({ ...e, captures: e.captures.map((c) => ({ ...c, droppedByKernel: 7 })) }) },
  {
    name: 'logs cut',
    spoil: (e, folder) => {
      rmSync(join(folder, 'agents'), { recursive: true, force: true });
      return e;
    },
  },
  {
    name: 'clocks unknown',
    spoil: (e) => ({
      ...e,
      clocks: { reference: 'left', sync: 'ptp', maxOffsetUs: 10_000, samples: [{ machine: 'local', atMs: 0, clock: null }] },
    }),
  },
  {
    name: 'tools failed',
    spoil: (e) =>
      flows(e, ({ flow, started, seconds }) => ({
        flow,
        started,
        seconds,
        ok: false,
        error: 'it ended early',
        receivedBytes: 0,
        intervals: [],
      })),
  },
  {
    name: 'nothing arrives',
    spoil: (e) =>
      flows(e, (f) => ({
        ...f,
        receivedBytes: 0,
        intervals: f.intervals.map((i) => ({ ...i, rateBps: 0 })),
        ...(f.rttUs ? { rttUs: f.rttUs.map(() => null) } : {}),
        ...(f.datagrams ? { datagrams: f.datagrams.map((d) => ({ ...d, lost: d.sent })) } : {}),
      })),
  },
  {
    name: 'everything arrives',
    spoil: (e) => flows(e, (f) => ({ ...f, ok: true, receivedBytes: 1_000_000, rttUs: f.rttUs?.map((rtt) => rtt ?? 500) ?? [500] })),
  },
  {
    name: 'the last phase is slow',
    spoil: (e) =>
      flows(e, (f, phase) =>
        phase === e.phases.length - 1 && f.rttUs ? { ...f, rttUs: f.rttUs.map((rtt) => (rtt === null ? null : rtt * 5 + 30_000)) } : f,
      ),
  },
  { name: 'everything is quick', spoil: (e) => flows(e, (f) => (f.rttUs ? { ...f, rttUs: f.rttUs.map((_, i) => 500 + (i % 10)) } : f)) },
  { name: 'everything is slow', spoil: (e) => flows(e, (f) => (f.rttUs ? { ...f, rttUs: f.rttUs.map((_, i) => 90_000 + (i % 10)) } : f)) },
  { name: 'counters are zero', spoil: (e) => counters(e, () => 0) },
  { name: 'counters are one', spoil: (e) => counters(e, () => 1) },
  { name: 'counters are higher', spoil: (e) => counters(e, (v) => v + 1_000_000) },
  { name: 'counters are missing', spoil: (e) => ({ ...e, agents: e.agents.map((a) => ({ ...a, counters: {} })) }) },
  {
    name: 'requests have other results',
    spoil: (e) =>
      requests(e, ({ outcome }) => ({
        state: 'refused',
        code: outcome.state === 'refused' ? 'SomethingElse' : 'Unreachable',
        answer: outcome.answer,
      })),
  },
  { name: 'nothing was asked', spoil: (e) => ({ ...e, events: {} }) },
];

const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;

/** Packets of each kind that is counted at a capture point, at the start of its window. */
function counted(evidence: CellEvidence, at: string): Frame[] {
  return evidence.lab.targets
    .filter(isPackets)
    .filter((t) => t.capture === at)
    .flatMap((target): Frame[] => {
      const phase = evidence.phases.find((p) => p.phase === target.phase) ?? evidence.phases.at(-1);
      if (!phase) return [];
      const ns =
        BigInt(phase.startedNs) + BigInt(Math.round((target.from === undefined ? 0 : parseDurationUs(target.from)) * 1000)) + 1_000_000n;
      const bytes = Buffer.alloc(60);
      const address = (text = '192.0.2.1'): number[] => text.split('.').map(Number);
      Buffer.from([0x08, 0x00, 0x45]).copy(bytes, 12);
      bytes[23] = PROTOCOLS[target.protocol ?? 'udp'];
      Buffer.from([...address(target.source), ...address(target.destination)]).copy(bytes, 26);
      bytes.writeUInt16BE(target.port ?? 0, 36);
      return [{ seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n), length: bytes.length, bytes }];
    });
}
