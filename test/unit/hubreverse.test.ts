/** R1-37 names of addresses: questions for them, and answers, on their way between networks that see the addresses otherwise. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import { answerByTcp, answerFor, questionFor } from '../../agents/hub/names/answers.ts';
import { questionOf, translateAnswer } from '../../agents/hub/names/message.ts';
import { renamed } from '../../agents/hub/names/rename.ts';
import { addressOfName, prefixOfName, zoneOfPrefix } from '../../agents/hub/names/reverse.ts';
import { viewsOf } from '../../agents/hub/decision/view.ts';
import { formatAddress, formatPrefix, parseAddress, prefixOf } from '../../agents/lib/prefix.ts';
import { bytes, name, record, u16 } from '../support/dns.ts';
import { metadata } from '../support/hubviews.ts';

const [PTR, NS, SOA, OPT] = [12, 2, 6, 41];
const reverse = (address: string): string =>
  parseAddress(address)!.family === 4
    ? `${address.split('.').reverse().join('.')}.in-addr.arpa`
    : zoneOfPrefix({ ...parseAddress(address)!, length: 128 });
const question = (asked: string, type = PTR): Buffer => Buffer.concat([u16(0x1234, 0x0100, 1, 0, 0, 0), name(asked), u16(type, 1)]);
/** Sections of records as `record` makes them. */
const answer = (asked: string, [answers, authority, more]: readonly (readonly Buffer[])[], flags = 0x8420): Buffer =>
  Buffer.concat([
    u16(0x1234, flags, 1, answers!.length, authority!.length, more!.length),
    name(asked),
    u16(PTR, 1),
    ...answers!,
    ...authority!,
    ...more!,
  ]);

/** Names and records, with all pointers followed: another reader than the one that is tested. */
function read(m: Buffer): { asked: string; records: { owner: string; type: number; ttl: number; data: string }[] } {
  const nameAt = (at: number): { text: string; end: number } => {
    const length = m[at]!;
    if (length === 0) return { text: '', end: at + 1 };
    if (length >= 0xc0) return { text: nameAt(m.readUInt16BE(at) & 0x3fff).text, end: at + 2 };
    const rest = nameAt(at + 1 + length);
    return { text: `${m.toString('latin1', at + 1, at + 1 + length)}.${rest.text}`, end: rest.end };
  };
  const asked = nameAt(12);
  let at = asked.end + 4;
  const records = Array.from({ length: m.readUInt16BE(6) + m.readUInt16BE(8) + m.readUInt16BE(10) }, () => {
    const owner = nameAt(at);
    const [type, ttl, size] = [m.readUInt16BE(owner.end), m.readUInt32BE(owner.end + 4), m.readUInt16BE(owner.end + 8)];
    const from = owner.end + 10;
    at = from + size;
    const isName = type === PTR || type === NS || type === SOA;
    return { owner: owner.text, type, ttl, data: isName ? nameAt(from).text : m.toString('hex', from, at) };
  });
  assert.equal(at, m.length);
  return { asked: asked.text, records };
}

test('names of addresses and of zones, and none other', () => {
  for (const [text, of] of [
    ['1.1.168.192.in-addr.arpa', '192.168.1.1/32'],
    ['1.168.192.in-addr.arpa', '192.168.1.0/24'],
    ['10.in-addr.arpa', '10.0.0.0/8'],
    ['d.f.ip6.arpa', 'fd00::/8'],
    ['8.b.d.0.1.0.0.2.ip6.arpa', '2001:db8::/32'],
  ] as const)
    assert.equal(formatPrefix(prefixOfName(text)!), of);
  for (const text of [
    '256.1.168.192.in-addr.arpa',
    '01.1.168.192.in-addr.arpa',
    'x.in-addr.arpa',
    'in-addr.arpa',
    '1.1.1.1.1.in-addr.arpa',
    'www.example',
  ])
    assert.equal(prefixOfName(text), undefined, text);
  assert.equal(addressOfName('1.168.192.in-addr.arpa'), undefined);
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const address = parseAddress(text);
      if (!address) return;
      const zone = zoneOfPrefix({ ...address, length: address.family === 4 ? 32 : 128 });
      assert.equal(formatAddress(addressOfName(zone)!), formatAddress(address));
    }),
  );
  assert.equal(zoneOfPrefix(prefixOf('12.7.1.0/24')), '1.7.12.in-addr.arpa');
});

