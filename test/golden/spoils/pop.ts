/** Connections that break or are served elsewhere; tables, policies and loads that are not as they should be; packets astray. */
import type { PopFile } from '../../../agents/pop/config.ts';
import type { CellEvidence } from '../../../src/evidence/cell.ts';
import type { Frame } from '../../support/pcap.ts';
import type { Line } from '../frames.ts';
import { answers, captures, logs, of, reworded, type Spoil } from './spoil.ts';

/** Of an IPv4 header behind an Ethernet header. */
const IPV4_SOURCE = 14 + 12;
const IPV4_DESTINATION = 14 + 16;

/** Rows of a client's log: service, port, from, to, fate, requests, servers, first answer, …, hash. */
type Row = (string | number)[];
const [STARTED, ENDED, FATE, SERVERS, FIRST, HASH] = [2, 3, 4, 6, 7, 9] as const;
const rows = (e: CellEvidence, folder: string, change: (row: Row, i: number) => readonly Row[]): CellEvidence => {
  let i = 0;
  return logs(folder, e, (line) =>
    line['event'] === 'connections' ? [{ ...line, list: (line['list'] as Row[]).flatMap((row) => change(row, i++)) }] : [line],
  );
};
const set = (row: Row, values: Readonly<Record<number, string | number>>): Row => row.map((v, i) => values[i] ?? v);
const serversOf = (e: CellEvidence, pop: string): string => {
  const { pops } = e.lab.systems.find((s) => s.name === 'pop')?.config as unknown as PopFile;
  const written = pops[pop]?.servers ?? '';
  return (typeof written === 'string' ? written : (written[0] ?? '')).replace(/\{(\d+)\.\.\d+\}/, '$1');
};
const served =
  (pop: string) =>
  (e: CellEvidence, folder: string): CellEvidence =>
    rows(e, folder, (row) => [set(row, { [SERVERS]: serversOf(e, pop) })]);
const tunnels = (e: CellEvidence, folder: string, change: (frame: Frame, i: number) => readonly Frame[]): CellEvidence =>
  captures(folder, e, (frames) => frames.flatMap(change));
const GRE = 47;
const protocolOf = (f: Frame): number => (f.bytes.length > 23 && f.bytes.readUInt16BE(12) === 0x0800 ? f.bytes[23]! : 0);
const isTunnel = (f: Frame): boolean =>
  protocolOf(f) === GRE || (protocolOf(f) === 17 && f.bytes.length > 38 && f.bytes.readUInt16BE(36) === 6080);
const load = (e: CellEvidence, folder: string, change: (load: number, i: number) => number): CellEvidence => {
  let i = 0;
  return logs(folder, e, (line) => (line['event'] === 'load' ? [{ ...line, load: change(line['load'] as number, i++) }] : [line]));
};
const tables = (e: CellEvidence, folder: string, change: (table: string[], n: number) => string[]): CellEvidence => {
  let n = 0;
  return logs(folder, e, (line) =>
    line['event'] === 'tables'
      ? [
          {
            ...line,
            tables: Object.fromEntries(
              Object.entries(line['tables'] as Record<string, string>).map(([s, text]) => [s, change(text.split(','), n++).join(',')]),
            ),
          },
        ]
      : [line],
  );
};
const policies = (e: CellEvidence, folder: string, change: (line: Line) => readonly Line[]): CellEvidence =>
  logs(folder, e, (line) => (line['event'] === 'policies' ? change(line) : [line]));
const packetBytes = (f: Frame, change: (bytes: Buffer) => void): Frame => {
  const bytes = Buffer.from(f.bytes);
  change(bytes);
  return { ...f, bytes };
};

