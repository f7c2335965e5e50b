/** Packets of a capture point that match a description: what must not be there, or must. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { emptyHeaders, ipToText, readHeaders } from '../../capture/headers.ts';
import { readCapture } from '../../capture/reader.ts';
import { ipv4, opt } from '../../core/config/parts.ts';
import { defectOf, startNsIn } from '../../evidence/captures.ts';
import type { KeysOf } from '../../topology/checks.ts';
import type { TargetFile } from '../../topology/target.ts';
import { missing, type Check } from '../check.ts';
import { needsCapture } from '../problems.ts';

const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;

const keys = {
  capture: Type.String({
    description: 'Capture point "node:interface" whose packets are counted; those that its filter and direction leave out are not.',
  }),
  protocol: opt(Type.Enum(['tcp', 'udp', 'icmp'], { description: 'Only of this protocol.' })),
  source: opt(ipv4('Only from this address.')),
  destination: opt(ipv4('Only to this address.')),
  port: opt(Type.Integer({ minimum: 0, maximum: 65_535, description: 'Only to this port.' })),
};

const NAME = 'packets';
/** A target of this check. */
export type PacketsTarget = TargetFile & KeysOf<typeof keys>;
export const isPackets = (target: TargetFile): target is PacketsTarget => target.check === NAME;

export const packets: Check<KeysOf<typeof keys>> = {
  name: NAME,
  keys,
  unit: () => 'count',
  problems: ({ capture }, lab) => needsCapture(capture, lab),
  figures(target, evidence, phase, { fromUs, toUs }) {
    const record = evidence.captures.find((c) => c.at === target.capture);
    if (!record) return missing(`no capture at ${target.capture}`);
    const defect = defectOf(record);
    if (defect !== undefined) return missing(`the capture at ${target.capture} is incomplete: ${defect}`);
    const startNs = startNsIn(record, phase);
    const headers = emptyHeaders();
    let [all, count] = [0, 0];
    let last: number | undefined;
    readCapture(join(evidence.folder, record.file), (packet) => {
      all += 1;
      const atUs = Number(BigInt(packet.seconds) * 1_000_000_000n + BigInt(packet.nanoseconds) - startNs) / 1000;
      if (atUs < fromUs || atUs >= toUs || !readHeaders(packet, headers)) return;
      const { protocol, source, destination, port } = target;
      if (protocol !== undefined && headers.protocol !== PROTOCOLS[protocol]) return;
      if (port !== undefined && headers.destinationPort !== port) return;
      if (source !== undefined && ipToText(headers.sourceIp) !== source) return;
      if (destination !== undefined && ipToText(headers.destinationIp) !== destination) return;
      count += 1;
      last = atUs;
    });
    // One that shows nothing at all can't be told from one that does not work.
    if (all === 0) return missing(`the capture at ${target.capture} holds no packet`);
    return { kind: 'exact', value: count, ...(last === undefined ? {} : { detail: `the last at ${(last / 1e6).toFixed(3)} s` }) };
  },
};
