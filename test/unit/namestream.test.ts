/** Answers of name servers over TCP: segments in, segments of the same place and length out. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import { failure, padded, translateAnswer } from '../../agents/hub/names/message.ts';
import { AnswerStream, AnswerStreams } from '../../agents/hub/names/stream.ts';
import { asReset, segmentOf, withSegmentData } from '../../agents/hub/names/segment.ts';
import { sum } from '../../agents/lib/ip.ts';
import { A, bytes, message, POINTER, record, seen, u16 } from '../support/dns.ts';

const framed = (...messages: readonly Buffer[]): Buffer => Buffer.concat(messages.flatMap((m) => [u16(m.length), m]));
const translate = (m: Buffer): Buffer | undefined => {
  const outcome = translateAnswer(m, seen, 30);
  return outcome.kind === 'changed' ? padded(outcome.message, m.length) : outcome.kind === 'same' ? m : undefined;
};
const LONG = message([A, ...Array.from({ length: 90 }, (_, i) => record(POINTER, 1, bytes(`192.168.1.${i + 1}`)))]);
const ANSWERS = [message([A]), LONG, message([record(POINTER, 1, bytes('9.9.9.9'))])];
const [SENT, WANTED] = [framed(...ANSWERS), framed(...ANSWERS.map((m) => translate(m)!))];
const FIRST = 0xffff_ff00;
const part = (from: number, to: number) => ({ sequence: (FIRST + from) >>> 0, opens: false, data: SENT.subarray(from, to) });

test('a stream cut anywhere comes out with every byte in its place, however often a segment is sent again', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: SENT.length - 1 }), { maxLength: 12 }),
      fc.array(fc.nat(30), { maxLength: 20 }),
      (cuts, again) => {
        const ends = [...new Set([...cuts, SENT.length])].sort((a, b) => a - b);
        const segments = ends.map((end, i) => part(ends[i - 1] ?? 0, end));
        const stream = new AnswerStream(FIRST);
        const out = Buffer.alloc(SENT.length);
        const put =
          ({ sequence }: { sequence: number }) =>
          (data: Buffer): void =>
            void data.copy(out, (sequence - FIRST) >>> 0);
        const passed: typeof segments = [];
        let waiting: typeof segments = [];
        segments.forEach((segment, i) => {
          waiting.push(segment);
          const heard = stream.hear(segment, translate, put(segment));
          assert.match(heard, /passed|waits/);
          if (heard === 'passed') {
            passed.push(...waiting);
            waiting = [];
          }
          const before = passed[(again[i] ?? i) % Math.max(passed.length, 1)];
          if (before) assert.equal(stream.hear(before, translate, put(before)), 'passed');
        });
        assert.deepEqual(out, WANTED);
      },
    ),
  );
});

test('after a gap nothing is heard, a message that cannot be told ends the connection, and what it holds is bounded', () => {
  const passed: Buffer[] = [];
  const hear = (stream: AnswerStream, ...range: [number, number]) => stream.hear(part(...range), translate, (d) => passed.push(d));
  const stream = new AnswerStream(FIRST);
  assert.equal(hear(stream, 40, 60), 'lost');
  // It asks whether anybody is there.
  assert.equal(
    stream.hear({ ...part(0, 1), sequence: FIRST - 1 }, translate, (d) => passed.push(d)),
    'lost',
  );
  assert.equal(hear(stream, 0, 10), 'waits');
  assert.equal(passed.length, 0);
  // Its sender waits for an acknowledgement that does not come.
  assert.equal(hear(stream, 0, 10), 'broken');
  const bad = new AnswerStream(0);
  const malformed = { sequence: 0, opens: false, data: framed(Buffer.alloc(40, 0xff)) };
  assert.equal(
    bad.hear(malformed, translate, () => assert.fail()),
    'broken',
  );
  // What was passed long ago is not known any more; what comes next is.
  const long = new AnswerStream(0);
  const piece = { opens: false, data: framed(Buffer.alloc(60_000)) };
  const hearPiece = (i: number) =>
    long.hear(
      { ...piece, sequence: i * 60_002 },
      (m) => m,
      (d) => assert.deepEqual(d, piece.data),
    );
  assert.deepEqual([0, 1, 2, 1, 0, 3].map(hearPiece), ['passed', 'passed', 'passed', 'lost', 'lost', 'passed']);
  const many = new AnswerStream(0);
  for (let i = 0; i < 64; i++)
    many.hear(
      { ...piece, sequence: i, data: Buffer.alloc(1, 0xff) },
      (m) => m,
      () => undefined,
    );
  assert.equal(
    many.hear(
      { ...piece, sequence: 64, data: Buffer.alloc(1) },
      (m) => m,
      () => undefined,
    ),
    'broken',
  );
});

test('the connections that were silent longest are forgotten first', () => {
  const streams = new AnswerStreams(2);
  streams.open(1, 'a', 0);
  streams.open(1, 'b', 0);
  assert.ok(streams.of(1, 'a'));
  streams.open(1, 'c', 0);
  // Those of another network take no place of theirs.
  for (const flow of ['d', 'e', 'f']) streams.open(2, flow, 0);
  assert.deepEqual(
    ['a', 'b', 'c'].map((flow) => streams.of(1, flow) !== undefined),
    [true, false, true],
  );
});

test('what becomes shorter is padded by EDNS: signatures taken out, and failures', () => {
  const signature = record(POINTER, 46, Buffer.concat([u16(1), Buffer.alloc(90, 1)]));
  const opt = Buffer.concat([Buffer.from([0]), u16(41, 4096, 0, 0x8000, 0)]);
  for (const more of [[], [opt]]) {
    const signed = message([A, signature], more);
    const made = translate(signed)!;
    assert.equal(made.length, signed.length);
    // It is well formed, and says the same.
    assert.equal(translateAnswer(made, () => 'same', 30).kind, 'same');
    assert.equal(made.readUInt16BE(6), 1);
    assert.equal(made.readUInt16BE(10), 1);
  }
  const failed = padded(failure(message([A])), message([A]).length)!;
  assert.equal(failed.length, message([A]).length);
  assert.equal(translateAnswer(failed, () => 'same', 30).kind, 'same');
  assert.equal(padded(message([A]), message([A]).length + 3), undefined);
  assert.equal(padded(message([A], [opt, A]), 400), undefined);
});

test('a segment with other data has a right checksum, in IPv4 and IPv6; fragments and what is cut are none', () => {
  for (const version of [4, 6]) {
    const [source, destination] = version === 4 ? [bytes('10.0.0.1'), bytes('10.0.0.2')] : [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
    const tcp = Buffer.concat([
      u16(53, 4000),
      Buffer.from([0, 0, 0, 9, 0, 0, 0, 0, 0x60, 0x18]),
      u16(100, 0, 0),
      Buffer.alloc(4, 1),
      SENT.subarray(0, 51),
    ]);
    const ip =
      version === 4
        ? Buffer.concat([Buffer.from([0x45, 0]), u16(20 + tcp.length, 1, 0), Buffer.from([64, 6, 0, 0]), source, destination])
        : Buffer.concat([Buffer.from([0x60, 0, 0, 0]), u16(tcp.length), Buffer.from([6, 64]), source, destination]);
    tcp.writeUInt16BE(0xffff - sum(Buffer.concat([source, destination, u16(0, tcp.length, 0, 6), tcp])), 16);
    const packet = Buffer.concat([ip, tcp]);
    const segment = segmentOf(packet)!;
    assert.deepEqual([segment.sequence, segment.opens, segment.data], [9, false, SENT.subarray(0, 51)]);
    const made = withSegmentData(packet, WANTED.subarray(0, 51));
    assert.deepEqual(segmentOf(made)?.data, WANTED.subarray(0, 51));
    assert.equal(sum(Buffer.concat([source, destination, u16(0, tcp.length, 0, 6), made.subarray(ip.length)])), 0xffff);
    const over = (b: Buffer) => sum(Buffer.concat([source, destination, u16(0, b.length - ip.length, 0, 6), b.subarray(ip.length)]));
    const reset = asReset(packet);
    assert.deepEqual([reset.length, reset[ip.length + 13], over(reset)], [packet.length - 51, 4, 0xffff]);
    assert.equal(segmentOf(packet.subarray(0, -1)), undefined);
    const damaged = Buffer.from(packet);
    damaged[damaged.length - 1]! ^= 1;
    assert.equal(segmentOf(damaged), undefined);
    const urgent = Buffer.from(packet);
    urgent[ip.length + 13]! |= 0x20;
    urgent.writeUInt16BE(packet.readUInt16BE(ip.length + 16) - 0x20, ip.length + 16);
    assert.equal(over(urgent), 0xffff);
    assert.equal(segmentOf(urgent), undefined);
    assert.equal(segmentOf(packet.subarray(0, ip.length)), undefined);
  }
});