test('the name of the question changes wherever it is, and zones above it with it; all else stays, however names are compressed', () => {
  const labels = { 4: 4, 6: 32 } as const;
  fc.assert(
    fc.property(
      fc.boolean().chain((four) => (four ? fc.tuple(fc.ipV4(), fc.ipV4()) : fc.tuple(fc.ipV6(), fc.ipV6()))),
      fc.array(fc.record({ type: fc.constantFrom(PTR, NS, SOA, 1), up: fc.nat(40), isPointer: fc.boolean() }), { maxLength: 6 }),
      ([from, to], records) => {
        const [asked, other] = [parseAddress(from), parseAddress(to)];
        if (asked?.family !== other?.family || !asked || !other) return;
        const whole = reverse(formatAddress(asked)).split('.');
        // Where the label of the question's name is that a name ends with; a name that is written out, or leads there.
        const owner = (up: number, isPointer: boolean): Buffer => {
          const at = 12 + whole.slice(0, up).reduce((sum, l) => sum + 1 + l.length, 0);
          return isPointer ? u16(0xc000 | at) : name(whole.slice(up).join('.'));
        };
        const made = records.map(({ type, up, isPointer }) => {
          const end = owner(up % whole.length, isPointer);
          const target = Buffer.concat([Buffer.from([1, 120]), end]);
          const data =
            type === 1 ? bytes('9.9.9.9') : type === SOA ? Buffer.concat([target, name('root.example'), Buffer.alloc(20)]) : target;
          return record(end, type, data);
        });
        const before = answer(whole.join('.'), [made, [], [Buffer.concat([Buffer.from([0]), u16(OPT, 1232, 0, 0, 0)])]]);
        const after = renamed(before, other);
        const becomes = (text: string): string => {
          const parts = text.split('.').slice(0, -1);
          const of = parts[0] === 'x' ? parts.slice(1) : parts;
          const wanted = reverse(formatAddress(other))
            .split('.')
            .slice(whole.length - of.length);
          return [...(parts[0] === 'x' ? ['x'] : []), ...(of.length > whole.length - labels[asked.family] ? wanted : of), ''].join('.');
        };
        const was = read(before);
        assert.deepEqual(read(after), {
          asked: becomes(was.asked),
          records: was.records.map((r) => ({ ...r, owner: becomes(r.owner), data: r.data.endsWith('arpa.') ? becomes(r.data) : r.data })),
        });
        assert.deepEqual(renamed(after, asked), before);
      },
    ),
    { numRuns: 2000 },
  );
});

const views = viewsOf(metadata);
const view = (label: string) => views.byName.get(label)!;
const B = view('B');
const C = view('C');

test('R1-37 a question for the name of an address reaches its server as the address is there, and its answer as it was asked', () => {
  // B sees C at 12.7.1.x.
  const asked = question(reverse('12.7.1.1'));
  const sent = questionFor(views, B, C, asked);
  assert.ok(sent.kind === 'changed' && questionOf(sent.message) === reverse('192.168.1.1'));
  const host = record(u16(0xc00c), PTR, name('www.c.example'));
  const zone = record(u16(0xc00e), NS, name('ns.c.example'));
  const glue = record(name('ns.c.example'), 1, bytes('192.168.1.53'));
  const signature = record(u16(0xc00c), 46, Buffer.concat([u16(PTR), Buffer.alloc(16), name('c.example'), Buffer.alloc(64, 7)]));
  const said = answerFor(views, C, B, answer(reverse('192.168.1.1'), [[host, signature], [zone], [glue]]));
  assert.ok(said.kind === 'changed');
  const got = read(said.message);
  assert.equal(got.asked, `${reverse('12.7.1.1')}.`);
  assert.deepEqual(
    got.records.map((r) => [r.owner, r.type, r.ttl, r.data]),
    [
      ['1.1.7.12.in-addr.arpa.', PTR, 30, 'www.c.example.'],
      ['1.7.12.in-addr.arpa.', NS, 30, 'ns.c.example.'],
      ['ns.c.example.', 1, 30, bytes('12.7.1.53').toString('hex')],
    ],
  );
  assert.equal(said.message.readUInt16BE(2) & 0x0020, 0, 'not authentic any more');
});

test('R1-37 that there is no such name is told of the zone above the name that was asked', () => {
  const soa = record(u16(0xc00e), SOA, Buffer.concat([name('ns.c.example'), name('root.c.example'), Buffer.alloc(20)]));
  const nsec = record(u16(0xc00c), 47, name('x.example'));
  const said = answerFor(views, C, B, answer(reverse('192.168.1.9'), [[], [soa, nsec], []], 0x8403));
  assert.ok(said.kind === 'changed');
  assert.deepEqual(
    read(said.message).records.map((r) => [r.owner, r.ttl]),
    [['1.7.12.in-addr.arpa.', 30]],
  );
});

test('R1-37 whom the asker does not see it is told nothing of; what all see alike passes byte for byte', () => {
  // 192.168.1.1 is B's own: C sees B nowhere, and its server would speak of its own host.
  assert.equal(questionFor(views, B, C, question(reverse('192.168.1.1'))).kind, 'unseen');
  // T sees B there; S does.
  assert.equal(questionFor(views, view('T'), B, question(reverse('192.168.1.1'))).kind, 'same');
  for (const asked of ['8.8.8.8', '10.1.1.1', '2001:db8::1'])
    assert.equal(questionFor(views, B, view('S'), question(reverse(asked))).kind, 'same', asked);
  for (const other of [question('www.c.example', 1), question('1.168.192.in-addr.arpa', SOA), Buffer.alloc(5)])
    assert.equal(questionFor(views, B, C, other).kind, 'same');
});