export const pop: readonly Spoil[] = of('pop', [
  { name: 'connections are reset', spoil: (e, folder) => rows(e, folder, (row, i) => [i % 7 === 0 ? set(row, { [FATE]: 'reset' }) : row]) },
  { name: 'no connection breaks', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [FATE]: 'ok' })]) },
  { name: 'connections are short', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [ENDED]: (row[STARTED] as number) + 1 })]) },
  {
    name: 'connections go on for ever',
    spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [ENDED]: (row[STARTED] as number) + 100_000 })]),
  },
  { name: 'few connections', spoil: (e, folder) => rows(e, folder, (row, i) => (i % 40 === 0 ? [row] : [])) },
  ...(['a', 'b', 'c'] as const).map((name) => ({ name: `all are served by ${name}`, spoil: served(name) })),
  {
    name: 'connections are answered by two PoPs',
    spoil: (e, folder) =>
      rows(e, folder, (row, i) => [i % 9 === 0 ? set(row, { [SERVERS]: `${serversOf(e, 'a')} ${serversOf(e, 'b')}` }) : row]),
  },
  {
    name: 'shares are halves and quarters',
    spoil: (e, folder) => rows(e, folder, (row, i) => [set(row, { [SERVERS]: serversOf(e, ['a', 'a', 'b', 'c'][i % 4]!) })]),
  },
  {
    name: 'one server answers for all of its PoP',
    spoil: (e, folder) => logs(folder, e, (line, node) => (line['event'] === 'access' && /2$/.test(node) ? [] : [line])),
  },
  {
    name: 'servers see other clients',
    spoil: (e, folder) =>
      logs(folder, e, (line) =>
        line['event'] === 'access' ? [{ ...line, list: (line['list'] as Row[]).map((row) => set(row, { 2: 1 })) }] : [line],
      ),
  },
  { name: 'bodies differ', spoil: (e, folder) => rows(e, folder, (row, i) => [i % 11 === 0 ? set(row, { [HASH]: 'ffff' }) : row]) },
  {
    name: 'connections are reset early',
    spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [ENDED]: (row[STARTED] as number) + 500, [FATE]: 'reset' })]),
  },
  { name: 'connections live on', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [ENDED]: (row[ENDED] as number) + 60_000 })]) },
  {
    name: 'servers answer later, too',
    spoil: (e, folder) =>
      logs(folder, e, (line) =>
        line['event'] === 'access'
          ? [{ ...line, list: (line['list'] as Row[]).flatMap((row) => [row, set(row, { 0: (row[0] as number) + 4 })]) }]
          : [line],
      ),
  },
  {
    name: 'a tenth is served by B',
    spoil: (e, folder) => rows(e, folder, (row, i) => [set(row, { [SERVERS]: serversOf(e, i % 10 === 0 ? 'b' : 'a') })]),
  },
  {
    name: 'first answers are late at B and C',
    spoil: (e, folder) =>
      rows(e, folder, (row) => [/^s[bc]/.test(String(row[SERVERS])) ? set(row, { [FIRST]: (row[FIRST] as number) + 90 }) : row]),
  },
  { name: 'first answers are alike', spoil: (e, folder) => rows(e, folder, (row) => [set(row, { [FIRST]: 40 })]) },
  {
    name: 'policies take effect late',
    spoil: (e, folder) =>
      rows(e, folder, (row) => [set(row, { [STARTED]: (row[STARTED] as number) + 65_000, [ENDED]: (row[ENDED] as number) + 65_000 })]),
  },
  {
    name: 'tables are shuffled',
    spoil: (e, folder) => tables(e, folder, (table, n) => table.map((_, i) => table[(i + 137 * n) % table.length] as string)),
  },
  { name: 'tables never change', spoil: (e, folder) => tables(e, folder, (table) => table.map(() => '')) },
  { name: 'tables point elsewhere', spoil: (e, folder) => tables(e, folder, (table) => table.map((to) => (to === '' ? 'b' : ''))) },
  { name: 'loads are high', spoil: (e, folder) => load(e, folder, (v) => v + 0.9) },
  { name: 'loads are low', spoil: (e, folder) => load(e, folder, (v) => v * 0.2) },
  { name: 'loads swing', spoil: (e, folder) => load(e, folder, (_, i) => (Math.floor(i / 12) % 2 === 0 ? 0.1 : 0.95)) },
  {
    name: 'a first overload, then none',
    spoil: (e, folder) => {
      const rush = e.phases[0];
      return logs(folder, e, (line) =>
        line['event'] === 'load' && rush
          ? [{ ...line, load: (line['at'] as number) < Number(BigInt(rush.startedNs) / 1_000_000n) + 9500 ? 0.95 : 0.5 }]
          : [line],
      );
    },
  },
  {
    name: 'policies come and go',
    spoil: (e, folder) =>
      policies(e, folder, (line) =>
        Array.from({ length: 6 }, (_, i) => ({
          ...line,
          sentMs: (line['sentMs'] as number) + i * 700,
          policies: Object.fromEntries(
            ['a', 'b', 'c'].map((name) => [name, { one: { [name === 'a' ? 'b' : 'a']: i % 2 === 0 ? 0.3 : 0.05 } }]),
          ),
        })),
      ),
  },
  {
    name: 'the first policies stay',
    spoil: (e, folder) => {
      let n = 0;
      return policies(e, folder, (line) => (n++ === 0 ? [line] : [{ ...line, event: 'left out' }]));
    },
  },
  {
    name: 'policies of all PoPs all the time',
    spoil: (e, folder) => {
      let first = true;
      return logs(folder, e, (line, node) => {
        if (node !== 'ctl' || !first) return [line];
        first = false;
        return [line, ...everywhere(e)];
      });
    },
  },
  { name: 'no policies', spoil: (e, folder) => policies(e, folder, () => []) },
  {
    name: 'answers are wrong',
    spoil: (e) =>
      answers(
        answers(e, 'GetPolicies', (a) => reworded(a, /"":(\d+)/g, (n) => `"":${Number(n) + 9}`)),
        'PullFeedback',
        () => ({ a: { pop: 'a', version: 1, servers: {}, distanceMs: {} } }),
      ),
  },
  { name: 'nothing is tunnelled', spoil: (e, folder) => tunnels(e, folder, (f) => (isTunnel(f) ? [] : [f])) },
  {
    name: 'everything is tunnelled',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => (isTunnel(f) || protocolOf(f) === 0 ? [f] : [f, encapsulated(f, [10, 64, 3, 2], [10, 64, 4, 2])])),
  },
  {
    name: 'all travels in tunnels',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => [isTunnel(f) || protocolOf(f) === 0 ? f : encapsulated(f, [10, 64, 3, 2], [10, 64, 4, 2])]),
  },
  { name: 'nothing travels in tunnels', spoil: (e, folder) => tunnels(e, folder, (f) => [protocolOf(f) === GRE ? decapsulated(f) : f]) },
  { name: 'tunnels carry the first client', spoil: (e, folder) => tunnels(e, folder, (f) => [carrying(f, e, 'ca1')]) },
  {
    name: 'tunnels carry the second client',
    spoil: (e, folder) => tunnels(e, folder, (f) => [carrying(f, e, 'ca2'), { ...carrying(f, e, 'ca2'), seconds: f.seconds + 3 }]),
  },
  { name: 'replies go to a client of B', spoil: (e, folder) => tunnels(e, folder, (f) => [answering(f, e, 'cb')]) },
  {
    name: 'tunnels lead elsewhere',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => [isTunnel(f) ? packetBytes(f, (b) => Buffer.from([10, 9, 9, 9]).copy(b, IPV4_DESTINATION)) : f]),
  },
  {
    name: 'tunnels lead to the other PoP',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => [isTunnel(f) ? packetBytes(f, (b) => Buffer.from([10, 64, 5, 2]).copy(b, IPV4_DESTINATION)) : f]),
  },
  {
    name: 'tunnels are doubled to the other PoP',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => (isTunnel(f) ? [f, packetBytes(f, (b) => Buffer.from([10, 64, 5, 2]).copy(b, IPV4_DESTINATION))] : [f])),
  },
  {
    name: 'packets are changed on the way',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => [
        isTunnel(f) && f.bytes.length > 100
          ? packetBytes(f, (b) => {
              b[b.length - 1]! ^= 0xff;
            })
          : f,
      ]),
  },
  {
    name: 'first hops name no secondary',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => [
        protocolOf(f) === 17 && isTunnel(f)
          ? packetBytes(f, (b) => {
              b.fill(0, 14 + 20 + 8 + 4 + 4, 14 + 20 + 8 + 4 + 8);
            })
          : f,
      ]),
  },
  {
    name: 'first hops name no secondary, and point away',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) => [
        protocolOf(f) === 17 && isTunnel(f)
          ? packetBytes(f, (b) => {
              b[14 + 20 + 8 + 4 + 1]! |= 1;
              b.fill(0, 14 + 20 + 8 + 4 + 4, 14 + 20 + 8 + 4 + 8);
            })
          : f,
      ]),
  },
  {
    name: 'replies go the other way',
    spoil: (e, folder) =>
      tunnels(e, folder, (f) =>
        isTunnel(f)
          ? [f]
          : [
              f,
              packetBytes(f, (b) => {
                const source = Buffer.from(b.subarray(IPV4_SOURCE, IPV4_SOURCE + 4));
                b.copy(b, IPV4_SOURCE, IPV4_DESTINATION, IPV4_DESTINATION + 4);
                source.copy(b, IPV4_DESTINATION);
                const port = Buffer.from(b.subarray(34, 36));
                b.copy(b, 34, 36, 38);
                port.copy(b, 36);
              }),
            ],
      ),
  },
]);

