/** Answers of name servers in the fast path of an AIN: what a DMN would make of them, or nothing. */
import assert from 'node:assert/strict';
import { encodeOps, writeFlow, type Op } from '../../agents/hub/decision/wire.ts';
import { dataOf } from '../../agents/hub/names/datagram.ts';
import { translateAnswer, TTL_SECONDS } from '../../agents/hub/names/message.ts';
import type { CommandHelper } from '../../agents/lib/commandhelper.ts';
import { parseAddress } from '../../agents/lib/prefix.ts';
import { until } from '../../src/core/until.ts';
import { flowOf, frameOf, install, read, REDIRECT, rig, run, TO, UDP, V4, V6, VALID, type Sent } from '../support/ain.ts';
import { A, bytes, message, name, POINTER, QUESTION, REAL, record, seen, u16 } from '../support/dns.ts';

const PORTS = { sourcePort: 53, destinationPort: 40_001, protocol: UDP } as const;
const sent: Sent = { ...V4, ...PORTS };
const ASK: Op = { op: 'ask', asker: 2, ttlSeconds: TTL_SECONDS };
const GENERATION = 9;
const six = (first: string, last: number): Buffer => Buffer.concat([Buffer.from(first, 'hex'), Buffer.alloc(13), Buffer.from([last])]);
const AAAA = record(POINTER, 28, six('fd00', 9));
const KNOWN = ['192.168.1.1', '192.168.1.2', '9.9.9.9', 'fd00::9'];

const sights = (texts: readonly string[], generation = GENERATION): Op[] =>
  texts.map((text) => {
    const address = parseAddress(text)!;
    const is = seen(address);
    if (is === 'ambiguous') throw new Error(text);
    return { op: 'sees', address, as: is === 'same' ? address : is, generation };
  });
const knows = async (path: CommandHelper, what: Sent = sent, told = sights(KNOWN)): Promise<void> => {
  await path.ask('domain', 0, GENERATION);
  await install(path, writeFlow(flowOf(what)), encodeOps([{ op: 'hop' }, TO, ASK, VALID, ...told]));
};

/** The answer that leaves for its asker; undefined: the packet went to a DMN, as it came. */
async function translated(path: CommandHelper, data: Buffer, what: Sent = sent): Promise<Buffer | undefined> {
  const before = frameOf({ ...what, data });
  const { action, frame } = await run(path, before);
  assert.equal(action, REDIRECT);
  if (frame.equals(before)) return undefined;
  assert.deepEqual(read(frame).sums, [true, !what.noSum]);
  return dataOf(frame.subarray(14));
}
const byDmn = (data: Buffer): Buffer | undefined => {
  const outcome = translateAnswer(data, seen, TTL_SECONDS);
  if (outcome.kind === 'same') return data;
  return outcome.kind === 'changed' ? outcome.message : undefined;
};

const CNAME = record(POINTER, 5, name('other.c.example'));
const OPT = Buffer.concat([Buffer.from([0]), u16(41, 1232, 0, 0, 0)]);
const NS = record(u16(0xc010), 2, Buffer.concat([Buffer.from([2]), Buffer.from('ns'), u16(0xc010)]));
const SOA = record(u16(0xc010), 6, Buffer.concat([name('ns.c.example'), name('root.c.example'), Buffer.alloc(20, 1)]));
const SIMPLE: Readonly<Record<string, Buffer>> = {
  'one address': message([A]),
  'a short time to live': message([record(POINTER, 1, REAL, 5)]),
  'authentic no more': message([A], [OPT], 0x8420),
  'an alias, several addresses, of which one stays, and a name server': message(
    [CNAME, A, record(POINTER, 1, bytes('9.9.9.9')), record(POINTER, 1, bytes('192.168.1.2'))],
    [OPT, record(POINTER, 1, REAL)],
  ),
  IPv6: message([AAAA, A, AAAA]),
  'nothing that changes': message([record(POINTER, 1, bytes('9.9.9.9'))], [OPT]),
  'no such name': Buffer.concat([u16(0x1234, 0x8403, 1, 0, 1, 0), QUESTION, SOA]),
  'no data, and who would have it': Buffer.concat([u16(0x1234, 0x8400, 1, 0, 1, 1), QUESTION, NS, A]),
  'service and mail': message(
    [record(POINTER, 33, Buffer.concat([u16(1, 2, 80), name('www.c.example')])), record(POINTER, 15, Buffer.concat([u16(10), POINTER]))],
    [A],
  ),
};
for (const [what, data] of Object.entries(SIMPLE)) {
  rig(`R1-37, R1-39 an AIN says itself what it was told: ${what}`, async (path) => {
    await knows(path);
    // No checksum stays none; a name of odd length lets addresses be anywhere.
    for (const flow of [sent, { ...sent, noSum: true }]) assert.deepEqual(await translated(path, data, flow), byDmn(data));
    const six = { ...V6, ...PORTS };
    await knows(path, six);
    assert.deepEqual(await translated(path, data, six), byDmn(data));
    const { renamed, hits, misses } = await path.counts('tally', 1);
    assert.deepEqual([renamed, hits, misses], [3, 3, 0]);
  });
}

rig('R1-37 every offset in a message, and the longest one', async (path) => {
  await knows(path);
  for (let padding = 1; padding < 9; padding++) {
    const owner = name(`${'x'.repeat(padding)}.c.example`);
    const data = message([record(owner, 1, REAL), AAAA, record(owner, 1, REAL)]);
    assert.deepEqual(await translated(path, data), byDmn(data));
  }
  const full = message(Array.from({ length: 32 }, () => A));
  assert.deepEqual(await translated(path, full), byDmn(full));
  assert.equal(await translated(path, message(Array.from({ length: 33 }, () => A))), undefined);
});

