import assert from 'node:assert/strict';
import test from 'ava';
import { decide } from '../../agents/hub/decision/decide.ts';
import { viewsOf } from '../../agents/hub/decision/view.ts';
import type { Metadata } from '../../agents/hub/model.ts';
import { seenBy } from '../../agents/hub/names/answers.ts';
import { dataOf, withData } from '../../agents/hub/names/datagram.ts';
import { failure, questionOf, translateAnswer } from '../../agents/hub/names/message.ts';
import { manage } from '../../agents/hub/control/names.ts';
import { readDelv } from '../../agents/hub/nodes/delv.ts';
import { readDig } from '../../agents/hub/nodes/dig.ts';
import { configurationOf } from '../../agents/hub/nodes/endpoint.ts';
import { readGetent } from '../../agents/hub/nodes/resolver.ts';
import { formatAddress, parseAddress } from '../../agents/lib/prefix.ts';
import { A, bytes, message, name, POINTER, QUESTION, REAL, record, seen, u16 } from '../support/dns.ts';
import { metadata } from '../support/hubviews.ts';

const changed = (m: Buffer): Buffer => {
  const outcome = translateAnswer(m, seen, 30);
  if (outcome.kind !== 'changed') throw new Error(outcome.kind);
  return outcome.message;
};

test('R1-37 an address becomes the one that the asker sees; it lives thirty seconds at most; nothing says that it is authentic', () => {
  const expected = message([record(POINTER, 1, bytes('12.7.1.1'), 30)], [], 0x8400);
  assert.deepEqual(changed(message([A])), expected);
  assert.deepEqual(changed(message([record(POINTER, 1, REAL, 5)])), message([record(POINTER, 1, bytes('12.7.1.1'), 5)], [], 0x8400));
});

test('R1-37 additional addresses, IPv6 and hints of service bindings too', () => {
  const mail = record(POINTER, 15, Buffer.concat([u16(10), Buffer.from([4]), Buffer.from('mail'), POINTER]));
  const six = Buffer.concat([Buffer.from('fd00', 'hex'), Buffer.alloc(13), Buffer.from([9])]);
  const hints = Buffer.concat([
    u16(1),
    Buffer.from([0]),
    u16(1, 3),
    Buffer.from([2]),
    Buffer.from('h2'),
    u16(4, 8),
    REAL,
    bytes('9.9.9.9'),
  ]);
  const result = changed(message([mail, record(POINTER, 65, hints)], [A, record(POINTER, 28, six)]));
  for (const [now, before] of [
    ['0c070101', 'c0a80101'],
    ['fd01', 'fd00'],
  ] as const) {
    assert.ok(result.includes(now, 0, 'hex'));
    assert.ok(!result.includes(before, 0, 'hex'));
  }
  assert.ok(result.includes(bytes('9.9.9.9')));
});

test('R1-39 what needs no change passes: other addresses, questions, names that do not exist', () => {
  for (const m of [message([record(POINTER, 1, bytes('9.9.9.9'))]), message([], [], 0x8403), message([A], [], 0x0100)])
    assert.deepEqual(translateAnswer(m, seen, 30), { kind: 'same' });
});

test('signatures of what changes are taken out, others stay, and names behind them point where they did', () => {
  const signature = (covered: number): Buffer =>
    record(POINTER, 46, Buffer.concat([u16(covered), Buffer.alloc(16), name('c.example'), Buffer.alloc(64, 7)]));
  const after = record(name('ns'), 1, bytes('9.9.9.9'));
  const before = message([A, signature(1), signature(15), after]);
  // A name that points at the owner of the last record.
  const pointing = (at: number): Buffer => record(u16(0xc000 | at), 1, bytes('9.9.9.8'));
  const whole = Buffer.concat([before, pointing(before.length - after.length)]);
  whole.writeUInt16BE(5, 6);
  const kept = message([record(POINTER, 1, bytes('12.7.1.1'), 30), signature(15), after], [], 0x8400);
  const expected = Buffer.concat([kept, pointing(kept.length - after.length)]);
  expected.writeUInt16BE(4, 6);
  assert.deepEqual(changed(whole), expected);
  // Into a signature: it cannot be taken out.
  const inside = Buffer.concat([before, pointing(QUESTION.length + 12 + A.length + 4)]);
  inside.writeUInt16BE(5, 6);
  assert.equal(translateAnswer(inside, seen, 30).kind, 'ambiguous');
});

