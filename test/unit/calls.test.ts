import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { callsOverLines, Refusal } from '../../src/core/calls.ts';

interface Remote {
  double(x: number): number;
  refuse(): void;
  fail(): void;
}

const local = {
  double: (x: number) => 2 * x,
  refuse: () => {
    throw new Refusal('NoCapacity', 'no host is left');
  },
  fail: () => {
    throw new TypeError('out of order');
  },
};

/** A caller and what it calls, and the way to put lines of one's own before each. */
function pair() {
  const [up, down] = [new PassThrough(), new PassThrough()];
  let malformed = 0;
  callsOverLines({ input: up, write: (line) => down.write(`${line}\n`), local, onMalformed: () => (malformed += 1) });
  const calls = callsOverLines<Remote>({ input: down, write: (line) => up.write(`${line}\n`), local: {} });
  return { calls, up, down, malformed: () => malformed };
}

test('answers come back, refusals with their code, failures with their message', async () => {
  const { calls } = pair();
  assert.equal(await calls.double(4), 8);
  await assert.rejects(calls.refuse(), (e: Refusal) => e instanceof Refusal && e.code === 'NoCapacity' && e.message === 'no host is left');
  await assert.rejects(calls.fail(), { message: 'out of order' });
});

test('lines that are no message are passed over and told, and calls go on', async () => {
  const { calls, up, down, malformed } = pair();
  const lines = [
    '{',
    'null',
    '[]',
    '7',
    '"t"',
    '{"t":"x"}',
    '{"t":"q"}',
    '{"t":"q","m":"double","a":7}',
    '{"t":"q","m":1,"a":[]}',
    '{"t":"q","i":3,"m":"double","a":[]}',
    '{"t":"s"}',
  ];
  for (const line of lines) up.write(`${line}\n`);
  // Answers to nothing, and a stray print, before the answer.
  down.write('hello\n{"t":"s","i":"nobody","r":1}\n{"t":"s","i":"nobody","e":5}\n');
  assert.equal(await calls.double(21), 42);
  assert.equal(malformed(), lines.length);
});

test('what every object has cannot be called', async () => {
  const { calls } = pair();
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty'])
    await assert.rejects(calls.$call(name as 'double', 1), /not found/);
});