test('R1-37 what a question becomes leads back to it, whatever is asked', () => {
  const labels = [...views.byName.keys()];
  const address = fc.oneof(
    fc.ipV4(),
    fc.constantFrom('192.168.1.', '12.7.1.', '172.16.5.', '10.0.0.', '100.127.0.').map((p) => `${p}7`),
  );
  fc.assert(
    fc.property(fc.constantFrom(...labels), fc.constantFrom(...labels), address, (from, to, text) => {
      if (from === to) return;
      const asked = question(reverse(text));
      const sent = questionFor(views, view(from), view(to), asked);
      if (sent.kind === 'unseen') return;
      const there = Buffer.from(sent.kind === 'same' ? asked : sent.message);
      there.writeUInt16BE(0x8400, 2);
      const back = answerFor(views, view(to), view(from), there);
      assert.ok(back.kind === 'same' || back.kind === 'changed', back.kind);
      assert.equal(questionOf(back.message), reverse(text));
    }),
    { numRuns: 3000 },
  );
});

test('R1-37 by TCP, where questions pass as they are, nothing is told of an address that is seen otherwise', () => {
  const host = record(u16(0xc00c), PTR, name('www.c.example'));
  const said = answerByTcp(views, C, B, answer(reverse('192.168.1.1'), [[host], [], []]));
  assert.ok(said.kind === 'failed' && questionOf(said.message) === reverse('192.168.1.1'));
  assert.equal(answerByTcp(views, view('S'), B, answer(reverse('10.1.1.1'), [[host], [], []])).kind, 'same');
});

test('R1-37 by TCP neither of an address that only its asker sees otherwise', () => {
  // B's server says of 12.7.1.1 what it knows of its own network: nobody is there. Its asker means C.
  const none = answer(reverse('12.8.9.9'), [[], [], []], 0x8403);
  assert.equal(answerByTcp(views, C, B, none).kind, 'same');
  assert.equal(answerByTcp(views, C, B, answer(reverse('12.7.1.1'), [[], [], []], 0x8403)).kind, 'failed');
});

test('R1-37 a failure is for the question that was asked', () => {
  // The name server's own address cannot be told to C.
  const glue = record(name('ns.b.example'), 1, bytes('192.168.1.53'));
  const host = record(u16(0xc00c), PTR, name('www.s.example'));
  const seenAsIts = answer(reverse('12.7.1.1'), [[host], [], [glue]]);
  const said = answerFor(views, view('S'), C, seenAsIts);
  assert.ok(said.kind === 'failed' && questionOf(said.message) === reverse('192.168.1.1'));
});

test('pointers that lead into what is no name come to an end', () => {
  // The identifier of the message is a pointer to itself.
  const asked = question(reverse('12.7.1.1'));
  const loop = Buffer.concat([asked, u16(0xc000, 16, 1, 0, 30, 0)]);
  loop.writeUInt16BE(0xc000, 0);
  loop.writeUInt16BE(1, 10);
  assert.equal(questionFor(views, B, C, loop).kind, 'unseen');
  // Data of a TXT record that point to themselves.
  const data = 12 + name(reverse('12.7.1.1')).length + 4 + 12;
  const text = Buffer.concat([asked, record(u16(0xc00c), 16, u16(0xc000 | data)), record(u16(0xc000 | data), 16, Buffer.from([0]))]);
  text.writeUInt16BE(2, 10);
  assert.equal(questionFor(views, B, C, text).kind, 'unseen');
});

test('a name that leads to itself is malformed, in an answer for an address too', () => {
  const loop = answer(reverse('192.168.1.1'), [[record(Buffer.concat([Buffer.from([1, 97]), u16(0xc000 | 42)]), PTR, name('x'))], [], []]);
  assert.equal(answerFor(views, C, B, loop).kind, 'malformed');
  let state = 3;
  const random = (below: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % below;
  const good = answer(reverse('192.168.1.1'), [
    [record(u16(0xc00c), PTR, name('www.c.example'))],
    [record(u16(0xc00e), NS, name('ns.c'))],
    [],
  ]);
  for (let i = 0; i < 20_000; i++) {
    const fuzzed = Buffer.from(good);
    for (let n = random(4); n >= 0; n--) fuzzed[random(fuzzed.length)] = random(256);
    const before = Buffer.from(fuzzed);
    answerFor(views, C, B, fuzzed);
    questionFor(views, C, B, fuzzed);
    translateAnswer(fuzzed, () => parseAddress('1.2.3.4')!, 30);
    assert.deepEqual(fuzzed, before, 'a message that came is not written to');
  }
});