test('an address that cannot be told makes the answer a failure, with its question', () => {
  assert.deepEqual(
    translateAnswer(message([A]), () => 'ambiguous', 30),
    { kind: 'ambiguous' },
  );
  assert.deepEqual(failure(message([A], [A])), message([], [], 0x8402));
});

test('messages that are damaged are told, whatever is damaged', () => {
  const good = message([A, record(POINTER, 5, name('other.c.example'))], [record(POINTER, 65, Buffer.concat([u16(1), Buffer.from([0])]))]);
  for (let length = 0; length < good.length; length++)
    assert.equal(translateAnswer(good.subarray(0, length), seen, 30).kind, 'malformed', `cut at ${length}`);
  // A name that points at itself, and counts of records that are not there.
  const loop = Buffer.from(message([record(u16(0xc000 | (12 + QUESTION.length)), 1, REAL)]));
  assert.equal(translateAnswer(loop, seen, 30).kind, 'malformed');
  const many = Buffer.from(good);
  many.writeUInt16BE(0xffff, 6);
  assert.equal(translateAnswer(many, seen, 30).kind, 'malformed');
  // Nothing throws, and no message grows.
  let state = 1;
  const random = (below: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % below;
  for (let i = 0; i < 20_000; i++) {
    const fuzzed = Buffer.from(good);
    for (let n = random(4); n >= 0; n--) fuzzed[random(fuzzed.length)] = random(256);
    const outcome = translateAnswer(fuzzed, seen, 30);
    if (outcome.kind === 'changed') assert.ok(outcome.message.length <= fuzzed.length);
    if (outcome.kind === 'ambiguous') failure(fuzzed);
  }
});

const sumOf = (b: Buffer): number => {
  let total = 0;
  for (let i = 0; i < b.length; i += 2) total += ((b[i] as number) << 8) + (b[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
};

test('a datagram with other data has right lengths and checksums, in IPv4 and IPv6; fragments have no data', () => {
  const udp = Buffer.concat([u16(53, 4000, 11, 0), Buffer.from('abc')]);
  const four = Buffer.concat([Buffer.from('4500001f000040004011000001020304', 'hex'), bytes('5.6.7.8'), udp]);
  const six = Buffer.concat([Buffer.from('60000000000b1140', 'hex'), Buffer.alloc(32, 5), udp]);
  for (const [packet, addresses, at] of [
    [four, [12, 20], 20],
    [six, [8, 40], 40],
  ] as const) {
    assert.equal(dataOf(packet)?.toString(), 'abc');
    const made = withData(packet, Buffer.from('longer'));
    assert.equal(dataOf(made)?.toString(), 'longer');
    const length = u16(made.length - at);
    assert.equal(sumOf(Buffer.concat([made.subarray(addresses[0], addresses[1]), u16(17), length, made.subarray(at)])), 0xffff);
    if (at === 20) assert.equal(sumOf(made.subarray(0, 20)), 0xffff);
  }
  const fragment = Buffer.from(four);
  fragment.writeUInt16BE(0x2000, 6);
  assert.equal(dataOf(fragment), undefined);
  assert.equal(dataOf(four.subarray(0, 30)), undefined);
});

test('what dig prints', () => {
  const text = [
    ';; Got answer:',
    ';; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1',
    ';; ANSWER SECTION:',
    'www.c.example.\t\t30\tIN\tA\t12.7.1.1',
    'www.c.example.\t\t60\tIN\tA\t12.7.1.2',
  ].join('\n');
  assert.deepEqual(readDig(text), {
    status: 'NOERROR',
    records: [
      { type: 'A', data: '12.7.1.1' },
      { type: 'A', data: '12.7.1.2' },
    ],
    ttlSeconds: 30,
  });
  assert.equal(readDig('').status, 'none');
});

test('what delv prints: what validates, that there is nothing, and what does not', () => {
  const row = 'www.c.example.\t\t3600\tIN\tA\t203.0.113.9';
  assert.deepEqual(readDelv(`; fully validated\n${row}\n${row.replace('A\t203.0.113.9', 'RRSIG\tA 13 3')}\n`), {
    status: 'NOERROR',
    records: [
      { type: 'A', data: '203.0.113.9' },
      { type: 'RRSIG', data: 'A 13 3' },
    ],
    ttlSeconds: 3600,
  });
  const negative = '; negative response, fully validated\n; x.c.example. 60 IN \\-A ;-$';
  assert.equal(readDelv(`${negative}NXDOMAIN\n`).status, 'NXDOMAIN');
  assert.equal(readDelv(`${negative}NXRRSET\n`).status, 'NOERROR');
  assert.equal(readDelv(`; unsigned answer\n${row}\n`).status, 'unsigned');
  for (const bad of [`${row}\n`, ';; resolution failed: insecurity proof failed\n', ''])
    assert.deepEqual(readDelv(bad), { status: 'SERVFAIL', records: [], ttlSeconds: null });
});

test('whose address it is: the one whom the server’s network reaches there; else the asker’s, or the only one that has it', () => {
  const views = viewsOf(metadata);
  const seenAs = (server: string, asker: string, address: string): string => {
    const is = seenBy(views, views.byName.get(server)!, views.byName.get(asker)!, parseAddress(address)!);
    return typeof is === 'string' ? is : formatAddress(is);
  };
  assert.equal(seenAs('C', 'B', '192.168.1.1'), '12.7.1.1');
  assert.equal(seenAs('S', 'B', '192.168.1.1'), 'same');
  assert.equal(seenAs('S', 'B', '10.1.1.1'), 'same');
  assert.equal(seenAs('S', 'B', '8.8.8.8'), 'same');
  // S reaches B there, and C at the address that stands in for it.
  assert.equal(seenAs('S', 'T', '192.168.1.1'), 'same');
  assert.equal(seenAs('S', 'C', '12.7.1.1'), '192.168.1.1');
  // It would lead C to itself.
  assert.equal(seenAs('S', 'C', '192.168.1.1'), 'ambiguous');
  assert.equal(seenAs('B', 'C', '192.168.1.1'), 'ambiguous');
  // By a policy, B reaches C under substitutes only.
  const policy = { network: 'C', to: 'B', addresses: '100.96.0.0/16', firstPort: 1024, lastPort: 65_535 };
  const ruled = viewsOf({ ...metadata, policies: [policy] });
  const under = (server: string, address: string) =>
    seenBy(ruled, ruled.byName.get(server)!, ruled.byName.get('B')!, parseAddress(address)!);
  assert.equal(under('C', '192.168.1.1'), 'ambiguous');
  assert.equal(under('S', '12.7.1.1'), 'ambiguous');
  assert.equal(under('S', '10.1.1.1'), 'same');
  // A network of another domain sees neither B nor C.
  const apart = viewsOf({
    ...metadata,
    domains: [...metadata.domains, { name: 'other', number: 2, hub: 'hub', cells: ['main'], generation: 1 }],
    attachments: metadata.attachments.map((a) => (a.network === 'S' ? { ...a, domain: 'other' } : a)),
  });
  assert.equal(seenBy(apart, apart.byName.get('S')!, apart.byName.get('T')!, parseAddress('192.168.1.1')!), 'ambiguous');
});

test('R1-41 what the endpoint’s network sees is what its asker sees; its answers are translated whoever asks', () => {
  const views = viewsOf({ ...metadata, intercepts: [] });
  assert.ok(views.translatesNames('N', 'B') && views.translatesNames('C', 'N') && !views.translatesNames('C', 'B'));
  const text = configurationOf(
    {
      address: '100.127.0.53',
      zones: ['c.example', '1.168.192.in-addr.arpa', '168.192.in-addr.arpa'].map((zone) => ({
        zone,
        network: 'C',
        server: '192.168.1.53',
      })),
    },
    'N',
    views,
    [
      { network: 'C', name: 'shop.example', type: 'A', value: '192.168.1.7' },
      { network: 'gone', name: 'old.example', type: 'A', value: '192.168.9.1' },
    ],
    '/w',
  );
  assert.match(text, /name: "c\.example\."\n {2}forward-addr: 12\.7\.1\.53\n/);
  // A zone of addresses is called as they are seen; one that is seen in parts is nobody's.
  assert.match(text, /local-zone: "1\.7\.12\.in-addr\.arpa\." transparent\n/);
  assert.match(text, /name: "1\.7\.12\.in-addr\.arpa\."\n {2}forward-addr: 12\.7\.1\.53\n/);
  assert.doesNotMatch(text, /168\.192\.in-addr/);
  assert.match(text, /local-data: "shop\.example\. 30 A 12\.7\.1\.7"/);
  assert.doesNotMatch(text, /old\.example/);
});

const ZONES = [{ zone: 'c.example', network: 'C', server: '192.168.1.53' }];

test('R1-44 managed records: of the network’s own addresses, each name of one network, removed by name', () => {
  const add = (network: string, name: string, type: 'A' | 'AAAA', value: string, to = metadata): Metadata =>
    manage(to, { network, add: [{ name, type, value }] }, ZONES).metadata;
  const one = add('C', 'Shop.Example', 'A', '192.168.1.7');
  assert.deepEqual(one.records, [{ network: 'C', name: 'shop.example', type: 'A', value: '192.168.1.7' }]);
  assert.equal(add('C', 'shop.example', 'A', '192.168.1.7', one).records.length, 1);
  for (const [bad, code] of [
    [() => add('C', 'x', 'A', '10.0.0.1'), 'InvalidRequest'],
    [() => add('C', 'x', 'AAAA', '192.168.1.7'), 'InvalidRequest'],
    [() => add('B', 'www.C.example', 'A', '192.168.1.7'), 'AlreadyExists'],
    [() => add('B', 'shop.example', 'A', '192.168.1.8', one), 'AlreadyExists'],
    [() => manage(metadata, { network: 'C', remove: ['shop.example'] }, ZONES), 'UnknownRecord'],
  ] as const)
    assert.throws(bad, { code });
  assert.deepEqual(manage(one, { network: 'C', remove: ['SHOP.example'] }, ZONES).metadata.records, []);
});

test('the name of a question; what getent prints', () => {
  assert.equal(questionOf(message([])), 'www.c.example');
  assert.equal(questionOf(message([]).subarray(0, 20)), undefined);
  assert.equal(questionOf(Buffer.concat([u16(1, 0, 1, 0, 0, 0), POINTER, u16(1, 1)])), undefined);
  const text = '12.7.1.1        STREAM www.c.example\n12.7.1.1        DGRAM  \n12.7.1.2        STREAM \n';
  assert.deepEqual(
    readGetent(text).records.map((r) => r.data),
    ['12.7.1.1', '12.7.1.2'],
  );
  assert.equal(readGetent('').status, 'none');
});

test('R1-42 packets of intercepted answers are all asked for, by UDP and by TCP; others are as they were', () => {
  const views = viewsOf(metadata);
  const at = { name: 'a1', number: 1, zone: 'z', cell: 'main', mac: '02:00:00:00:01:01' };
  const answer = (protocol: number, from: string, port: number) =>
    decide(views, new Map([['a1', at]]), at, {
      network: 1,
      family: 4,
      protocol,
      isFragment: false,
      sourcePort: port,
      destinationPort: 4000,
      source: parseAddress('172.16.5.53')!,
      destination: parseAddress(from)!,
    });
  assert.equal(answer(17, '192.168.1.1', 53).names?.to.network.name, 'B');
  assert.ok(answer(17, '192.168.1.1', 53).ops.some((o) => o.op === 'ask'));
  assert.ok(answer(6, '192.168.1.1', 53).ops.some((o) => o.op === 'ask'));
  for (const other of [answer(17, '192.168.1.1', 54), answer(17, '10.0.0.1', 53)]) {
    assert.equal(other.names, undefined);
    assert.ok(!other.ops.some((o) => o.op === 'ask'));
  }
});

test('R1-40 names are shared by networks that are both listed', () => {
  const views = viewsOf({ ...metadata, shares: ['S', 'C'], intercepts: [] });
  assert.equal(views.translatesNames('S', 'C'), true);
  assert.equal(views.translatesNames('C', 'S'), true);
  assert.equal(views.translatesNames('S', 'B'), false);
  assert.equal(views.translatesNames('B', 'S'), false);
});