/** Policies of every PoP to its neighbour, at several times of every phase. */
function everywhere(evidence: CellEvidence): Line[] {
  const shares = { a: { one: { b: 0.2 } }, b: { one: { c: 0.2 } }, c: { one: { a: 0.2 } } };
  return evidence.phases.flatMap((phase, p) =>
    [1000, 6000, 12_000].map((ms, i): Line => {
      const sentMs = Number(BigInt(phase.startedNs) / 1_000_000n) + ms;
      return { at: sentMs, level: 'info', event: 'policies', version: 1000 + 10 * p + i, sentMs, appliedMs: sentMs, policies: shares };
    }),
  );
}

const addressOf = (evidence: CellEvidence, node: string): string | undefined =>
  evidence.lab.fabric.nodes.find((n) => n.name === node)?.interfaces[0]?.addresses[0]?.split('/')[0];

/** A plain IPv4 frame as if it went to a client. */
function answering(frame: Frame, evidence: CellEvidence, client: string): Frame {
  const address = addressOf(evidence, client);
  if (isTunnel(frame) || protocolOf(frame) === 0 || address === undefined) return frame;
  return packetBytes(frame, (b) => Buffer.from(address.split('.').map(Number)).copy(b, IPV4_DESTINATION));
}

/** A tunnel's frame as if a client had sent what it carries. */
function carrying(frame: Frame, evidence: CellEvidence, client: string): Frame {
  const address = addressOf(evidence, client);
  if (!isTunnel(frame) || protocolOf(frame) !== GRE || address === undefined) return frame;
  return packetBytes(frame, (b) => Buffer.from(address.split('.').map(Number)).copy(b, IPV4_SOURCE + 20 + 4));
}

/** What a GRE tunnel's frame carries. */
const decapsulated = (frame: Frame): Frame => ({
  ...frame,
  length: frame.length - 24,
  bytes: Buffer.concat([frame.bytes.subarray(0, 14), frame.bytes.subarray(14 + 24)]),
});

/** A frame in a GRE tunnel between two addresses. */
function encapsulated(frame: Frame, from: readonly number[], towards: readonly number[]): Frame {
  const inner = frame.bytes.subarray(14);
  const outer = Buffer.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, GRE, 0, 0, ...from, ...towards]);
  outer.writeUInt16BE(24 + inner.length, 2);
  return {
    ...frame,
    length: frame.length + 24,
    bytes: Buffer.concat([frame.bytes.subarray(0, 14), outer, Buffer.from([0, 0, 8, 0]), inner]),
  };
}