rig(
  'R1-39 what is not simple goes to a DMN as it came: signatures, hints, other types, several questions, parts of datagrams',
  async (path) => {
    await knows(path);
    for (const data of [
      message([A, record(POINTER, 46, Buffer.alloc(30, 1))]),
      message([record(POINTER, 65, Buffer.concat([u16(1), Buffer.from([0])]))]),
      message([record(POINTER, 16, Buffer.from([1, 65]))]),
      message([A], [], 0x0020),
      message([record(POINTER, 1, six('fd00', 9))]),
      Buffer.concat([u16(0x1234, 0x8400, 2, 0, 0, 0), QUESTION, QUESTION]),
      Buffer.alloc(11),
      Buffer.concat([message([A]), Buffer.from([0])]),
    ])
      assert.equal(await translated(path, data), undefined);
    assert.equal(await translated(path, message([A]), { ...sent, offset: 48 }), undefined);
    assert.equal(await translated(path, message([A]), { ...sent, more: true }), undefined);
    const cut = frameOf({ ...sent, data: message([A, A]) }).subarray(0, -16);
    assert.ok((await run(path, cut)).frame.equals(cut));
  },
);

rig('R1-37 a question passes, but for the name of an address: that one, and its answer, go to a DMN', async (path) => {
  const asking: Sent = { ...V4, sourcePort: 40_001, destinationPort: 53, protocol: UDP };
  const question = (asked: string, flags = 0x0100): Buffer => Buffer.concat([u16(0x1234, flags, 1, 0, 0, 1), name(asked), u16(12, 1), OPT]);
  for (const what of [asking, { ...asking, sourcePort: 53 }, sent]) {
    await knows(path, what);
    const isToServer = what.destinationPort === 53;
    for (const asked of ['www.c.example', 'arpa.example', 'xarpa'])
      assert.deepEqual(await translated(path, question(asked), what), isToServer ? question(asked) : undefined, asked);
    for (const asked of ['1.1.7.12.in-addr.arpa', '1.1.7.12.IN-ADDR.ArPa', '1.0.d.f.ip6.arpa'])
      for (const flags of [0x0100, 0x8400]) assert.equal(await translated(path, question(asked, flags), what), undefined, asked);
  }
  // What says that it is an answer, and goes to a server, is none.
  await knows(path, asking);
  assert.equal(await translated(path, message([A]), asking), undefined);
});

rig(
  'R1-39 an address that was not told, or not lately, is asked for; what was told goes with the next change of the hub, or a flush',
  async (path) => {
    await knows(path, sent, sights(['192.168.1.1']));
    assert.ok(await translated(path, message([A])));
    assert.equal(await translated(path, message([A, record(POINTER, 1, bytes('192.168.1.2'))])), undefined);
    // To another network's asker.
    const other = { ...sent, destinationPort: 40_002 };
    await install(path, writeFlow(flowOf(other)), encodeOps([{ op: 'hop' }, TO, { ...ASK, asker: 3 }, VALID]));
    assert.equal(await translated(path, message([A]), other), undefined);
    await path.ask('domain', 0, GENERATION + 1);
    assert.equal(await translated(path, message([A])), undefined);
    await knows(path, sent, sights(['192.168.1.1'], GENERATION + 1));
    await path.ask('domain', 0, GENERATION + 1);
    assert.ok(await translated(path, message([A])));
    await path.ask('flush');
    await knows(path, sent, []);
    await path.ask('domain', 0, GENERATION + 1);
    assert.equal(await translated(path, message([A])), undefined);
    await knows(path, sent, sights(['192.168.1.1'], GENERATION + 1));
    await path.ask('domain', 0, GENERATION + 1);
    assert.ok(await translated(path, message([A])));
    // The action is told again, the address is not.
    await path.ask('settings', 1, 'ab'.repeat(32), 7802, 60_000, 100, 100_000, 10_000);
    const isForgotten = async (): Promise<boolean> => {
      await knows(path, sent, []);
      await path.ask('domain', 0, GENERATION + 1);
      return (await translated(path, message([A]))) === undefined;
    };
    assert.ok(await until(isForgotten, { withinMs: 5000 }));
  },
);

rig('R1-39 damaged messages: an AIN makes of them what a DMN would, or leaves them to it', async (path) => {
  await knows(path);
  const good = Object.values(SIMPLE);
  let state = 7;
  const random = (below: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % below;
  let said = 0;
  for (let i = 0; i < 3000; i++) {
    const data = Buffer.from(good[random(good.length)]!);
    for (let n = random(3); n >= 0; n--) data[random(data.length)] = random(256);
    const is = await translated(path, data);
    if (is === undefined) continue;
    said++;
    assert.deepEqual(is, byDmn(data), data.toString('hex'));
  }
  assert.ok(said > 100);
});

rig('what is told of addresses is verified too', async (path) => {
  const refused = (ops: Buffer) =>
    assert.rejects(install(path, writeFlow(flowOf(sent)), Buffer.concat([encodeOps([TO, VALID]), ops])), /action: Invalid argument/);
  await refused(encodeOps([{ ...ASK, asker: 5000 }]));
  await refused(Buffer.from([10, 0]));
  await refused(Buffer.from([11, 4, 0, 0, 0, 0]));
  await refused(Buffer.from([11, 12, ...Buffer.alloc(12)]));
  await refused(encodeOps(sights(Array.from({ length: 33 }, () => '9.9.9.9'))));
});
