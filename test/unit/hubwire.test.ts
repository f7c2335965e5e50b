/** What AINs and DMNs say to each other. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import { segmented, together, dataKey, encodeOps, MESSAGES, readFlow, seal, unseal } from '../../agents/hub/decision/wire.ts';
import { Window } from '../../agents/hub/nodes/window.ts';
import { address } from '../support/hub.ts';

test('R1-18 messages of another cell, changed, cut or turned round are none', () => {
  const [key, other] = [dataKey('12'.repeat(32), 'one'), dataKey('12'.repeat(32), 'two')];
  const header = { type: MESSAGES.query, tries: 0, sender: 3, session: 5n, number: 7n };
  const message = seal(key, header, Buffer.from('packet'));
  assert.deepEqual(unseal(key, message), { header, payload: Buffer.from('packet') });
  assert.equal(unseal(other, message), undefined);
  for (let i = 0; i < message.length; i++) {
    const damaged = Buffer.from(message);
    damaged[i] = (damaged[i] as number) ^ 1;
    assert.equal(unseal(key, damaged), undefined);
    assert.equal(unseal(key, message.subarray(0, i)), undefined);
  }
});

test('a query is answered once; a new session begins anew', () => {
  const window = new Window();
  assert.ok(window.isNew(1, 5n, 1n) && window.isNew(1, 5n, 3n) && window.isNew(1, 5n, 2n));
  assert.ok(!window.isNew(1, 5n, 2n) && !window.isNew(1, 5n, 0n));
  assert.ok(window.isNew(2, 5n, 2n) && window.isNew(1, 6n, 2n));
  // A session that is over does not come back.
  assert.ok(!window.isNew(1, 5n, 9n));
  assert.ok(window.isNew(1, 6n, 10_000n) && !window.isNew(1, 6n, 3n));
});

test('R1-5 a long action goes in segments that make it up', () => {
  const ops = encodeOps([
    { op: 'hop' },
    ...Array.from({ length: 8 }, () => ({
      op: 'replica' as const,
      to: '02:00:00:00:00:01',
      from: '02:00:00:00:00:02',
      network: 4,
      source: address('10.0.0.1'),
      destination: address('10.0.0.2'),
    })),
  ]);
  const payloads = segmented(Buffer.alloc(44), ops, 50);
  assert.equal(payloads.length, Math.ceil(ops.length / 50));
  assert.deepEqual(Buffer.concat(payloads.map((p) => p.subarray(48))), ops);
  assert.ok(payloads.every((p, i) => p.readUInt16BE(44) === ops.length && p.readUInt16BE(46) === 50 * i));
});

test('a flow that is cut or of no family is none', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void readFlow(Buffer.from(bytes))));
  assert.equal(readFlow(Buffer.alloc(44)), undefined);
  assert.equal(readFlow(Buffer.alloc(10)), undefined);
});

test('R1-4 a short action and its packet go in one message, if an Ethernet frame has room for both', () => {
  const [flow, ops, packet] = [Buffer.alloc(44, 1), Buffer.alloc(60, 2), Buffer.alloc(1290, 3)];
  const whole = together(flow, ops, packet)!;
  assert.deepEqual(whole, Buffer.concat([flow, Buffer.from([0, 60]), ops, packet]));
  assert.equal(together(flow, ops, Buffer.alloc(1300)), undefined);
  assert.equal(together(flow, ops, packet, 50), undefined);
});
